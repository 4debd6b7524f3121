"""`python -m control plan ACTION TIER …` and `… apply …`: a plan without the browser.

`plan` shows a plan with every verdict and does nothing; `apply` makes it again, and applies it when
its digest is the one that was shown. Works on the console's data directory, so a running console
there has to be stopped or applies it instead.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from control.audit import FINAL_STATES
from control.command_person import add_person, come
from control.plan_export import to_json, to_markdown
from control.planning import Judged
from control.settings import load_settings
from control.wiring import Console
from core.actions import PLANNERS
from core.actions.take_back import INTENT
from core.errors import HeartwoodError, Invalid
from core.fleet import assemble_fleet
from core.plans import Outcome, Plan, Request
from core.pricing import tier_rate, token_change
from core.records import Snapshot
from core.terraform import to_terraform

_FIRST_READ_S: Final = 120.0
_POLL_S: Final = 0.5
_MARKS: Final = {
    Outcome.PASS: "ok  ", Outcome.WARN: "warn", Outcome.CONSENT: "ask ",
    Outcome.APPROVAL: "2nd ", Outcome.BLOCK: "STOP",
}  # fmt: skip

Values = Mapping[str, str | int | float | bool]


def add_parser(commands: Any) -> None:
    """Add the subcommands `plan` and `apply`."""
    plan: argparse.ArgumentParser = commands.add_parser(
        "plan", help="show what an action would do, what it costs and what speaks against it"
    )
    apply: argparse.ArgumentParser = commands.add_parser(
        "apply", help="apply a plan that `plan` has shown, and wait for its end"
    )
    for parser in (plan, apply):
        parser.add_argument("action", choices=sorted(PLANNERS))
        parser.add_argument("tier", help='the tier\'s name; "platform" for all of them')
        parser.add_argument(
            "parameters",
            nargs="*",
            metavar="NAME=VALUE",
            help="e.g. slices=2 or delta=-1; intent=ID of what take_back undoes (what that deleted"
            " stays deleted)",
        )
        parser.add_argument("--reason", default="", help="kept in the audit")
        parser.add_argument("--config", type=Path, metavar="FILE")
        add_person(parser)
    plan.add_argument(
        "--ask", action="store_true", help="ask a second person to approve it (see `approvals`)"
    )
    plan.add_argument(
        "--format", choices=tuple(FORMATS), default="text", help="(default: %(default)s)"
    )
    plan.set_defaults(run=run_plan)
    apply.add_argument(
        "--digest", required=True, help="of the plan as it was shown; its first 12 characters do"
    )
    apply.add_argument(
        "--agree", action="append", default=[], metavar="GUARD", help="a danger that is agreed to"
    )
    apply.add_argument(
        "--override", action="append", default=[], metavar="GUARD=REASON",
        help="a block that an admin decides against, and why",
    )  # fmt: skip
    apply.set_defaults(run=run_apply)


def run_plan(arguments: argparse.Namespace) -> int:
    """Show the plan; 1 when it cannot be made, 3 when a guard stops it."""
    console = Console(load_settings(arguments.config))
    try:
        judged = _plan(console, arguments)
        snapshot = console.snapshot()
        sys.stdout.write(FORMATS[arguments.format](judged, snapshot))
        if arguments.ask:
            asked = console.ask_approval(judged, arguments.reason)
            sys.stderr.write(f"Asked for as {asked.id}, until {asked.expires_at:%H:%M} UTC\n")
    except HeartwoodError as error:
        return tell(error)
    finally:
        console.stop()
    return 3 if any(v.outcome is Outcome.BLOCK for v in judged.verdicts) else 0


def run_apply(arguments: argparse.Namespace) -> int:
    """Apply the plan; 1 when it is refused or fails."""
    console = Console(load_settings(arguments.config))
    try:
        judged = _plan(console, arguments)
        digest = judged.plan.digest
        if len(arguments.digest) < 12 or not digest.startswith(arguments.digest):
            sys.stderr.write(f"The plan is another one by now: {digest}. Look at it again.\n")
            return 1
        overrides = overrides_of(arguments.override)
        check_guards(judged, (*arguments.agree, *overrides))
        intent = console.submit(
            judged, arguments.agree, reason=arguments.reason, overrides=overrides
        )
        return _follow(console, intent)
    except HeartwoodError as error:
        return tell(error)
    finally:
        console.stop()


def plan_lines(judged: Judged, snapshot: Snapshot) -> Iterable[str]:
    """A plan as text: steps with what they need, cost, effects, verdicts, commands, digest."""
    plan = judged.plan
    yield plan.title
    for number, step in enumerate(plan.steps, 1):
        after = f"  after {', '.join(step.needs)}" if step.needs else ""
        name = f" [{step.key}]" if step.key else ""
        yield f"  {number:3}. {step.title}{name}{after}"
    yield f"Cost: {plan.cost.sentence}"
    yield from _token_line(plan, snapshot)
    yield from plan.affected
    yield from (f"Cannot be undone: {sentence}" for sentence in plan.irreversible)
    yield "Guards:"
    for verdict in judged.verdicts:
        lift = f" Lifted by: {verdict.lift}" if verdict.lift else ""
        yield f"  {_MARKS[verdict.outcome]} {verdict.guard}: {verdict.reason}{lift}"
    yield "Equivalent commands:"
    for step in plan.steps:
        yield from (f"  {line}" for line in step.command.splitlines())
    yield f"Needs: {', '.join(plan.permissions)}"
    yield f"Digest: {plan.digest}"


def _token_line(plan: Plan, snapshot: Snapshot) -> Iterable[str]:
    """USD per million tokens before and after, of a plan of one tier."""
    spec = next((s for s in snapshot.specs if s.name == plan.request.tier), None)
    if spec is None:
        return
    tier, load = assemble_fleet(snapshot).tier(spec.name), (snapshot.loads or {}).get(spec.name)
    rate = replace(tier_rate(tier, snapshot.prices), usd_per_hour=plan.cost.before_usd_per_hour)
    both = token_change(tier, rate, load, plan.cost.after_usd_per_hour)
    was, then = ("unknown" if usd is None else f"${usd:,.2f}" for usd in both)
    yield f"Per million tokens at the load of now: {was} → {then}"


def _text(judged: Judged, snapshot: Snapshot) -> str:
    return "".join(f"{line}\n" for line in plan_lines(judged, snapshot))


FORMATS: Final[Mapping[str, Callable[[Judged, Snapshot], str]]] = {
    "text": _text,
    "json": lambda judged, _: to_json(judged),
    "markdown": lambda judged, _: to_markdown(judged),
    "terraform": lambda judged, _: to_terraform(judged.plan),
}


def parameters_of(words: Iterable[str]) -> Values:
    """NAME=VALUE words; whole numbers, other numbers, true and false become such.

    Raises:
        ValueError: a word has no =.
    """
    found: dict[str, str | int | float | bool] = {}
    for word in words:
        name, sign, text = word.partition("=")
        if not sign or not name:
            raise ValueError(f"{word!r} is not NAME=VALUE")
        found[name] = text if name == INTENT else _value(text)  # an id may look like a number
    return found


def overrides_of(words: Iterable[str]) -> Mapping[str, str]:
    """GUARD=REASON words.

    Raises:
        Invalid: a word has no =, or no reason.
    """
    found: dict[str, str] = {}
    for word in words:
        guard, sign, reason = word.partition("=")
        if not sign or not reason.strip():
            raise Invalid(f"{word!r} is not GUARD=REASON.", hint="An override needs a reason")
        found[guard] = reason.strip()
    return found


def check_guards(judged: Judged, named: Iterable[str]) -> None:
    """Pass names of guards that judged the plan.

    Raises:
        Invalid: there is no such guard, so that nobody would read the name.
    """
    known = {verdict.guard for verdict in judged.verdicts}
    if strange := [name for name in named if name not in known]:
        raise Invalid(
            f"There is no guard {', '.join(map(repr, strange))}.",
            hint=f"Guards: {', '.join(sorted(known))}",
        )


def _value(text: str) -> str | int | float | bool:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _plan(console: Console, arguments: argparse.Namespace) -> Judged:
    """Read everything once, then plan and judge."""
    come(console.people, arguments)
    console.start()
    console.refresher.wait_for_first(console.snapshot().sources, _FIRST_READ_S)
    try:
        values = parameters_of(arguments.parameters)
    except ValueError as error:
        raise SystemExit(f"{error}") from error
    return console.plan(Request(arguments.action, arguments.tier, values, arguments.reason))


def _follow(console: Console, intent: str) -> int:
    """Print what happens until the intent has ended."""
    told = 0
    while True:
        found = console.progress(intent)
        log = console.audit.log(intent)
        for line in log[told:]:
            sys.stdout.write(f"{line.updated_at:%H:%M:%S} {line.state:<10} {line.detail}\n")
            sys.stdout.flush()
        told = len(log)
        if found is not None and found.state in FINAL_STATES:
            return 0 if found.state == "succeeded" else 1
        time.sleep(_POLL_S)


def tell(error: HeartwoodError) -> int:
    """Say what went wrong; the exit status."""
    hint = f" {error.hint}" if error.hint else ""
    sys.stderr.write(f"{error.kind}: {error.message}{hint}\n")
    return 1
