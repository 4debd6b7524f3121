"""Taking back what an action did: the button on its page, and the form that names an action.

Planning it is `core/actions/take_back.py`'s; the plan is shown and agreed to like any other, in
`ui/plan_dialog.py`. Nothing is taken back by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import streamlit as st

from control.planning import Judged
from core.actions.take_back import ACTION, ENDED, INTENT, why_not
from core.errors import HeartwoodError
from core.plans import AuditEntry, Request
from core.records import Snapshot
from core.specs import TierSpec
from ui import access, formats, states

OpenPlan = Callable[[Judged], None]
_LISTED: Final = 20
_HELP: Final = (
    "Deletes what it made and writes back what it changed, where that is as it left it; what it"
    " deleted stays deleted. Shows a plan first"
)


def draw_control(intent: str, open_plan: OpenPlan) -> None:
    """The button for an action that has ended; disabled with the reason where it makes no sense.

    Also opens the plan when somebody stopped the action here in order to take it back.
    """
    entry = access.console().audit.entry(intent)
    if entry is None or entry.state not in ENDED:
        return
    reason = why_not_now(entry)
    wanted = st.session_state.pop(_wish_key(intent), False)
    clicked = st.button(
        "Take back what was done",
        icon=":material/undo:",
        key=f"take_back_{intent}",
        disabled=bool(reason),
        help=formats.plain(reason) or _HELP,
    )
    if (clicked or wanted) and not reason:
        _open(entry, open_plan)
    problem = st.session_state.get(_told_key(intent))
    if problem is not None:  # also while the dialog around it is drawn anew each second
        states.show_problem("It cannot be taken back", problem)


def wish(intent: str) -> None:
    """Have the plan opened when the action has stopped, while its page stays open."""
    st.session_state[_wish_key(intent)] = True


def why_not_now(entry: AuditEntry) -> str:
    """Why it cannot be taken back from here; "" when a plan may be asked for."""
    audit = access.console().audit
    reason = why_not(audit.plan_of(entry.intent), entry.state, entry.tier)
    if not reason and not audit.begun(entry.intent):
        reason = "It ended before its first change"
    return reason or access.console().actor().lacks()


def draw_form(_snapshot: Snapshot, spec: TierSpec) -> Request | str:
    """Which action of the tier; the newest that can be taken back stands first."""
    entries = access.console().audit.entries(tier=spec.name, limit=_LISTED)
    names = {
        e.intent: f"{e.title}, {e.state} at {formats.stamp(e.finished_at)} ({e.intent[:8]})"
        for e in entries
        if e.state in ENDED and not why_not_now(e)
    }
    if not names:
        return f"None of the newest {_LISTED} actions on {spec.title} can be taken back."
    chosen = st.selectbox(
        "Action", list(names), key="plan_intent", format_func=names.__getitem__, width=640
    )
    return Request(ACTION, spec.name, {INTENT: chosen})


def _open(entry: AuditEntry, open_plan: OpenPlan) -> None:
    """Plan it and have the dialog show the plan."""
    try:
        with st.spinner("Planning"):
            judged = access.console().plan(Request(ACTION, entry.tier, {INTENT: entry.intent}))
    except HeartwoodError as error:
        st.session_state[_told_key(entry.intent)] = states.problem_of(error)
        return
    st.session_state.pop(_told_key(entry.intent), None)
    open_plan(judged)
    st.rerun()


def _wish_key(intent: str) -> str:
    return f"take_back_wish_{intent}"


def _told_key(intent: str) -> str:
    return f"take_back_told_{intent}"
