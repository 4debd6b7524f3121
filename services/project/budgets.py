"""Budgets of the billing account that a tier has for itself, found by display name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, unquote

from core.cloud_resources import BUDGETS, CloudResource, path_of, short_name
from core.specs import TIER_LABEL
from services import calls
from services.clients import Clients
from services.gke import OperationState
from services.project.asking import ask
from services.project.product import Found, Json, delete_if_there, done

_TIMEOUT_S: Final = 20.0


class BudgetResources:
    """A name is //billingbudgets.googleapis.com/billingAccounts/A/budgets/DISPLAY NAME."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def get(self, name: str) -> Found | None:
        """The budget of that display name."""
        found = self._find(name)
        if found is None:
            return None
        return Found({"name": str(found.name)}, _owner(found))

    def create(self, name: str, body: Json) -> str:
        """Make it."""
        from google.cloud.billing.budgets_v1 import Budget
        from google.protobuf.json_format import ParseDict

        made: Any = Budget()
        ParseDict({**body, "displayName": unquote(short_name(name))}, Budget.pb(made))
        request = {"parent": _account(name), "budget": made}
        self._call(name, "create_budget", request, calls.ONCE)
        return ""

    def delete(self, name: str) -> str:
        """Delete it."""
        found = self._find(name)
        if found is None:
            return ""
        request = {"name": str(found.name)}
        return delete_if_there(lambda: self._call(name, "delete_budget", request, calls.ONCE))

    def get_operation(self, name: str) -> OperationState:
        """Budgets have none."""
        return done(name)

    def list_ours(self) -> tuple[CloudResource, ...]:
        """Budgets of this project alone that filter by our label."""
        account = self._clients.target.billing_account
        if not account:
            return ()
        base = f"//{BUDGETS}/{account}/budgets/"
        return tuple(
            CloudResource(base + quote(str(b.display_name), safe=""), owner)
            for b in self._list(account)
            if (owner := _owner(b)) is not None
        )

    def _find(self, name: str) -> Any:
        shown = unquote(short_name(name))
        return next((b for b in self._list(_account(name)) if b.display_name == shown), None)

    def _list(self, account: str) -> list[Any]:
        return self._call(account, "list_budgets", {"parent": account})

    def _call(
        self,
        name: str,
        method: str,
        request: Mapping[str, Any],
        policy: calls.RetryPolicy = calls.READ,
    ) -> Any:
        def bound() -> Any:
            return getattr(self._clients.budgets(), method)

        return ask(self._clients, name, bound, dict(request), _TIMEOUT_S, policy)


def _owner(found: Any) -> str | None:
    values = found.budget_filter.labels.get(TIER_LABEL)
    return str(values[0]) if values else None


def _account(name: str) -> str:
    return path_of(name).rpartition("/budgets/")[0]
