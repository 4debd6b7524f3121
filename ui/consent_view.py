"""How a shown plan is agreed to, in proportion, and sent off: ticks, the typed name, the click.

What has to be agreed to is `core/consent.py`'s and the guards'; the executor checks all of it
again. A plan without any danger is applied some seconds after the click, so that it can be taken
back; the window runs in the page alone: closed or left, nothing happens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from core.consent import Friction, friction
from core.errors import HeartwoodError
from core.plans import Outcome
from ui import access, formats, plan_view, shown_plan, states
from ui.shown_plan import Agreed, Shown

_LATE_S: Final = 60.0  # a browser that slept through the window has not watched it
_TICK_S: Final = 0.5
_TICKS: Final = (Outcome.CONSENT, Outcome.WARN)


def draw_consents(shown: Shown) -> set[str]:
    """A box for each danger, the tier's name where it is red; the names of the ticked guards.

    New with every plan.
    """
    ticked: set[str] = set()
    for verdict in shown.judged.verdicts:
        if verdict.outcome in _TICKS and st.checkbox(
            f"I accept: {formats.plain(formats.shortened(verdict.reason, 180))}",
            key=f"tick_{verdict.guard}_{shown.intent}",
        ):
            ticked.add(verdict.guard)
    if _friction(shown) is Friction.RED:
        st.text_input(
            f":red[:material/warning:] This stops something from serving, or moves all of a tier's"
            f" users. Type **{shown.request.tier}** to confirm.",
            key=_typed_key(shown), live=True, autocomplete="off",
        )  # fmt: skip
    return ticked


def draw_reason() -> None:
    """Why somebody does this; kept in the audit."""
    st.text_input(
        "Reason (kept in the audit)", key="plan_reason", placeholder="Why, for who reads this later"
    )


def _friction(shown: Shown) -> Friction:
    return friction(shown.judged.plan, shown.judged.verdicts)


def _typed_key(shown: Shown) -> str:
    return f"typed_{shown.intent}"


def why_not(
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
    open_ones = [v for v in shown.judged.verdicts if not overridden.get(v.guard)]
    blocks = [v for v in open_ones if v.outcome is Outcome.BLOCK]
    if blocks:
        return "Blocked: " + "; ".join(f"{plan_view.guard_title(v)}: {v.reason}" for v in blocks)
    if not approved and any(v.outcome is Outcome.APPROVAL for v in open_ones):
        return "A second person has to approve it first"
    missing = [v for v in shown.judged.verdicts if v.outcome in _TICKS and v.guard not in ticked]
    if missing:
        return f"Tick {formats.plural(len(missing), 'box', 'boxes')} above first"
    typed = str(st.session_state.get(_typed_key(shown)) or "").strip()
    if _friction(shown) is Friction.RED and typed != shown.request.tier:
        return f"Type {shown.request.tier} above first"
    return ""


def buttons(
    shown: Shown | None,
    reason_not: str,
    close: Callable[[], None],
    overridden: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Cancel and Apply; while the cancel window runs, what is left of it and the way back."""
    if shown is not None and shown.applies_at is not None:
        if not reason_not:
            st.fragment(_count_down, run_every=_TICK_S)(shown)
            return
        shown.applies_at = None  # something changed meanwhile that forbids it
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="right"):
        if reason_not:
            st.markdown(f":small[:gray[{formats.plain(reason_not)}]]", width="content")
        cancel = st.button("Cancel", key="plan_cancel")
        apply = st.button("Apply", key="plan_apply", type="primary", disabled=bool(reason_not))
    if cancel:
        close()
        st.rerun()
    if apply and shown is not None and not reason_not:
        _click(shown, overridden)


def _click(shown: Shown, overridden: Mapping[str, str]) -> None:
    """Keep what was agreed to; begin the cancel window, or apply where there was friction."""
    shown.agreed = Agreed(
        frozenset(
            v.guard
            for v in shown.judged.verdicts
            if st.session_state.get(f"tick_{v.guard}_{shown.intent}")
        ),
        {guard: why for guard, why in overridden.items() if why},
        str(st.session_state.get("plan_reason") or ""),
    )
    if _friction(shown) is Friction.GREEN:
        shown.applies_at = access.now() + timedelta(seconds=_window_s())
        _draw_dialog_again()
    if _submit(shown):
        _draw_dialog_again()


def _draw_dialog_again() -> None:
    """The dialog alone where that can be: the page below would take longer, and change nothing."""
    context = get_script_run_ctx()
    alone = context is not None and bool(context.fragment_ids_this_run)
    st.rerun(scope="fragment" if alone else "app")


def _window_s() -> float:
    return access.console().settings.guards.cancel_window_s


def _count_down(shown: Shown) -> None:
    """What is left of the window; applies at its end, when this is still the plan that is shown."""
    if shown_plan.get() is not shown or shown.applies_at is None:
        return
    left_s = (shown.applies_at - access.now()).total_seconds()
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        undo = st.button("Do not apply", key="plan_undo", icon=":material/undo:", type="primary")
        shown_s = max(0, round(left_s))
        share = min(1.0, max(0.0, left_s / max(_window_s(), _TICK_S)))
        st.progress(share, text=f"Applying in {shown_s} s" if left_s > 0 else "Applying")
    if undo or left_s < -_LATE_S:
        shown.applies_at = None
        st.rerun()
    if left_s <= 0:
        shown.applies_at = None
        if _submit(shown):
            st.rerun()


def _submit(shown: Shown) -> bool:
    """Send it off; False: it was refused, which is told."""
    assert shown.agreed is not None
    try:
        access.console().submit(
            shown.judged,
            shown.agreed.consents,
            reason=shown.agreed.reason,
            intent=shown.intent,
            overrides=shown.agreed.overrides,
        )
    except HeartwoodError as error:
        states.show_problem("It was not applied", states.problem_of(error))
        return False
    shown.submitted = True
    return True
