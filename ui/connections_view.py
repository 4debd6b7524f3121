"""The Connections page's panels: every source with its health, and our inference server."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from core.records import Source, SourceState
from ui import access, formats, states, tables
from ui.states import Level

_WORDS = {
    Level.FRESH: ("reachable", "green"),
    Level.STALE: ("stale", "orange"),
    Level.PARTIAL: ("in part", "orange"),
    Level.FAILING: ("failing", "red"),
    Level.FAILED: ("unreachable", "red"),
    Level.LOADING: ("being read", "gray"),
    Level.NOT_SET_UP: ("not set up", "gray"),
}
_COLOURS = dict(_WORDS.values())


def sources() -> None:
    """A row per source, and the errors in full."""
    snapshot = access.snapshot()
    now = access.now()
    found = [snapshot.sources[s] for s in Source if s in snapshot.sources]
    tables.table(
        [_row(state, now) for state in found],
        key="connections",
        alt="Sources with their health",
        paged=False,
        config={
            "Source": st.column_config.TextColumn("Source", pinned=True),
            "State": tables.badges("State", _COLOURS),
            "Last error": st.column_config.TextColumn("Last error", width="medium"),
        },
    )
    for state in found:
        if state.problem is not None:
            since = formats.since(state.failing_since, now).removesuffix(" ago")
            how = "failing in part" if state.is_partial else "failing"
            states.show_problem(
                f"{states.SOURCE_TITLES[state.source]}: {how} for {since}",
                state.problem,
                again=True,
            )


def _row(state: SourceState, now: datetime) -> tables.Row:
    return {
        "Source": states.SOURCE_TITLES[state.source],
        "State": [_WORDS[states.level_of(state, now)][0]],
        "Age": formats.since(state.read_at, now, "never read"),
        "Every": formats.UNKNOWN if state.not_set_up else formats.duration(state.interval_s),
        "Latency": formats.milliseconds(state.latency_ms),
        "Identity": state.identity or formats.UNKNOWN,
        "Endpoint": state.endpoint or formats.UNKNOWN,
        "Last try (UTC)": formats.clock(state.tried_at, "not yet"),
        "Last error": state.problem.message if state.problem else "",
        "Next step": state.problem.hint if state.problem else state.not_set_up,
    }


def server() -> None:
    """Our inference server's word about itself."""
    snapshot = access.snapshot()
    wanted = (Source.INFERENCE,)
    fresh = states.freshness(snapshot.sources, wanted, access.now())
    with states.panel("Inference server", fresh):
        found = snapshot.server
        if found is None:
            states.show_missing(snapshot.sources, wanted)
            return
        facts = {
            "Address": found.url,
            "State": "ready" if found.ready else f"not ready: {found.detail}",
            "Model": found.model or formats.UNKNOWN,
            "Parameters": formats.number(found.parameters),
            "Devices": ", ".join(found.devices) or formats.UNKNOWN,
            "Precision": found.precision or formats.UNKNOWN,
            "Slots": formats.count(found.slots),
            "Context": f"{formats.count(found.context_tokens)} tokens",
            "Up for": formats.duration(found.uptime_s),
            "Compilations after ready": formats.count(found.compiles_after_ready),
        }
        st.table(
            {name: formats.plain(value) for name, value in facts.items()},
            border="horizontal", width="content", alt="The inference server",
        )  # fmt: skip
