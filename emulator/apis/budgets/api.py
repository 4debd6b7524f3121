"""google.cloud.billing.budgets.v1.BudgetService. The API tells no spend, as Google's."""

from __future__ import annotations

import uuid
from typing import Any, Final

from google.cloud.billing import budgets_v1
from google.protobuf import empty_pb2

from emulator.apis.budgets.checks import check_budget
from emulator.apis.budgets.model import budget_state, sealed
from emulator.apis.monitoring.model import MonitoringState
from emulator.context import Cloud
from emulator.scenario import TIER_LABEL
from emulator.wire.call import Call
from emulator.wire.codec import plain
from emulator.wire.errors import ApiError, invalid
from emulator.wire.etags import check_etag
from emulator.wire.masks import merge
from emulator.wire.names import parse_name
from emulator.wire.paging import page

_NAME: Final = "billingAccounts/{account}/budgets/{budget}"
_MOST_BUDGETS: Final = 50_000


class BudgetService:
    """The budgets of the project's billing account."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._state = budget_state(cloud)

    def create_budget(self, request: Any, call: Call) -> Any:
        """Keeps a budget under a name of Billing's choosing."""
        account = self._account(
            parse_name("billingAccounts/{account}", request.parent, field="parent")["account"]
        )
        with self._cloud.lock:
            if len(self._state.budgets) >= _MOST_BUDGETS:
                raise ApiError(
                    "RESOURCE_EXHAUSTED", f"An account has at most {_MOST_BUDGETS} budgets."
                )
            budget = _copy(request.budget)
            self._check(budget)
            self._state.made += 1
            where = f"budgets/{self._cloud.seed}/{account}/{self._state.made}"
            budget.name = (
                f"billingAccounts/{account}/budgets/{uuid.uuid5(uuid.NAMESPACE_URL, where)}"
            )
            return self._keep(budget, "created")

    def list_budgets(self, request: Any, call: Call) -> Any:
        """All budgets, or those whose filter names the project asked for."""
        account = self._account(
            parse_name("billingAccounts/{account}", request.parent, field="parent")["account"]
        )
        with self._cloud.lock:
            found = list(self._state.budgets.values())
        if request.scope:
            scope = self._scope(request.scope)
            found = [b for b in found if scope in b.budget_filter.projects]
        items, token = page(
            found, request.page_size, request.page_token, scope=f"{account} {request.scope}",
            default=20, most=100,
        )  # fmt: skip
        return budgets_v1.ListBudgetsResponse(budgets=items, next_page_token=token)

    def _scope(self, asked: str) -> str:
        kind, _, name = asked.partition("/")
        if kind not in ("projects", "folders", "organizations") or not name:
            raise invalid(
                "The scope is projects/{project}, folders/{folder} or organizations/{organization}",
                field="scope",
            )
        project = self._cloud.project
        return f"projects/{project.number}" if name == project.id else asked

    def get_budget(self, request: Any, call: Call) -> Any:
        """One budget."""
        return self._find(request.name)

    def update_budget(self, request: Any, call: Call) -> Any:
        """Changes the masked fields; without a mask, those that the request sets."""
        given = request.budget
        with self._cloud.lock:
            known = self._find(given.name)
            check_etag(given.etag, known.etag)
            for path in request.update_mask.paths:
                if path.split(".")[0] in ("name", "etag"):
                    raise invalid(f"Field '{path}' cannot be changed.", field="update_mask")
            if request.update_mask.paths:
                budget = merge(given, request.update_mask, known)
            else:
                budget = _copy(known)
                for field, _ in plain(given).ListFields():
                    plain(budget).ClearField(field.name)
                plain(budget).MergeFrom(plain(given))
            budget.name = known.name
            self._check(budget)
            return self._keep(budget, "updated")

    def delete_budget(self, request: Any, call: Call) -> Any:
        """Deletes a budget."""
        with self._cloud.lock:
            budget = self._find(request.name)
            del self._state.budgets[budget.name]
            self._changed("deleted", budget)
        return empty_pb2.Empty()

    def _check(self, budget: budgets_v1.Budget) -> None:
        channels = self._cloud.store(MonitoringState, MonitoringState).channels
        check_budget(budget, self._cloud.project, channels)

    def _keep(self, budget: budgets_v1.Budget, verb: str) -> budgets_v1.Budget:
        self._state.budgets[budget.name] = sealed(budget)
        self._changed(verb, budget)
        return budget

    def _changed(self, verb: str, budget: budgets_v1.Budget) -> None:
        labels = budgets_v1.Budget.pb(budget).budget_filter.labels
        tier = labels[TIER_LABEL].values[0].string_value if TIER_LABEL in labels else ""
        self._cloud.changed(f"budget.{verb}", budget.name, tier)

    def _account(self, account: str) -> str:
        if account != self._cloud.project.billing_account:
            raise ApiError("PERMISSION_DENIED", "The caller does not have permission")
        return account

    def _find(self, name: str) -> budgets_v1.Budget:
        self._account(parse_name(_NAME, name)["account"])
        found = self._state.budgets.get(name)
        if found is None:
            raise ApiError("NOT_FOUND", "Requested entity was not found.")
        return found


def _copy(given: Any) -> budgets_v1.Budget:
    found = budgets_v1.Budget()
    plain(found).CopyFrom(plain(given))
    return found
