"""How good the tiers' answers are: the share of an evaluation's tasks that they solve, over time.

Whether they got worse is `core/answers.py`'s to judge.
"""

from __future__ import annotations

import streamlit as st

from core.actions.available import why_not
from core.answers import WorseAnswers
from core.series import Signal
from ui import access, formats, history, plan_dialog, view


def tasks_solved() -> None:
    """The chart, and below it what to do about each tier whose answers got worse."""
    derived = access.derived()
    shown = [w for w in derived.worse.values() if view.current().shows(w.tier)]
    alone = derived.worse.get(view.current().tier or "")
    history.tier_chart(
        "Tasks solved", [Signal.SOLVED], key="t_solved", near=True,
        note="share of an evaluation's tasks; the axis does not begin at zero",
        limit_line=(alone.usual_ratio, "usual") if alone is not None else None,
        empty=(
            "No evaluation writes this metric",
            "A job may have each tier solve tasks and write which share its answers solved "
            "(docs/evaluation.md); for the chosen tiers and this time range none did.",
        ),
    )  # fmt: skip
    for worse in shown:
        _next_step(worse)


def _next_step(worse: WorseAnswers) -> None:
    spec = access.snapshot().spec(worse.tier)
    actor = access.console().actor()
    reason = actor.why_not or why_not(access.snapshot(), "roll_back", spec)
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center",
        gap="small", key=f"worse_{worse.tier}",
    ):  # fmt: skip
        st.markdown(
            f":orange[:material/trending_down:] **{formats.plain(spec.title)}** solves "
            f"{worse.now_ratio:.1%} of the tasks, usually {worse.usual_ratio:.1%}, and "
            "failed requests do not explain all of it. Look at its last roll-out.",
            width="stretch",
        )
        if st.button(
            "Roll back", key=f"worse_roll_back_{worse.tier}", type="tertiary",
            icon=":material/undo:", disabled=bool(reason), help=reason or "Shows a plan first",
        ):  # fmt: skip
            plan_dialog.open_action("roll_back", worse.tier)
            st.rerun()
