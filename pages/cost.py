"""Cost: the rate now, 31 billed days, budgets, dollars per token, catalogue against bill."""

from __future__ import annotations

from ui import chrome, cost_view, view

chrome.through_app()

view.live(cost_view.totals)
view.live(cost_view.days)
view.live(cost_view.budgets)
view.live(cost_view.tokens)
view.live(cost_view.reconciliation)
