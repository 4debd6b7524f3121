"""How fresh a panel's data is, and what stands there when there is none.

Loading, empty, zero, unknown, stale, failing and failed look different: a skeleton, a quiet
sentence, the figure 0, the word "unknown", an orange mark, a red mark over old data, a red box.
What a figure says in words is `ui/formats.py`.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import streamlit as st

from core.errors import HeartwoodError
from core.records import Problem, Source, SourceState
from ui import formats

SOURCE_TITLES: Mapping[Source, str] = {
    Source.GKE: "GKE",
    Source.KUBE: "Kubernetes",
    Source.TPU: "Cloud TPU",
    Source.VERTEX: "Vertex AI",
    Source.LOAD_BALANCER: "Load balancing",
    Source.LOAD: "Cloud Monitoring",
    Source.CHIPS: "Monitoring, per chip",
    Source.PRICES: "Billing catalogue",
    Source.COSTS: "Billing export",
    Source.BUDGETS: "Budgets",
    Source.INFERENCE: "Inference server",
    Source.ALERTS: "Alerts",
    Source.QUOTAS: "Quotas",
    Source.MACHINE_TYPES: "Machine types",
    Source.RESERVATIONS: "Reservations",
    Source.RECOMMENDER: "Recommender",
}


class Level(Enum):
    """How far a source's data can be trusted, best first."""

    FRESH = "fresh"
    STALE = "stale"  # no failure, yet older than three intervals
    PARTIAL = "partial"  # what could be read is fresh; the problem names the rest
    FAILING = "failing"  # the last good data is kept
    LOADING = "loading"  # never tried to the end
    FAILED = "failed"  # tried, never read
    NOT_SET_UP = "not set up"  # the settings name no such source


