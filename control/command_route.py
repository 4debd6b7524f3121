"""`python -m control route …`: where requests go, on the command line.

`rules` prints the router's rules, `explain` what it would do with a prompt, and `check` sends a
request per rule and tells where each landed. Reads the sources itself: no console has to run, but
what answers requests has to.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from control import logs
from control.command_plan import tell
from control.route_checks import FAIL, RouteCheck, run_checks
from control.router import Router
from control.settings import load_settings
from control.wiring import Console
from core.errors import HeartwoodError, Invalid
from core.records import Source
from core.router import AUTO, Decision
from core.router_words import busy_in_words, rules_in_words

_FIRST_READ_S: Final = 120.0
_WANTED: Final = (
    Source.GKE, Source.KUBE, Source.TPU, Source.VERTEX, Source.LOAD_BALANCER, Source.LOAD,
    Source.PRICES, Source.INFERENCE,
)  # fmt: skip


def add_parser(commands: Any) -> None:
    """Add the subcommand `route` with its own."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "route", help="where requests go: the router's rules, a decision explained, a check of all"
    )
    parser.add_argument("--config", type=Path, metavar="FILE")
    what = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    what.add_parser("rules", help="the rules in words, with the thresholds in force")
    explain = what.add_parser("explain", help="which tier would take a prompt, and why; sends none")
    explain.add_argument("prompt")
    explain.add_argument("--max-tokens", type=int, metavar="N", help="that the answer may have")
    explain.add_argument("--model", default=AUTO, help='"auto" or a tier (default: %(default)s)')
    check = what.add_parser("check", help="send one request per rule and see where each lands")
    for one in (explain, check):
        one.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it; 1 when it cannot be done or a check fails, 3 when no tier would take the prompt."""
    if arguments.what == "rules":
        _print(_rule_lines(Router(load_settings(arguments.config), _no_snapshot)))
        return 0
    settings = load_settings(arguments.config)
    logs.configure(settings.log)  # to standard error, apart from what is printed here
    console = Console(settings)
    try:
        # Nothing is applied from here: what another console left unfinished stays where it is.
        console.refresher.start()
        console.refresher.wait_for_first(_WANTED, _FIRST_READ_S)
        return _ACTS[arguments.what](console, arguments)
    except HeartwoodError as error:
        return tell(error)
    finally:
        console.refresher.stop()
        console.clients.close()


def _no_snapshot() -> Any:
    raise AssertionError("the rules in words need no snapshot")


def _rule_lines(router: Router) -> Iterable[str]:
    for number, (rule, words) in enumerate(rules_in_words(router.limits).items(), 1):
        yield f"{number}. {rule.value:<12} {words}"
    yield busy_in_words(router.limits)


def _explain(console: Console, arguments: argparse.Namespace) -> int:
    body: dict[str, Any] = {
        "model": arguments.model, "messages": [{"role": "user", "content": arguments.prompt}],
    }  # fmt: skip
    if arguments.max_tokens is not None:
        body["max_tokens"] = arguments.max_tokens
    try:
        decision = console.router.decide(body)
    except ValueError as error:
        raise Invalid(str(error)) from error
    if arguments.json:
        sys.stdout.write(json.dumps(asdict(decision), indent=1, default=str) + "\n")
    else:
        _print(decision_lines(decision))
    return 0 if decision.tier else 3


def decision_lines(decision: Decision) -> Iterable[str]:
    """A decision as text: what was seen, where it goes, what became of each tier."""
    seen = decision.features
    assumed = " (assumed)" if seen.requested_assumed else ""
    yield (
        f"About {seen.prompt_tokens:,} prompt tokens, {seen.requested_tokens:,} asked for{assumed},"
        f" score {seen.score:.2f}: {decision.need}"
    )
    yield from (f"  {p.points:.2f} {p.name}: {p.why}" for p in seen.points)
    yield f"{decision.tier or 'no tier'}, by the rule {decision.rule}: {decision.reason}"
    for tier in decision.considered:
        usd = "unknown" if tier.usd_per_million is None else f"${tier.usd_per_million:,.2f}"
        unknown = f" (unknown: {', '.join(tier.unknown)})" if tier.unknown and tier.serves else ""
        mark = "→" if tier.chosen else " "
        yield f"{mark} {tier.tier:<12} {usd:>10} per million tokens  {tier.why}{unknown}"


def _check(console: Console, arguments: argparse.Namespace) -> int:
    done: list[RouteCheck] = []

    def report(_total: int, newest: RouteCheck | None) -> None:
        if newest is None:
            return
        done.append(newest)
        if not arguments.json:
            _print(_check_lines(newest))

    asyncio.run(run_checks(console.router, console.snapshot(), report))
    failed = sum(check.verdict == FAIL for check in done)
    if arguments.json:
        sys.stdout.write(json.dumps([asdict(check) for check in done], indent=1) + "\n")
    else:
        _print([_summary(done, failed)])
    return 1 if failed else 0


def _summary(done: Sequence[RouteCheck], failed: int) -> str:
    passed = sum(check.verdict == "pass" for check in done)
    return f"{passed} passed, {failed} failed, {len(done) - passed - failed} not checked"


def _check_lines(check: RouteCheck) -> Iterable[str]:
    yield f"{check.verdict:<12}{check.way:<11} {check.rule:<16} {check.sample}"
    yield f"{'':12}expected {check.expected}, found {check.found}" + (
        f": {check.note}" if check.note else ""
    )


_ACTS: Final[dict[str, Callable[[Console, argparse.Namespace], int]]] = {
    "explain": _explain,
    "check": _check,
}


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
