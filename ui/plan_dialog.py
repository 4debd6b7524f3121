"""The dialog of a guarded action: the plan, every verdict, consent, apply, progress.

It decides nothing: plans and verdicts come from `control/planning.py`, applying is
`control/executor.py`'s, which checks everything again. The intent's id is made when the plan is
shown, so that two clicks, or a rerun in between, are one intent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import streamlit as st

from control.audit import FINAL_STATES
from control.executor import new_intent
from control.planning import Judged
from core.errors import HeartwoodError
from core.plans import CostChange, Outcome, Request, Step, Verdict
from core.specs import TierSpec
from ui import access, formats, states, view, words

_KEY: Final = "shown_plan"
_TICKS: Final = (Outcome.CONSENT, Outcome.WARN)
_STOPS: Final = (Outcome.BLOCK, Outcome.APPROVAL)
_POLL_S: Final = 1.0


@dataclass(slots=True)
class Shown:
    """The plan that the dialog shows, under the id that applying it will have."""

    tier: str
    delta: int
    judged: Judged
    intent: str = field(default_factory=new_intent)
    submitted: bool = False


def scale_buttons(specs: Sequence[TierSpec]) -> None:
    """A button for every tier that can be scaled; says why when the person may not act."""
    if not specs:
        return
    actor = access.console().actor()
    with st.container(horizontal=True, gap="small"):
        for spec in specs:
            st.button(
                f"Scale {spec.title}",
                key=f"scale_{spec.name}",
                icon=":material/expand:",
                on_click=_open,
                args=(spec.name,),
                disabled=not actor.may_act,
                help=actor.why_not or "Add or remove host-slices; shows a plan first",
            )


def _open(tier: str) -> None:
    st.session_state.pop(_KEY, None)
    view.open_dialog(f"scale:{tier}")


def _close() -> None:
    st.session_state.pop(_KEY, None)
    view.close_dialog()


def draw() -> None:
    """The dialog, while it is open."""
    name = view.dialog() or ""
    if not name.startswith("scale:"):
        return
    tier = name.removeprefix("scale:")
    title = access.snapshot().spec(tier).title
    st.dialog(f"Scale {title}", width="large", on_dismiss=_close)(_content)(tier)


def _content(tier: str) -> None:
    shown: Shown | None = st.session_state.get(_KEY)
    if shown is not None and shown.submitted:
        _progress(shown.intent)
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        way = st.segmented_control(
            "Change", ["Add", "Remove"], default="Add", required=True, key="plan_way"
        )
        amount = st.number_input("Host-slices", 1, 64, 1, key="plan_amount", width=120)
        again = st.button("Plan again", icon=":material/refresh:", key="plan_again")
    delta = int(amount) * (1 if way == "Add" else -1)
    if again or shown is None or (shown.tier, shown.delta) != (tier, delta):
        shown = _plan(tier, delta)
    if shown is None:
        _buttons(None, "There is no plan to apply")
        return
    _what_changes(shown.judged)
    draw_verdicts(shown.judged.verdicts, key="verdicts")
    ticked = _consents(shown)
    st.text_input(
        "Reason (kept in the audit)", key="plan_reason", placeholder="Why, for who reads this later"
    )
    _buttons(shown, _why_not(shown, ticked))


def _plan(tier: str, delta: int) -> Shown | None:
    """Make, keep and return the plan; None with the reason drawn when it cannot be made."""
    st.session_state.pop(_KEY, None)
    try:
        with st.spinner("Planning"):
            judged = access.console().plan(Request("scale_tier", tier, {"delta": delta}))
    except HeartwoodError as error:
        states.show_problem("This cannot be planned", states.problem_of(error))
        return None
    shown = Shown(tier, delta, judged)
    st.session_state[_KEY] = shown
    return shown


def _what_changes(judged: Judged) -> None:
    plan = judged.plan
    st.markdown(f"### {formats.plain(plan.title)}")
    draw_steps(plan.steps)
    st.markdown(cost_lines(plan.cost), help=formats.plain(plan.cost.source))
    affected = [*plan.affected, *(f"Cannot be undone: {s}" for s in plan.irreversible)]
    st.markdown("\n".join(f"- {formats.plain(s)}" for s in affected))
    commands = "\n".join(step.command for step in plan.steps)
    with st.expander("Equivalent command", icon=":material/terminal:", type="compact"):
        st.code(commands, language="bash", wrap_lines=True)
        st.caption(
            f"Needs {', '.join(plan.permissions)}. Plan {plan.digest[:12]}, made "
            f"{formats.clock(plan.made_at)}, expires {formats.clock(plan.expires_at)} UTC."
        )


def draw_steps(steps: Sequence[Step]) -> None:
    """What each step changes, before → after, and how long it usually takes."""
    rows = [
        {
            "What changes": formats.plain(step.title),
            "Before": _facts(step.before),
            "After": f"**{_facts(step.after)}**",
            "Takes": formats.duration(step.expected_s),
        }
        for step in steps
    ]
    st.table(rows, border="horizontal", hide_index=True, alt="Steps of the plan")


def _facts(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items())


def cost_lines(cost: CostChange) -> str:
    """Dollars per hour and per day, before → after, as Markdown."""
    before, after = cost.before_usd_per_hour, cost.after_usd_per_hour
    delta = cost.delta_usd_per_hour
    day_before = None if before is None else before * 24
    day_after = None if after is None else after * 24
    day_delta = None if delta is None else delta * 24
    lines = [
        f"**{formats.money_exact(before)} → {formats.money_exact(after)} per hour** "
        f"({formats.money_change(delta)})",
        f"{formats.money_exact(day_before)} → {formats.money_exact(day_after)} per day "
        f"({formats.money_change(day_delta)})",
    ]
    text = "  \n".join(lines).replace("$", "\\$")
    return f"{text} :small[:gray[{cost.basis} price]]"


def draw_verdicts(verdicts: Sequence[Verdict], *, key: str) -> None:
    """Every guard's word, also of those that pass, with the arithmetic."""
    with st.container(border=True, gap="xsmall", key=key):
        for verdict in verdicts:
            look = words.OUTCOMES[verdict.outcome]
            text = f"{words.badge(verdict.outcome.value, look)} **{_guard(verdict)}** — "
            text += formats.plain(verdict.reason)
            if verdict.lift:
                text += f"  \n:small[:gray[What would lift it: {formats.plain(verdict.lift)}]]"
            st.markdown(text)
            if verdict.arithmetic:
                with st.expander(
                    "Arithmetic", type="compact", expanded=verdict.guard == "capacity_left"
                ):
                    st.code("\n".join(verdict.arithmetic), language=None, wrap_lines=True)


