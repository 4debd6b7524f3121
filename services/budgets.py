"""Cloud Billing budgets: reading them, changing one. The API tells no spend: the export does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from core.errors import Conflict, Invalid
from core.money import MONTH
from core.records import Budget
from services import calls
from services.clients import Clients

_TIMEOUT_S: Final = 15.0


class Budgets:
    """Reads and changes the billing account's budgets."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def list_budgets(self) -> tuple[Budget, ...]:
        """All budgets of the billing account.

        Raises:
            Invalid: no billing account is set.
            OpsError: the call failed.
        """
        parent = self._clients.target.billing_account
        if not parent:
            raise Invalid(
                "No billing account is set, so there are no budgets to read.",
                resource="budgets",
                hint="Set project.billing_account; `gcloud billing accounts list` shows yours.",
            )
        resource = f"{parent}/budgets"

        def read(timeout_s: float) -> list[Any]:
            client = self._clients.budgets()
            return list(client.list_budgets(parent=parent, timeout=timeout_s, retry=None))

        found = self._clients.call(read, resource=resource, timeout_s=_TIMEOUT_S)
        with calls.converting(resource):
            return tuple(_budget(b) for b in found)

    def get_budget(self, resource: str) -> Budget:
        """A budget by its full name; NotFound: it is gone."""
        raw = self._raw(resource)
        with calls.converting(resource):
            return _budget(raw)

    def apply_budget(
        self,
        found: Budget,
        resource: str,
        amount_usd: float,
        threshold_ratios: Sequence[float],
    ) -> None:
        """Write amount and thresholds of a budget; what is measured against each stays.

        A new threshold counts what was spent, not what is forecast.

        Args:
            found: the budget as it was read; another one by now is not overwritten.
            resource: its full name.
            amount_usd: per period; threshold_ratios: 0.5 for one half, in any order.

        Raises:
            Conflict: it changed since `found` was read.
        """
        raw = self._raw(resource)
        with calls.converting(resource):
            if _budget(raw) != found:
                raise Conflict("The budget changed since it was read.", resource=resource)

        def write(timeout_s: float) -> Any:
            from google.cloud.billing.budgets_v1 import Budget as Body
            from google.cloud.billing.budgets_v1 import UpdateBudgetRequest
            from google.protobuf.field_mask_pb2 import FieldMask
            from google.type.money_pb2 import Money

            units, nanos = divmod(round(amount_usd * 1e9), 10**9)
            money = Money(currency_code="USD", units=units, nanos=nanos)
            body = Body(
                name=resource,
                amount={"specified_amount": money},
                threshold_rules=_rules(raw, threshold_ratios),
                etag=raw.etag,
            )
            mask = FieldMask(paths=["amount", "threshold_rules"])
            return self._clients.budgets().update_budget(
                UpdateBudgetRequest(budget=body, update_mask=mask), timeout=timeout_s, retry=None
            )

        self._clients.call(write, resource=resource, timeout_s=_TIMEOUT_S, policy=calls.ONCE)

    def _raw(self, resource: str) -> Any:
        def read(timeout_s: float) -> Any:
            return self._clients.budgets().get_budget(name=resource, timeout=timeout_s, retry=None)

        return self._clients.call(read, resource=resource, timeout_s=_TIMEOUT_S)


def _rules(raw: Any, ratios: Sequence[float]) -> list[Any]:
    """The threshold rules: those that are there for a ratio, else one on what was spent."""
    from google.cloud.billing.budgets_v1 import ThresholdRule

    there = {float(r.threshold_percent): r for r in raw.threshold_rules}
    return [
        there.get(ratio)
        or ThresholdRule(threshold_percent=ratio, spend_basis=ThresholdRule.Basis.CURRENT_SPEND)
        for ratio in sorted(ratios)
    ]


def _budget(found: Any) -> Budget:
    money = found.amount.specified_amount
    fixed = "specified_amount" in found.amount
    if fixed and money.currency_code not in ("", "USD"):
        raise ValueError(f"a budget in {money.currency_code}; only US dollars are understood")
    labels = {str(k): _only(v) for k, v in found.budget_filter.labels.items()}
    return Budget(
        id=str(found.name).rsplit("/", 1)[-1],
        display_name=str(found.display_name),
        amount_usd=float(money.units) + money.nanos / 1e9 if fixed else None,
        threshold_ratios=tuple(float(r.threshold_percent) for r in found.threshold_rules),
        labels=labels,
        period=_period(found.budget_filter),
        etag=str(found.etag),
    )


def _period(found: Any) -> str:
    """The period of a budget's filter; by the API's documentation an unset one is a month."""
    if "custom_period" in found:
        return "custom"
    return str(found.calendar_period.name) if found.calendar_period else MONTH


def _only(values: Any) -> str:
    """A budget filters a label by a list of values; today Google allows one."""
    return ", ".join(str(v) for v in values)
