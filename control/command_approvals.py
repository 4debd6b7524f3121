"""`python -m control approvals …`: what a second person is asked, on the command line.

Works on the database of a console that runs, from beside it. Asked is with `plan … --ask`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final

from control.approvals import APPROVED, WAITING, Approval, Approvals
from control.command_person import add_person, come
from control.command_plan import tell
from control.people import People
from control.settings import load_settings
from control.store import open_store
from core.errors import HeartwoodError, NotFound

_OPEN: Final = (WAITING, APPROVED)


def add_parser(commands: Any) -> None:
    """Add the subcommand `approvals` with its own."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "approvals", help="plans that wait for a second person: list, approve, decline"
    )
    parser.add_argument("--config", type=Path, metavar="FILE")
    what = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    listing = what.add_parser("list", help="those of the last week")
    listing.add_argument("--open", action="store_true", help="only what waits or may be used")
    for name in ("approve", "decline"):
        one = what.add_parser(name, help=f"{name} what somebody else asked for")
        one.add_argument("request", help="its id, or the beginning of it")
        one.add_argument("--reason", default="", help="kept in the audit")
        add_person(one)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it; 1 when it is refused."""
    settings = load_settings(arguments.config)
    engine = open_store(settings.data.database_url)
    try:
        approvals = Approvals(engine, settings.guards.approval_expires_after_s)
        if arguments.what == "list":
            for found in approvals.recent():
                if found.state in _OPEN or not arguments.open:
                    sys.stdout.write(_lines(found))
            return 0
        people = People(settings)
        come(people, arguments)
        request = _found(approvals, arguments.request).id
        approve = arguments.what == "approve"
        reason = arguments.reason
        done = approvals.decide(request, people.present(), approve=approve, reason=reason)
        sys.stdout.write(_lines(done))
        return 0
    except HeartwoodError as error:
        return tell(error)
    finally:
        engine.dispose()


def _lines(found: Approval) -> str:
    until = f"until {found.expires_at:%Y-%m-%d %H:%M} UTC"
    by = f" by {found.decided_by}" if found.decided_by else ""
    asked = f"asked by {found.asked_by}" + (f": {found.reason}" if found.reason else "")
    head = f"{found.id}  {found.state}{by}, {until}\n"
    return f"{head}  {found.plan.title}, plan {found.digest[:12]}, {asked}\n"


def _found(approvals: Approvals, beginning: str) -> Approval:
    """The one request whose id begins so.

    Raises:
        NotFound: there is none, or there are several.
    """
    found = [each for each in approvals.recent() if each.id.startswith(beginning)]
    if len(found) != 1:
        raise NotFound(
            f"{len(found) or 'No'} requests begin with {beginning!r}.",
            hint="`python -m control approvals list` has all of them",
        )
    return found[0]
