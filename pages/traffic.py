"""Traffic: load now, rates, errors, latency, answers over the range, backends, routes, router."""

from __future__ import annotations

import streamlit as st

from core.series import Signal
from ui import (
    access,
    action_menu,
    answers_view,
    chrome,
    history,
    plan_dialog,
    route_view,
    traffic_view,
    view,
)

chrome.through_app()

LATENCY = [Signal.LATENCY_P50, Signal.LATENCY_P95, Signal.LATENCY_P99]
TTFT = [Signal.TTFT_P50, Signal.TTFT_P95, Signal.TTFT_P99]


def objective(name: str) -> tuple[float, str] | None:
    """The chosen tier's latency objective; none while several tiers are shown."""
    chosen = view.current().tier
    if chosen is None:
        return None
    aims = access.snapshot().spec(chosen).objectives
    value = aims.ttft_p95_ms if name == "ttft" else aims.latency_p95_ms
    return None if value is None else (value, "p95 objective")


def charts() -> None:
    """Six charts over the range."""
    alone = view.current().tier is not None
    left, right = st.columns(2)
    with left:
        history.tier_chart("Requests", [Signal.REQUESTS], key="t_requests")
        history.tier_chart(
            "Time to first token", TTFT if alone else [Signal.TTFT_P95], key="t_ttft",
            note="p50, p95, p99" if alone else "95th percentile", limit_line=objective("ttft"),
        )  # fmt: skip
        history.tier_chart("Generated tokens", [Signal.GENERATION_TOKENS], key="t_tokens")
    with right:
        history.tier_chart("Error ratio", [Signal.ERRORS], key="t_errors")
        history.tier_chart(
            "Latency", LATENCY if alone else [Signal.LATENCY_P95], key="t_latency",
            note="p50, p95, p99" if alone else "95th percentile", limit_line=objective("latency"),
        )  # fmt: skip
        history.tier_chart("Requests waiting", [Signal.WAITING], key="t_waiting")


route_view.one()
action_menu.draw_menus(("shift_traffic", "fail_over", "drain_tier", "restore_tier"))
view.live(traffic_view.load_now)
view.live(charts)
view.live(answers_view.tasks_solved)
view.live(traffic_view.backends)
view.live(traffic_view.url_map)
view.live(traffic_view.route_tester)
view.live(route_view.rules)
view.live(route_view.recent)
route_view.checks()
plan_dialog.draw()
