"""`python -m control jobs …`: actions under way, on the command line, and holding them.

Works on the database of a console that runs, from beside it: asks by the record, at which every
console looks before it begins a step. Starting an action is `control/command_plan.py`'s.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from control.access import Actor
from control.audit import Audit
from control.command_person import add_person, come
from control.command_plan import tell
from control.interventions import Interventions
from control.people import People
from control.settings import load_settings
from control.store import open_store
from core.errors import HeartwoodError, NotFound

Ask = Callable[[Interventions, str, Actor], bool]
_ASKS: Final[Mapping[str, tuple[str, Ask]]] = {
    "pause": ("begin no further step until it is resumed", Interventions.pause),
    "resume": ("let a paused action go on", Interventions.resume),
    "stop": ("leave out what has not begun", Interventions.cancel),
}


def add_parser(commands: Any) -> None:
    """Add the subcommand `jobs` with its own."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "jobs", help="actions under way: list, pause, resume, stop"
    )
    parser.add_argument("--config", type=Path, metavar="FILE")
    what = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    what.add_parser("list", help="those that have not ended")
    for name, (help_text, _) in _ASKS.items():
        one = what.add_parser(name, help=help_text)
        one.add_argument("intent", help="its id, or the beginning of it")
        add_person(one)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it; 1 when it comes too late, or is refused."""
    settings = load_settings(arguments.config)
    engine = open_store(settings.data.database_url)
    try:
        audit = Audit(engine)
        if arguments.what == "list":
            return _list(audit)
        intent, people = _found(audit, arguments.intent), People(settings)
        come(people, arguments)
        done = _ASKS[arguments.what][1](Interventions(audit), intent, people.present())
        found = audit.progress(intent)
        said = "too late: its last step has begun, or it has ended" if not done else ""
        sys.stdout.write(f"{said or (found.detail if found else '')}\n")
        return 0 if done else 1
    except HeartwoodError as error:
        return tell(error)
    finally:
        engine.dispose()


def _list(audit: Audit) -> int:
    for job in audit.unfinished():
        found = audit.progress(job.intent)
        if found is not None:
            step = f"step {found.step} of {found.steps}"
            sys.stdout.write(f"{job.intent}  {found.state:<10} {step:<16} {job.title}\n")
            sys.stdout.write(f"{'':32}  {found.detail}\n")
    return 0


def _found(audit: Audit, beginning: str) -> str:
    """The id of the one unfinished action whose id begins so.

    Raises:
        NotFound: there is none, or there are several.
    """
    ids = [job.intent for job in audit.unfinished() if job.intent.startswith(beginning)]
    if len(ids) != 1:
        raise NotFound(
            f"{len(ids) or 'No'} actions under way begin with {beginning!r}.",
            hint="`python -m control jobs list` has all of them",
        )
    return ids[0]
