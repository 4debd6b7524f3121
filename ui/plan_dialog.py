"""The dialog of a guarded action: its form, the plan, every verdict, consent, apply, progress.

It decides nothing: plans and verdicts come from `control/planning.py`, applying is
`control/executor.py`'s, which checks everything again. The intent's id is made when the plan is
shown, so that two clicks, or a rerun in between, are one intent. What each action asks for is
`ui/action_forms.py`'s. The dialog is in the address (`do=ACTION:TIER`), so that it can be linked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import streamlit as st

from control.executor import new_intent
from control.planning import Judged
from core.consent import Friction, friction
from core.errors import HeartwoodError
from core.plans import Outcome, Request
from ui import access, action_forms, approvals_view, formats, plan_view, progress_view, states, view

_KEY: Final = "shown_plan"
_LINK: Final = "do"
_TICKS: Final = (Outcome.CONSENT, Outcome.WARN)
_STOPS: Final = (Outcome.BLOCK, Outcome.APPROVAL)
_POLL_S: Final = 1.0


@dataclass(slots=True)
class Shown:
    """The plan that the dialog shows, under the id that applying it will have."""

    request: Request
    judged: Judged
    intent: str = field(default_factory=new_intent)
    submitted: bool = False
    fixed: bool = False  # it was approved as it stands: no form makes another of it


def open_action(action: str, tier: str) -> None:
    """Have the dialog of that action on that tier shown from the next run on; for callbacks."""
    st.session_state.pop(_KEY, None)
    st.query_params[_LINK] = f"{action}:{tier}"
    view.open_dialog(f"{action}:{tier}")


def open_plan(judged: Judged) -> None:
    """Have the dialog show that plan, as it is, from the next run on; for callbacks."""
    request = judged.plan.request
    st.session_state[_KEY] = Shown(request, judged, fixed=True)
    view.open_dialog(f"{request.action}:{request.tier}")


def follow_link() -> None:
    """Have the dialog that the address names open, and no other; before the page is drawn.

    The browser's Back takes the name out of the address, so it closes the dialog.
    """
    wanted = st.query_params.get(_LINK)
    if wanted == view.dialog():
        return
    st.session_state.pop(_KEY, None)
    view.close_dialog()
    if wanted and _known(wanted) is not None:
        view.open_dialog(wanted)


def _known(name: str) -> tuple[str, str] | None:
    """The action and the tier of a dialog's name; None: it names no such things."""
    action, _, tier = name.partition(":")
    tiers = {spec.name for spec in access.snapshot().specs}
    return (action, tier) if action in action_forms.FORMS and tier in tiers else None


def _close() -> None:
    st.session_state.pop(_KEY, None)
    st.query_params.pop(_LINK, None)
    view.close_dialog()


def draw() -> None:
    """The dialog, while it is open."""
    named = _known(view.dialog() or "")
    if named is None:
        return
    action, tier = named
    title = action_forms.FORMS[action].title(access.snapshot().spec(tier))
    st.dialog(title, width="large", on_dismiss=_close)(_content)(action, tier)


def _content(action: str, tier: str) -> None:
    shown: Shown | None = st.session_state.get(_KEY)
    if shown is not None and shown.submitted:
        _progress(shown.intent)
        return
    if shown is None or not shown.fixed:
        shown = _planned(action, tier, shown)
    if shown is None:
        _buttons(None, "There is no plan to apply")
        return
    approval = approvals_view.given_for(shown.judged)
    if approval is not None:  # the same plan, which lives as long as the word on it
        shown.judged = Judged(approval.plan, shown.judged.verdicts)
    plan_view.what_changes(shown.judged)
    plan_view.draw_verdicts(shown.judged.verdicts, key="verdicts")
    ticked = _consents(shown)
    overridden = approvals_view.overrides(shown.judged.verdicts, key=shown.intent)
    st.text_input(
        "Reason (kept in the audit)", key="plan_reason", placeholder="Why, for who reads this later"
    )
    approvals_view.ask_control(shown.judged, key=shown.intent)
    _buttons(shown, _why_not(shown, ticked, overridden, approved=approval is not None), overridden)


