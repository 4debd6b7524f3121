"""Who acts on the command line: this machine's user, or on the emulator a named local user.

Roles are `control/people.py`'s.
"""

from __future__ import annotations

import argparse
from typing import Final

from control.people import People, Session
from core.errors import Invalid

ORIGIN: Final = "command line"


def add_person(parser: argparse.ArgumentParser) -> None:
    """Add the option that names a local user."""
    parser.add_argument(
        "--as", dest="person", default="", metavar="NAME",
        help="act as that local user, where users are chosen by name (the emulator's console)",
    )  # fmt: skip


def come(people: People, arguments: argparse.Namespace) -> None:
    """Have these people know who is there.

    Raises:
        Invalid: there is no such local user.
    """
    person, names = str(arguments.person), people.names()
    if person and person not in names:
        raise Invalid(
            f"There is no local user {person!r}.",
            hint=f"Known: {', '.join(names) or 'none, people sign in here'}",
        )
    people.ask_by(lambda: Session(origin=ORIGIN, chosen=person, shell=True))