def _guard(verdict: Verdict) -> str:
    return verdict.guard.replace("_", " ").capitalize()


def _consents(shown: Shown) -> set[str]:
    """A box for each danger; the names of the ticked ones. New with every plan."""
    ticked: set[str] = set()
    for verdict in shown.judged.verdicts:
        if verdict.outcome in _TICKS and st.checkbox(
            f"I accept: {formats.plain(verdict.reason)}", key=f"tick_{verdict.guard}_{shown.intent}"
        ):
            ticked.add(verdict.guard)
    return ticked


def _why_not(shown: Shown, ticked: set[str]) -> str:
    """Why it cannot be applied now; "" when it can."""
    actor = access.console().actor()
    if not actor.may_act:
        return actor.why_not
    waiting = access.console().why_not_applying()
    if waiting:
        return waiting
    if access.now() > shown.judged.plan.expires_at:
        return "The plan has expired: plan again"
    stops = [v for v in shown.judged.verdicts if v.outcome in _STOPS]
    if stops:
        return "Blocked: " + "; ".join(f"{_guard(v)}: {v.reason}" for v in stops)
    missing = [v for v in shown.judged.verdicts if v.outcome in _TICKS and v.guard not in ticked]
    if missing:
        return f"Tick {formats.plural(len(missing), 'box', 'boxes')} above first"
    return ""


def _buttons(shown: Shown | None, why_not: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="right"):
        if why_not:
            st.markdown(f":small[:gray[{formats.plain(why_not)}]]", width="content")
        cancel = st.button("Cancel", key="plan_cancel")
        apply = st.button("Apply", key="plan_apply", type="primary", disabled=bool(why_not))
    if cancel:
        _close()
        st.rerun()
    if apply and shown is not None and not why_not:
        _submit(shown)


def _submit(shown: Shown) -> None:
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
        draw_progress(intent)

    poll()
    with st.container(horizontal=True, horizontal_alignment="right"):
        st.page_link(
            "pages/audit.py", label="Open in Audit", icon=":material/history:",
            query_params={"intent": intent},
        )  # fmt: skip
        if st.button("Close", key="plan_close", help="The work goes on without this window"):
            _close()
            st.rerun()


def draw_progress(intent: str) -> None:
    """One intent's state with a bar and the log of what happened."""
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
        for p in console.audit.log(intent)
    ]
    st.code("\n".join(lines), language=None, wrap_lines=True)
    if not done:
        st.caption("It runs outside this page: you may leave and find it again under Audit.")
        _stop_control(intent)


def _stop_control(intent: str) -> None:
    """Stops an action in progress, after asking once more."""
    console = access.console()
    actor = console.actor()
    with st.popover(
        "Stop this action",
        icon=":material/cancel:",
        key=f"stop_{intent}",
        disabled=not actor.may_act,
        help=actor.why_not or None,
    ):
        st.markdown(
            "Steps that have not begun are left out. A step that has begun is finished, since "
            "Google Cloud takes no half of it back. Your name goes to the audit."
        )
        if not st.button("Yes, stop it", key=f"stop_yes_{intent}", type="primary"):
            return
        try:
            stopped = console.cancel(intent)
        except HeartwoodError as error:
            states.show_problem("It was not stopped", states.problem_of(error))
            return
        if stopped:
            st.success("It stops before its next step.", icon=":material/check:")
        else:
            st.warning("Too late: its last step has begun, or it has ended.")
