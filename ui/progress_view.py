"""Where an intent stands: its state with a bar, the log, and the ways to hold or stop it.

Used by the dialog and by the Audit page.
"""

from __future__ import annotations

from typing import Final

import streamlit as st

from control.audit import FINAL_STATES
from control.interventions import PAUSED
from core.errors import HeartwoodError
from ui import access, formats, states, take_back_view, words

_LOG_LINES: Final = 14
_LOG_PX: Final = 320


def draw_progress(intent: str, open_plan: take_back_view.OpenPlan) -> None:
    """One intent's state with a bar and the log of what happened.

    `open_plan` shows the plan that takes it back, where that is asked for.
    """
    console = access.console()
    found = console.progress(intent)
    if found is None:
        states.show_unknown("Progress")
        return
    look = words.INTENTS.get(found.state, ("gray", "help"))
    st.markdown(f"{words.badge(found.state, look)} {formats.plain(found.detail)}")
    done = found.state in FINAL_STATES
    share = 1.0 if found.state == "succeeded" else found.step / (found.steps + 1)
    st.progress(min(1.0, share), text=f"step {found.step} of {found.steps}")
    lines = [
        f"{formats.clock(p.updated_at)}  {p.state:<10} {p.detail}"
        for p in reversed(console.audit.log(intent))  # the newest is seen without scrolling
    ]
    height = _LOG_PX if len(lines) > _LOG_LINES else "content"
    st.code("\n".join(lines), language=None, wrap_lines=True, height=height)
    if not done:
        st.caption("It runs outside this page: you may leave and find it again under Audit.")
        with st.container(horizontal=True, gap="small"):
            _pause_control(intent, paused=found.state == PAUSED)
            _stop_control(intent)
    else:
        take_back_view.draw_control(intent, open_plan)


def _pause_control(intent: str, *, paused: bool) -> None:
    """Has no further step begin, or lets them begin again; one click, since both are taken back."""
    console = access.console()
    why_not = console.why_not_resume(intent) if paused else console.actor().lacks()
    st.button(
        "Go on" if paused else "Pause",
        icon=":material/play_arrow:" if paused else ":material/pause:",
        key=f"pause_{intent}",
        on_click=_turn,
        args=(intent, paused),
        disabled=bool(why_not),
        help=formats.plain(why_not)
        or (
            "Steps begin again"
            if paused
            else "No further step begins until somebody lets it go on; the tier stays locked"
        ),
    )
    told = st.session_state.pop(_told_key(intent), "")
    if told:
        st.warning(told, icon=":material/info:")


def _turn(intent: str, paused: bool) -> None:
    """Pause it or let it go on, before the state is drawn anew; what went wrong is told then."""
    console = access.console()
    try:
        done = console.resume(intent) if paused else console.pause(intent)
        told = "" if done else "Too late: its last step has begun, or it has ended."
    except HeartwoodError as error:
        told = formats.plain(f"It was not changed: {error.message}")
    if told:
        st.session_state[_told_key(intent)] = told


def _told_key(intent: str) -> str:
    return f"pause_told_{intent}"


def _stop_control(intent: str) -> None:
    """Stops an action in progress, after asking once more."""
    console = access.console()
    why_not = console.actor().lacks()
    with st.popover(
        "Stop this action",
        icon=":material/cancel:",
        key=f"stop_{intent}",
        disabled=bool(why_not),
        help=formats.plain(why_not) or None,
    ):
        st.markdown(
            "Steps that have not begun are left out. A step that has begun is finished, since "
            "Google Cloud takes no half of it back. Your name goes to the audit. What was done "
            "stays; taking it back is a plan of its own, which is shown once it has stopped if you "
            "ask for it here."
        )
        with st.container(horizontal=True, gap="small"):
            only = st.button("Yes, stop it", key=f"stop_yes_{intent}", type="primary")
            back = st.button("Stop, then plan to take it back", key=f"stop_back_{intent}")
        if not (only or back):
            return
        try:
            stopped = console.cancel(intent)
        except HeartwoodError as error:
            states.show_problem("It was not stopped", states.problem_of(error))
            return
        if back:  # also where it came too late: it ends by itself
            take_back_view.wish(intent)
        if stopped:
            st.success("It stops before its next step.", icon=":material/check:")
        else:
            st.warning("Too late: its last step has begun, or it has ended.")