_SLOW_S = 300.0
_NAMED = 3
_WORST_FIRST = (
    Level.FAILED, Level.FAILING, Level.PARTIAL, Level.LOADING, Level.STALE, Level.NOT_SET_UP,
    Level.FRESH,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Freshness:
    """One line on the data of one panel, and the details for who hovers over it."""

    level: Level
    text: str
    details: str


def level_of(state: SourceState | None, now: datetime) -> Level:
    """How one source stands."""
    if state is None:
        return Level.LOADING
    if state.not_set_up:
        return Level.NOT_SET_UP
    if state.read_at is None:
        return Level.LOADING if state.problem is None else Level.FAILED
    if state.problem is not None:
        return Level.PARTIAL if state.is_partial else Level.FAILING
    age_s = state.age_s(now) or 0.0
    return Level.STALE if age_s > 3 * state.interval_s + 15 else Level.FRESH


def freshness(
    sources: Mapping[Source, SourceState], wanted: tuple[Source, ...], now: datetime
) -> Freshness:
    """How fresh a panel is that rests on those sources: as old as the oldest of them.

    What is read every few minutes at most (prices, bills) is told apart, lest its hour passes for
    the age of all.
    """
    found = [(s, sources.get(s)) for s in wanted]
    levels = [level_of(state, now) for _, state in found]
    worst = next((lv for lv in _WORST_FIRST if lv in levels), Level.FRESH)
    quick = [pair for pair in found if not _is_slow(pair[1])]
    groups = [quick, *([pair] for pair in found if _is_slow(pair[1]))]
    text = "; ".join(_aged(group, now) for group in groups if group)
    details = "\n\n".join(_sentence(s, state, now) for s, state in found)
    return Freshness(worst, text, details)


def _is_slow(state: SourceState | None) -> bool:
    return state is not None and state.interval_s >= _SLOW_S


def _aged(group: Sequence[tuple[Source, SourceState | None]], now: datetime) -> str:
    """Names, or their number where they are many, and the age of the oldest that was read."""
    ages = [state.age_s(now) for _, state in group if state is not None]
    known = [a for a in ages if a is not None]
    names = ", ".join(SOURCE_TITLES[s] for s, _ in group)
    if len(group) > _NAMED:
        names = f"{len(group)} sources"
    return names + (f" · {formats.age(max(known))}" if known else "")


def _sentence(source: Source, state: SourceState | None, now: datetime) -> str:
    title = f"**{SOURCE_TITLES[source]}**"
    if state is not None and state.not_set_up:
        return f"{title}: {state.not_set_up}"
    if state is None or (state.read_at is None and state.problem is None):
        return f"{title}: being read for the first time"
    parts = [f"{title}: read {formats.since(state.read_at, now, 'never')}"]
    if state.read_at is not None:
        parts.append(f"at {formats.clock(state.read_at)} UTC")
    parts.append(f"every {formats.duration(state.interval_s)}")
    if state.problem is not None:
        how = "failing in part" if state.is_partial else "failing"
        parts.append(
            f"{how} for {formats.since(state.failing_since, now).removesuffix(' ago')}: "
            + formats.plain(state.problem.message)
        )
    return ", ".join(parts)


MARKS = {
    Level.FRESH: "",
    Level.STALE: " :orange-badge[:material/schedule: stale]",
    Level.PARTIAL: " :orange-badge[:material/sync_problem: read in part]",
    Level.FAILING: " :red-badge[:material/sync_problem: not refreshing]",
    Level.LOADING: " :gray-badge[:material/hourglass_empty: loading]",
    Level.FAILED: " :red-badge[:material/error: cannot be read]",
    Level.NOT_SET_UP: " :gray-badge[:material/link_off: not set up]",
}


def heading(title: str, fresh: Freshness | None = None, note: str = "") -> None:
    """A panel's title with the age of its data beside it."""
    text = f"**{title}**"
    if note:
        text += f" :small[:gray[{note}]]"
    if fresh is not None:
        text += f" :small[:gray[· {fresh.text}]]{MARKS[fresh.level]}"
    st.markdown(text, help=fresh.details if fresh is not None else None)


@contextmanager
def panel(
    title: str, fresh: Freshness | None = None, note: str = "", key: str | None = None
) -> Generator[None]:
    """A bordered panel with its heading."""
    with st.container(border=True, key=key, gap="xsmall"):
        heading(title, fresh, note)
        yield


def show_missing(
    sources: Mapping[Source, SourceState], wanted: tuple[Source, ...], height: int = 120
) -> None:
    """What stands in a panel whose data was never read: a skeleton, or the reason."""
    absent = [s for source in wanted if (s := sources.get(source)) and s.not_set_up]
    for state in absent:
        show_empty(f"{SOURCE_TITLES[state.source]} is not set up", state.not_set_up)
    if absent:
        return
    failed = [
        state
        for source in wanted
        if (state := sources.get(source)) is not None
        and state.read_at is None
        and state.problem is not None
    ]
    if not failed:
        names = ", ".join(SOURCE_TITLES[s] for s in wanted)
        st.skeleton(height=height)
        st.caption(f"Reading {names} for the first time")
        return
    for state in failed:
        assert state.problem is not None
        show_problem(f"{SOURCE_TITLES[state.source]} cannot be read", state.problem, again=True)


def show_problem(title: str, problem: Problem, *, again: bool = False) -> None:
    """An error with its reason and the next step; `again`: it is tried again by itself."""
    body = formats.plain(problem.message)
    if problem.hint:
        body += f"  \n**Next step:** {formats.plain(problem.hint)}"
    if again:
        body += "  \n:small[It is tried again by itself.]"
    st.error(body, title=title, icon=":material/error:")


def problem_of(error: HeartwoodError) -> Problem:
    """An exception of ours as the record that `show_problem` takes."""
    return Problem(error.kind, error.message, error.resource, error.hint, error.retryable)


def show_empty(what: str, why: str = "") -> None:
    """Nothing is there, and that is the answer, not a failure."""
    st.markdown(
        f":gray[:material/inbox: **{what}**]" + (f"  \n:small[:gray[{why}]]" if why else "")
    )


def show_unknown(what: str) -> None:
    """Something cannot be told."""
    st.markdown(f":gray[:material/help: {what}: *unknown*]")
