"""A plan as it is shown before the click, and again in the audit: steps, cost, verdicts.

The dialog around it is `ui/plan_dialog.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import streamlit as st

from control.planning import Judged
from core.plans import CostChange, Outcome, Step, Verdict
from ui import formats, words

_WORST_FIRST: Final = (Outcome.BLOCK, Outcome.APPROVAL, Outcome.CONSENT, Outcome.WARN)


def what_changes(judged: Judged) -> None:
    """The whole plan: steps, cost, who is affected, the equivalent commands."""
    plan = judged.plan
    st.markdown(f"## {formats.plain(plan.title)}")
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
    told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items())
    return formats.plain(told)


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
    """Every guard's word with the arithmetic; what stands in the way comes first."""
    telling = [v for v in verdicts if v.outcome is not Outcome.PASS]
    telling.sort(key=lambda v: _WORST_FIRST.index(v.outcome))
    passed = [v for v in verdicts if v.outcome is Outcome.PASS]
    with st.container(border=True, gap="xsmall", key=key):
        for verdict in telling:
            _draw_verdict(verdict)
        if passed:
            label = f"{formats.plural(len(passed), 'guard')} found no danger"
            icon = ":material/check_circle:"
            with st.expander(label, type="compact", icon=icon, expanded=not telling):
                for verdict in passed:
                    _draw_verdict(verdict)


def _draw_verdict(verdict: Verdict) -> None:
    look = words.OUTCOMES[verdict.outcome]
    text = f"{words.badge(verdict.outcome.value, look)} **{guard_title(verdict)}** — "
    text += formats.plain(verdict.reason)
    if verdict.lift:
        text += f"  \n:small[:gray[What would lift it: {formats.plain(verdict.lift)}]]"
    st.markdown(text)
    if verdict.arithmetic:
        opened = verdict.guard == "capacity_left"
        with st.expander("Arithmetic", type="compact", expanded=opened):
            st.code("\n".join(verdict.arithmetic), language=None, wrap_lines=True)


def guard_title(verdict: Verdict) -> str:
    """A guard's name in words."""
    return verdict.guard.replace("_", " ").capitalize()
