"""Cost: the rate now, 31 billed days, budgets, what lies idle, dollars per token, the catalogue."""

from __future__ import annotations

from ui import action_menu, chrome, cost_view, idle_view, plan_dialog, view

chrome.through_app()

action_menu.draw_menus(("change_budget", "scale_tier"), ("clean_up_orphans",))
view.live(cost_view.totals)
view.live(cost_view.days)
view.live(cost_view.budgets)
view.live(idle_view.recommendations)
view.live(cost_view.tokens)
view.live(cost_view.reconciliation)
plan_dialog.draw()
