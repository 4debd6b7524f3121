"""A plan as it is shown before the click, and again in the audit: steps, cost, verdicts.

The dialog around it is `ui/plan_dialog.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import streamlit as st

from control.planning import Judged
from core.forecast import forecast_month
from core.plans import CostChange, Outcome, Plan, Step, Verdict
from core.pricing import HOURS_PER_MONTH, token_change
from ui import access, formats, words

_FEW: Final = 12  # steps that are seen at once
_PLACES: Final = ("zones/", "regions/", "global/")
_WORST_FIRST: Final = (Outcome.BLOCK, Outcome.APPROVAL, Outcome.CONSENT, Outcome.WARN)


def what_changes(judged: Judged) -> None:
    """The whole plan: steps, cost, who is affected, the equivalent commands."""
    plan = judged.plan
    st.markdown(f"**{formats.plain(plan.title)}**")
    draw_steps(plan.steps)
    if len(plan.steps) > 1 and plan.expected_s is not None:
        st.caption(f"All steps together usually take {formats.duration(plan.expected_s)}.")
    st.markdown(
        "  \n".join((cost_lines(plan.cost), *_consequences(plan))),
        help=formats.plain(plan.cost.source),
    )
    lines = [f":red[Cannot be undone:] {formats.plain(s)}" for s in plan.irreversible]
    lines += [formats.plain(s) for s in (*plan.affected, *plan.leaves)]
    draw_list(lines)
    commands = "\n".join(step.command for step in plan.steps)
    with st.expander("Equivalent command", icon=":material/terminal:", type="compact"):
        st.code(commands, language="bash", wrap_lines=True)
        st.caption(
            f"Needs {', '.join(plan.permissions)}. Plan {plan.digest[:12]}, made "
            f"{formats.clock(plan.made_at)}, expires {formats.clock(plan.expires_at)} UTC."
        )


def draw_list(lines: Sequence[str]) -> None:
    """Sentences in Markdown, one under the other; what is beyond a dozen folded away."""
    st.markdown("\n".join(f"- {line}" for line in lines[:_FEW]))
    if lines[_FEW:]:
        with st.expander(f"{len(lines) - _FEW} more", type="compact"):
            st.markdown("\n".join(f"- {line}" for line in lines[_FEW:]))


def made(plan: Plan) -> str:
    """When it was made, in words."""
    return f"{formats.stamp(plan.made_at)} UTC"


def _consequences(plan: Plan) -> Iterable[str]:
    """What the new rate means for the tier's tokens and for its budget; Markdown."""
    derived = access.derived()
    snapshot, name = derived.snapshot, plan.request.tier
    spec = next((s for s in snapshot.specs if s.name == name), None)
    before, after = plan.cost.before_usd_per_hour, plan.cost.after_usd_per_hour
    if spec is None or after is None:
        return
    tier, load = derived.fleet.tier(name), (snapshot.loads or {}).get(name)
    was, then = token_change(tier, derived.rates[name], load, after)
    if then:
        pair = (was, then) if before != after else (then,)
        told = " → ".join(map(formats.money, pair))
        yield formats.plain(f"{told} per million tokens, at the load of now")
    found = forecast_month(spec, snapshot.costs, access.now(), after, snapshot.budgets)
    left = found.budget_left_usd
    if left is None or found.budget.amount_usd is None or before == after:
        return
    told = f"{formats.money(left)} of the budget of {formats.money(found.budget.amount_usd)} left"
    if left > 0 and after > 0:
        told += f", which lasts {formats.duration(left / after * 3600)} at the new rate"
    if found.month_end_usd is not None:
        reached = found.reached_on
        told += "; not reached this month" if reached is None else f"; reached on {reached:%d %B}"
    yield formats.plain(told)


def draw_steps(steps: Sequence[Step]) -> None:
    """What each step changes, before → after, and how long it usually takes."""
    _step_table(steps[:_FEW])
    rest = steps[_FEW:]
    if rest:
        with st.expander(f"{formats.plural(len(rest), 'more step')}", type="compact"):
            _step_table(rest)


def _step_table(steps: Sequence[Step]) -> None:
    rows = [
        {
            "What changes": formats.plain(step.title),
            "Before": _facts(step.before, "nothing"),
            "After": f"**{_facts(step.after, 'nothing')}**",
            "Takes": formats.duration(step.expected_s),
        }
        for step in steps
    ]
    st.table(rows, border="horizontal", hide_index=True, alt="Steps of the plan")


def _facts(values: Mapping[str, object], none: str) -> str:
    """Values by name, in words; `none` where there are none: it is made, or goes."""
    told = [_fact(name, value) for name, value in values.items()]
    return formats.plain(", ".join(told) or none)


def _fact(name: str, value: object) -> str:
    if name.startswith(_PLACES):  # the step's title says of which service the group is
        name = name.rsplit("/", 1)[-1]
    if name == "exists":
        return "exists" if value else "nothing"
    if name.endswith("_usd") and isinstance(value, int | float):
        return f"{name.removesuffix('_usd').replace('_', ' ')} {formats.money_exact(value)}"
    if isinstance(value, bool):
        return f"{name.replace('_', ' ')}: {'yes' if value else 'no'}"
    if isinstance(value, float):
        return f"{name.replace('_', ' ')} {value:g}"
    return f"{name.replace('_', ' ')} {value}"


def cost_lines(cost: CostChange) -> str:
    """Dollars per hour, day and month of 730 hours, before → after, as Markdown.

    One line where they stay as they are.
    """
    basis = f" :small[:gray[{cost.basis} price]]"
    usd_per_hour = cost.before_usd_per_hour
    if usd_per_hour is not None and usd_per_hour == cost.after_usd_per_hour:
        stays = f"The cost stays as it is: **{formats.money_exact(usd_per_hour)} per hour**"
        return f"{stays}{basis}".replace("$", "\\$")
    lines: list[str] = []
    for hours, span in ((1, "hour"), (24, "day"), (HOURS_PER_MONTH, "month")):
        before, after, delta = (
            None if usd is None else usd * hours
            for usd in (
                cost.before_usd_per_hour, cost.after_usd_per_hour, cost.delta_usd_per_hour,
            )
        )  # fmt: skip
        line = f"{formats.money_exact(before)} → {formats.money_exact(after)} per {span}"
        change = formats.money_change(delta)
        lines.append(f"**{line}** ({change})" if span == "hour" else f"{line} ({change})")
    lines[0] += basis
    return "  \n".join(lines).replace("$", "\\$")


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
            with st.expander(label, type="compact", icon=icon):
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
    return verdict.guard.replace("_", " ").capitalize().replace("Slo ", "SLO ")
