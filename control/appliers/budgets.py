"""The verb of Cloud Billing budgets: amount and thresholds."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Protocol

from control.appliers.rewrites import write_from_newest
from control.appliers.verbs import Product, Report
from core.actions import change_budget
from core.errors import Conflict
from core.plans import Facts, Step
from core.records import Budget, Snapshot
from services.budgets import Budgets
from services.clients import Clients


class BudgetPort(Protocol):
    """What of `services.budgets.Budgets` is needed."""

    def list_budgets(self) -> tuple[Budget, ...]:
        """All budgets."""
        ...

    def get_budget(self, resource: str) -> Budget:
        """One budget as it is now."""
        ...

    def apply_budget(
        self, found: Budget, resource: str, amount_usd: float, threshold_ratios: Sequence[float]
    ) -> None:
        """Write amount and thresholds."""
        ...


class ChangeBudget:
    """budgets.change: after holds the amount and the thresholds. At once."""

    def __init__(self, budgets: BudgetPort) -> None:
        self._budgets = budgets

    def start(self, step: Step) -> str:
        """Write them unless they are there; no operation, since Billing answers when it is done."""
        write_from_newest(lambda: self._write(step), f"the budget {step.resource}")
        return ""

    def _write(self, step: Step) -> None:
        found = self._budgets.get_budget(step.resource)
        now = change_budget.values(found)
        if now == dict(step.after):
            return
        if now != dict(step.before):
            raise Conflict(
                f"The budget is {_told(now)}: somebody else changed it", resource=step.resource
            )
        amount = step.after["amount_usd"]
        if isinstance(amount, bool) or not isinstance(amount, int | float):
            raise Conflict(f"the step names no amount but {amount!r}")
        ratios = change_budget.read_ratios(str(step.after["thresholds"]))
        self._budgets.apply_budget(found, step.resource, float(amount), ratios)

    def wait(self, operation: str, report: Report, stop: threading.Event) -> None:
        """Nothing to wait for."""

    def verify(self, step: Step, stop: threading.Event) -> str:
        """The budget must have the values."""
        found = self._budgets.get_budget(step.resource)
        now = change_budget.values(found)
        if now != dict(step.after):
            raise Conflict(f"The budget is {_told(now)}.", resource=step.resource)
        return f"{found.display_name}: {_told(now)}"


def _told(values: Facts) -> str:
    return f"${values['amount_usd']:,} at {values['thresholds'] or 'no threshold'}"


def product(budgets: BudgetPort) -> Product:
    """The verb and the facts of budgets."""

    def observe(names: Collection[str], snapshot: Snapshot) -> tuple[Snapshot, Facts]:
        found = budgets.list_budgets()
        fresh = change_budget.observe_again(dict.fromkeys(names), found)
        return replace(snapshot, budgets=found), fresh

    return Product({change_budget.VERB: ChangeBudget(budgets)}, {change_budget.FACTS: observe})


def build(clients: Clients) -> Product:
    """The same of that cloud."""
    return product(Budgets(clients))
