"""Overview: what is wrong first, every tier at a glance, the range's load in four charts."""

from __future__ import annotations

import streamlit as st

from core.records import Source
from core.series import Signal
from ui import (
    access,
    alerts_view,
    chrome,
    history,
    palette,
    plan_dialog,
    states,
    tier_cards,
    view,
)
from ui.findings import draw_findings

chrome.through_app()

TIER_SOURCES = (
    Source.GKE, Source.KUBE, Source.TPU, Source.VERTEX, Source.LOAD, Source.INFERENCE,
    Source.PRICES,
)  # fmt: skip


def now() -> None:
    """Findings, totals and cards, from the Snapshot."""
    derived = access.derived()
    snapshot = derived.snapshot
    levels = {states.level_of(s, access.now()) for s in snapshot.sources.values()}
    complete = states.Level.LOADING not in levels
    draw_findings(derived.findings, complete, alerts=bool(snapshot.alerts))
    fresh = states.freshness(snapshot.sources, TIER_SOURCES, access.now())
    states.heading("Tiers", fresh)
    tier_cards.draw_totals(derived)
    chosen = [t for t in derived.fleet.tiers if view.current().shows(t.name)]
    colours = palette.tier_colours([s.name for s in snapshot.specs])
    recent = history.read(Signal.REQUESTS)
    tier_cards.draw_cards(
        [
            tier_cards.Card(
                tier=tier,
                load=(snapshot.loads or {}).get(tier.name),
                rate=derived.rates[tier.name],
                slo=derived.slos.get(tier.name),
                recent=history.values(recent, tier.name),
                colour=colours[tier.name],
                no_price=derived.price_word(tier.spec),
            )
            for tier in chosen
        ]
    )
    st.caption(f"¹ p50 · p95 · p99. Sparkline: requests/s over the last {view.current().range}.")


def charts() -> None:
    """The range in four charts."""
    left, right = st.columns(2)
    with left:
        history.tier_chart("Requests", [Signal.REQUESTS], key="requests")
        history.tier_chart("TensorCore utilisation", [Signal.TENSORCORE], key="tensorcore")
    with right:
        history.tier_chart("Latency, 95th percentile", [Signal.LATENCY_P95], key="latency")
        history.tier_chart("HBM utilisation", [Signal.HBM], key="hbm")


plan_dialog.follow_link()
view.live(alerts_view.panel)
view.live(now)
view.live(charts)
plan_dialog.draw()
