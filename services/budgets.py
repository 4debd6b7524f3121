"""Cloud Billing budgets. The API tells no spend: that comes from the billing export."""

from __future__ import annotations

from typing import Any, Final

from core.errors import Invalid
from core.money import MONTH
from core.records import Budget
from services import calls
from services.clients import Clients

_TIMEOUT_S: Final = 15.0


class Budgets:
    """Reads the billing account's budgets."""

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
    )


def _period(found: Any) -> str:
    """The period of a budget's filter; by the API's documentation an unset one is a month."""
    if "custom_period" in found:
        return "custom"
    return str(found.calendar_period.name) if found.calendar_period else MONTH


def _only(values: Any) -> str:
    """A budget filters a label by a list of values; today Google allows one."""
    return ", ".join(str(v) for v in values)
