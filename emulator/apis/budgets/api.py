"""google.cloud.billing.budgets.v1.BudgetService: reads. The API tells no spend, as Google's."""

from __future__ import annotations

from typing import Any

from google.cloud.billing import budgets_v1

from emulator.apis.budgets.model import budgets
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.errors import ApiError
from emulator.wire.names import parse_name
from emulator.wire.paging import page


class BudgetService:
    """The budgets of the project's billing account."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def _all(self, account: str) -> list[Any]:
        if account != self._cloud.project.billing_account:
            raise ApiError("PERMISSION_DENIED", "The caller does not have permission")
        return budgets(self._cloud.project, self._cloud.scenario.tiers)

    def list_budgets(self, request: Any, call: Call) -> Any:
        """All budgets, or those whose scope is the project named."""
        account = parse_name("billingAccounts/{account}", request.parent, field="parent")["account"]
        found = self._all(account)
        if request.scope and request.scope != f"projects/{self._cloud.project.number}":
            found = []
        items, token = page(
            found, request.page_size, request.page_token, scope=f"{account} {request.scope}",
            default=20, most=100,
        )  # fmt: skip
        return budgets_v1.ListBudgetsResponse(budgets=items, next_page_token=token)

    def get_budget(self, request: Any, call: Call) -> Any:
        """One budget."""
        names = parse_name("billingAccounts/{account}/budgets/{budget}", request.name)
        for budget in self._all(names["account"]):
            if budget.name == request.name:
                return budget
        raise ApiError("NOT_FOUND", "Requested entity was not found.")
