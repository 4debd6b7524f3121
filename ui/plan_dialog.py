"""The dialog of a guarded action: its form, the plan, every verdict, consent, apply, progress.

It decides nothing: plans and verdicts come from `control/planning.py`, applying is
`control/executor.py`'s, which checks everything again. What each action asks for is
`ui/action_forms.py`'s, how a plan is agreed to `ui/consent_view.py`'s. The dialog is in the address
(`do=ACTION:TIER`, and `plan=DIGEST` of a saved plan), so that it can be linked.
"""

from __future__ import annotations

from typing import Final

import streamlit as st

from control.planning import Judged
from core.cloud_resources import PLATFORM
from core.errors import HeartwoodError
from core.plans import Plan, Request
from ui import (
    access,
    action_forms,
    approvals_view,
    consent_view,
    first_read,
    plan_share,
    plan_view,
    progress_view,
    shown_plan,
    states,
    view,
)
from ui.shown_plan import Shown

_LINK: Final = "do"
_POLL_S: Final = 1.0


def open_action(action: str, tier: str) -> None:
    """Have the dialog of that action on that tier shown from the next run on; for callbacks."""
    shown_plan.forget()
    st.query_params.pop(plan_share.LINK, None)
    st.query_params[_LINK] = f"{action}:{tier}"
    view.open_dialog(f"{action}:{tier}")


def open_plan(judged: Judged) -> None:
    """Have the dialog show that plan, as it is, from the next run on; for callbacks."""
    request = judged.plan.request
    shown_plan.put(Shown(request, judged, fixed=True))
    view.open_dialog(plan_share.name_of(request))


def _open_instead(judged: Judged) -> None:
    """The same in the place of the dialog that is open, which the address names."""
    st.query_params.pop(plan_share.LINK, None)
    st.query_params[_LINK] = plan_share.name_of(judged.plan.request)
    open_plan(judged)


def follow_link() -> None:
    """Have the dialog that the address names open, and no other; before the page is drawn.

    The browser's Back takes the name out of the address, so it closes the dialog.
    """
    wanted = st.query_params.get(_LINK)
    if wanted == view.dialog():
        return
    shown_plan.forget()
    view.close_dialog()
    if not wanted:
        return
    if _known(wanted) is None:
        st.warning(
            "The address asks for an action or a tier that is not there; nothing was opened. The "
            "menus on Fleet, Traffic and Cost have all there are.",
            icon=":material/link_off:",
        )
        return
    view.open_dialog(wanted)


def _known(name: str) -> tuple[str, str] | None:
    """The action and the tier of a dialog's name; None: it names no such things."""
    action, _, tier = name.partition(":")
    form = action_forms.FORMS.get(action)
    if form is None:
        return None
    if tier == PLATFORM:
        return (action, tier) if form.draw_all else None
    tiers = {spec.name for spec in access.snapshot().specs}
    return (action, tier) if form.draw and tier in tiers else None


def _close() -> None:
    shown_plan.forget()
    for name in (_LINK, plan_share.LINK):
        st.query_params.pop(name, None)
    view.close_dialog()


def draw() -> None:
    """The dialog, while it is open."""
    named = _known(view.dialog() or "")
    if named is None:
        return
    action, tier = named
    form = action_forms.FORMS[action]
    title = form.title(None if tier == PLATFORM else access.snapshot().spec(tier))
    st.dialog(title, width="large", on_dismiss=_close)(_content)(action, tier)


def _content(action: str, tier: str) -> None:
    shown = shown_plan.get()
    if shown is not None and shown.submitted:
        _progress(shown.intent)
        return
    if shown is None:
        saved = plan_share.wanted(f"{action}:{tier}")
        if saved is not None:
            shown = _kept(Shown(saved.request, access.console().judge(saved), fixed=True))
    found = _replanned(shown) if shown and shown.fixed else _planned(action, tier, shown)
    if isinstance(found, str):
        first_read.follow("Not everything has been read yet; this form follows when it is.")
        consent_view.buttons(None, found, _close)
        return
    _draw_plan(found)


def _draw_plan(shown: Shown) -> None:
    """All of it, what has to be agreed to, and the buttons."""
    approval = approvals_view.given_for(shown.judged)
    if approval is not None:  # the same plan, which lives as long as the word on it
        shown.judged = Judged(approval.plan, shown.judged.verdicts)
    if shown.before is not None:
        plan_share.draw_differences(shown.before, shown.judged.plan)
    plan_view.what_changes(shown.judged)
    plan_share.draw(shown.judged)
    plan_view.draw_verdicts(shown.judged.verdicts, key="verdicts")
    ticked = consent_view.draw_consents(shown)
    overridden = approvals_view.overrides(shown.judged.verdicts, key=shown.intent)
    consent_view.draw_reason()
    approvals_view.ask_control(shown.judged, key=shown.intent)
    why_not = consent_view.why_not(shown, ticked, overridden, approved=approval is not None)
    consent_view.buttons(shown, why_not, _close, overridden)


def _kept(shown: Shown) -> Shown:
    shown_plan.put(shown)
    return shown


def _replanned(shown: Shown) -> Shown:
    """A saved or approved plan as it is, or made again when that is asked for."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="plan_form"):
        st.markdown(
            f":small[:gray[As it was planned on {plan_view.made(shown.judged.plan)}, judged now]]",
            width="content",
        )
        again = _again_button()
    if not again:
        return shown
    return _plan(shown.request, shown.judged.plan, fixed=True) or _kept(shown)


def _again_button(*, disabled: bool = False) -> bool:
    return st.button("Plan again", icon=":material/refresh:", key="plan_again", disabled=disabled)


def _planned(action: str, tier: str, shown: Shown | None) -> Shown | str:
    """The form, and the plan that it asks for; else why there is none."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="plan_form"):
        request = action_forms.FORMS[action].ask(access.snapshot(), tier)
        again = _again_button(disabled=isinstance(request, str))
    if isinstance(request, str):
        shown_plan.forget()  # what the form says now is no wish: nothing may be applied
        return request
    if shown is not None and shown.request == request and not again:
        return shown
    same = shown is not None and shown.request == request
    before = shown.judged.plan if shown is not None and same else None
    return _plan(request, before) or "There is no plan to apply"


def _plan(request: Request, before: Plan | None, *, fixed: bool = False) -> Shown | None:
    """Make, keep and return the plan; None with the reason drawn when it cannot be made."""
    shown_plan.forget()
    try:
        with st.spinner("Planning"):
            judged = access.console().plan(request)
    except HeartwoodError as error:
        states.show_problem("This cannot be planned", states.problem_of(error))
        return None
    return _kept(Shown(request, judged, fixed=fixed, before=before))


def _progress(intent: str) -> None:
    """Where the intent stands, polled; leaving the dialog leaves the work alone."""

    @st.fragment(run_every=_POLL_S)
    def poll() -> None:
        progress_view.draw_progress(intent, _open_instead)

    poll()
    with st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center"):
        st.page_link(
            "pages/audit.py", label="Open in Audit", icon=":material/history:",
            # With the shared choices: their widgets would write themselves into the address.
            query_params={**view.shared_parameters(), "intent": intent},
        )  # fmt: skip
        if st.button("Close", key="plan_close", help="The work goes on without this window"):
            _close()
            st.rerun()
