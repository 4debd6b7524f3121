"""A second person's word, and an admin's: in the plan's dialog, and waiting on the Audit page.

Who may decide is checked in `control/approvals.py` and the executor; here it is only told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import streamlit as st

from control.access import Role
from control.approvals import APPROVED, WAITING, Approval
from control.planning import Judged
from core import guards
from core.errors import HeartwoodError
from core.plans import Outcome, Verdict
from ui import access, formats, plan_view, states, words

_POLL_S: Final = 2.0
_LOOKS: Final[Mapping[str, tuple[str, str]]] = {
    "waiting": ("violet", "hourglass_top"),
    "approved": ("green", "how_to_reg"),
    "declined": ("red", "block"),
    "expired": ("gray", "timer_off"),
    "used": ("blue", "done_all"),
}


def given_for(judged: Judged) -> Approval | None:
    """An approval that the person here may use for that plan; None: there is none."""
    if not any(v.outcome is Outcome.APPROVAL for v in judged.verdicts):
        return None
    console = access.console()
    return console.approvals.given_for(judged.plan.digest, console.actor())


def ask_control(judged: Judged, *, key: str) -> None:
    """Asks a second person for a plan that needs one, and waits for their word."""
    outcomes = {v.outcome for v in judged.verdicts}
    if Outcome.APPROVAL not in outcomes or Outcome.BLOCK in outcomes:
        return
    console = access.console()
    mine = [
        a
        for a in console.approvals.recent()
        if (a.digest, a.asked_by) == (judged.plan.digest, console.actor().name)
    ]
    found = mine[0] if mine else None
    if found is not None and not _is_open(found):  # told, and it may be asked for again
        _tell(found)
        found = None
    found = found or _ask(judged, key)
    if found is None:
        return
    _tell(found)
    if found.state == WAITING:
        st.fragment(_wait, run_every=_POLL_S)(found.id)


def _ask(judged: Judged, key: str) -> Approval | None:
    actor = access.console().actor()
    place = st.empty()
    if not place.button(
        "Ask a second person",
        icon=":material/group:",
        key=f"ask_{key}",
        disabled=bool(actor.lacks()),
        help=actor.lacks() or "Somebody with the role approver finds it on their Audit page",
    ):
        return None
    reason = str(st.session_state.get("plan_reason") or "")
    try:
        found = access.console().ask_approval(judged, reason)
    except HeartwoodError as error:
        states.show_problem("It was not asked", states.problem_of(error))
        return None
    place.empty()
    return found


def _wait(request: str) -> None:
    """Polls for the word; the whole page follows when it is there."""
    if access.console().approvals.get(request).state != WAITING:
        st.rerun()
    st.caption("Waiting. This window may be closed: the request stands on the Audit page.")


def _tell(found: Approval) -> None:
    text = words.badge(found.state, _LOOKS[found.state])
    if found.decided_by:
        said = f": {found.decided_reason}" if found.decided_reason else ""
        text += f" by **{formats.plain(found.decided_by)}**{formats.plain(said)}"
    until = f", until {formats.clock(found.expires_at)} UTC" if _is_open(found) else ""
    asked = f"asked by {found.asked_by} at {formats.clock(found.asked_at)}{until}"
    st.markdown(f"{text} :small[:gray[{formats.plain(asked)}]]")


def _is_open(found: Approval) -> bool:
    return found.state in (WAITING, APPROVED)


def overrides(verdicts: Sequence[Verdict], *, key: str) -> Mapping[str, str]:
    """A box with a reason for each block that an admin may decide against: guard → reason."""
    able = [v for v in verdicts if guards.may_be_overridden(v)]
    if not able:
        return {}
    lacks = access.console().actor().lacks(Role.ADMIN)
    if lacks:
        names = ", ".join(plan_view.guard_title(v) for v in able)
        st.caption(f"{formats.plain(names)} can be overridden by an admin. {formats.plain(lacks)}")
        return {}
    chosen: dict[str, str] = {}
    for verdict in able:
        title = plan_view.guard_title(verdict)
        if st.checkbox(f":red[Override] {title}", key=f"override_{verdict.guard}_{key}"):
            chosen[verdict.guard] = st.text_input(
                f"Why {title.lower()} does not count",
                key=f"why_{verdict.guard}_{key}",
                placeholder="Kept in the audit, under your name",
            ).strip()
    return chosen


def panel(open_plan: Callable[[Judged], None]) -> None:
    """What waits for a second person, and what was approved and waits for its use."""
    waiting = [a for a in access.console().approvals.recent() if _is_open(a)]
    if not waiting:
        return
    states.heading("Waiting for a second person")
    for found in waiting:
        with st.container(border=True, key=f"approval_{found.id}"):
            st.markdown(f"**{formats.plain(found.plan.title)}**")
            _tell(found)
            if found.reason:
                st.markdown(f"Reason: {formats.plain(found.reason)}")
            st.markdown(plan_view.cost_lines(found.plan.cost))
            with st.expander("The whole plan, judged as of now", type="compact"):
                judged = access.console().judge(found.plan)
                plan_view.what_changes(judged)
                plan_view.draw_verdicts(judged.verdicts, key=f"verdicts_{found.id}")
                st.caption(f"Digest {found.digest}")
            _decide(found, open_plan)


def _decide(found: Approval, open_plan: Callable[[Judged], None]) -> None:
    actor = access.console().actor()
    own = found.asked_by.casefold() == actor.name.casefold()
    why_not = actor.lacks(Role.APPROVER)
    if own:
        why_not = f"{actor.name} asked for it: a second person approves."
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        if found.state == APPROVED:
            cannot = actor.lacks()
            if found.decided_by.casefold() == actor.name.casefold():
                cannot = "Who approved it does not apply it."
            st.button(
                "Apply…", key=f"apply_{found.id}", type="primary", disabled=bool(cannot),
                help=cannot or "Opens the approved plan", on_click=_open, args=(found, open_plan),
            )  # fmt: skip
            return
        reason = st.text_input(
            "Your reason", key=f"say_{found.id}", disabled=bool(why_not), width=320
        )
        for word, approve in (("Approve", True), ("Decline", False)):
            if st.button(
                word, key=f"{word.lower()}_{found.id}", disabled=bool(why_not),
                help=why_not or None, type="primary" if approve else "secondary",
            ):  # fmt: skip
                _say(found, approve, reason)
    if why_not:
        st.caption(formats.plain(why_not))


def _open(found: Approval, open_plan: Callable[[Judged], None]) -> None:
    open_plan(access.console().judge(found.plan))


def _say(found: Approval, approve: bool, reason: str) -> None:
    try:
        access.console().decide_approval(found.id, approve=approve, reason=reason)
    except HeartwoodError as error:
        states.show_problem("It was not decided", states.problem_of(error))
        return
    st.rerun()
