"""A judged plan as a file for people and for scripts: Markdown and JSON.

How it is shown on a page is `ui/plan_view.py`'s, in a terminal `control/command_plan.py`'s.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict

from control.planning import Judged
from core.plans import Step


def to_json(judged: Judged) -> str:
    """Digest, plan and verdicts as one JSON object."""
    body = {
        "digest": judged.plan.digest,
        "plan": asdict(judged.plan),
        "verdicts": [asdict(v) for v in judged.verdicts],
    }
    return json.dumps(body, indent=1, default=str, ensure_ascii=False) + "\n"


def to_markdown(judged: Judged) -> str:
    """The plan as it is read in a ticket: steps, cost, effects, verdicts, commands, digest."""
    return "\n".join(_lines(judged)) + "\n"


def _lines(judged: Judged) -> Iterable[str]:
    plan = judged.plan
    yield f"# {plan.title}"
    yield ""
    wish = plan.request
    yield f"Action `{wish.action}` on `{wish.tier}`: {_facts(wish.parameters)}."
    yield f"Made {plan.made_at:%Y-%m-%d %H:%M:%S} UTC, expires {plan.expires_at:%H:%M:%S} UTC."
    yield f"Digest `{plan.digest}`."
    yield ""
    yield "| # | What changes | Before | After | Takes |"
    yield "|---|---|---|---|---|"
    yield from (_step(number, step) for number, step in enumerate(plan.steps, 1))
    yield ""
    yield f"Cost: {plan.cost.sentence}"
    yield ""
    yield from (f"- {line}" for line in plan.affected)
    yield from (f"- Cannot be undone: {line}" for line in plan.irreversible)
    yield ""
    yield "## Guards"
    yield ""
    for verdict in judged.verdicts:
        lift = f" Lifted by: {verdict.lift}" if verdict.lift else ""
        yield f"- **{verdict.outcome}** `{verdict.guard}`: {verdict.reason}{lift}"
    yield ""
    yield "## Equivalent commands"
    yield ""
    yield "```sh"
    yield from (step.command for step in plan.steps)
    yield "```"
    yield ""
    yield f"Needs {', '.join(f'`{name}`' for name in plan.permissions)}."


def _step(number: int, step: Step) -> str:
    takes = "unknown" if step.expected_s is None else f"{step.expected_s:.0f} s"
    cells = (str(number), step.title, _facts(step.before), _facts(step.after), takes)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _facts(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "–"