def _planned(action: str, tier: str, shown: Shown | None) -> Shown | None:
    """The form, and the plan that it asks for; None: there is none."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="plan_form"):
        request = action_forms.FORMS[action].draw(access.snapshot(), access.snapshot().spec(tier))
        again = st.button("Plan again", icon=":material/refresh:", key="plan_again")
    if request is None:
        return None
    if again or shown is None or shown.request != request:
        return _plan(request)
    return shown


def _plan(request: Request) -> Shown | None:
    """Make, keep and return the plan; None with the reason drawn when it cannot be made."""
    st.session_state.pop(_KEY, None)
    try:
        with st.spinner("Planning"):
            judged = access.console().plan(request)
    except HeartwoodError as error:
        states.show_problem("This cannot be planned", states.problem_of(error))
        return None
    shown = Shown(request, judged)
    st.session_state[_KEY] = shown
    return shown


def _consents(shown: Shown) -> set[str]:
    """A box for each danger, the tier's name where it is red; the names of the ticked guards.

    New with every plan.
    """
    ticked: set[str] = set()
    for verdict in shown.judged.verdicts:
        if verdict.outcome in _TICKS and st.checkbox(
            f"I accept: {formats.plain(verdict.reason)}", key=f"tick_{verdict.guard}_{shown.intent}"
        ):
            ticked.add(verdict.guard)
    if _friction(shown) is Friction.RED:
        st.text_input(
            f":red[:material/warning:] This stops something from serving, or moves all of a tier's"
            f" users. Type **{shown.request.tier}** to confirm.",
            key=_typed_key(shown), live=True, autocomplete="off",
        )  # fmt: skip
    return ticked


def _friction(shown: Shown) -> Friction:
    return friction(shown.judged.plan, shown.judged.verdicts)


def _typed_key(shown: Shown) -> str:
    return f"typed_{shown.intent}"


def _why_not(
    shown: Shown, ticked: set[str], overridden: Mapping[str, str], *, approved: bool
) -> str:
    """Why it cannot be applied now; "" when it can."""
    actor = access.console().actor()
    if not actor.may_act:
        return actor.why_not
    waiting = access.console().why_not_applying()
    if waiting:
        return waiting
    if access.now() > shown.judged.plan.expires_at:
        return "The plan has expired: plan again"
    stops = [
        v
        for v in shown.judged.verdicts
        if v.outcome in _STOPS
        and not overridden.get(v.guard)
        and not (approved and v.outcome is Outcome.APPROVAL)
    ]
    if stops:
        return "Blocked: " + "; ".join(f"{plan_view.guard_title(v)}: {v.reason}" for v in stops)
    missing = [v for v in shown.judged.verdicts if v.outcome in _TICKS and v.guard not in ticked]
    if missing:
        return f"Tick {formats.plural(len(missing), 'box', 'boxes')} above first"
    typed = str(st.session_state.get(_typed_key(shown)) or "").strip()
    if _friction(shown) is Friction.RED and typed != shown.request.tier:
        return f"Type {shown.request.tier} above first"
    return ""


def _buttons(
    shown: Shown | None, why_not: str, overridden: Mapping[str, str] = MappingProxyType({})
) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="right"):
        if why_not:
            st.markdown(f":small[:gray[{formats.plain(why_not)}]]", width="content")
        cancel = st.button("Cancel", key="plan_cancel")
        apply = st.button("Apply", key="plan_apply", type="primary", disabled=bool(why_not))
    if cancel:
        _close()
        st.rerun()
    if apply and shown is not None and not why_not:
        _submit(shown, overridden)


def _submit(shown: Shown, overridden: Mapping[str, str]) -> None:
    ticked = {
        v.guard
        for v in shown.judged.verdicts
        if st.session_state.get(f"tick_{v.guard}_{shown.intent}")
    }
    try:
        access.console().submit(
            shown.judged,
            ticked,
            reason=str(st.session_state.get("plan_reason") or ""),
            intent=shown.intent,
            overrides={guard: why for guard, why in overridden.items() if why},
        )
    except HeartwoodError as error:
        states.show_problem("It was not applied", states.problem_of(error))
        return
    shown.submitted = True
    st.rerun(scope="fragment")


def _progress(intent: str) -> None:
    """Where the intent stands, polled; leaving the dialog leaves the work alone."""

    @st.fragment(run_every=_POLL_S)
    def poll() -> None:
        progress_view.draw_progress(intent)

    poll()
    with st.container(horizontal=True, horizontal_alignment="right"):
        st.page_link(
            "pages/audit.py", label="Open in Audit", icon=":material/history:",
            query_params={"intent": intent},
        )  # fmt: skip
        if st.button("Close", key="plan_close", help="The work goes on without this window"):
            _close()
            st.rerun()
