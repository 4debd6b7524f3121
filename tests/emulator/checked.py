"""The list of methods whose bodies the tests of this folder hold against Google's documents."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

CHECKED: Final = Path(__file__).with_name("checked.txt")
# Set to write the list anew instead of comparing it.
UPDATE_VARIABLE: Final = "HEARTWOOD_UPDATE_CHECKED"


def listed(file: Path = CHECKED) -> set[str]:
    """Methods as DOCUMENT:ID, e.g. "tpu.v2:tpu.projects.locations.nodes.list"."""
    return set(file.read_text(encoding="utf-8").split()) if file.exists() else set()


def hold(checked: set[str], file: Path) -> None:
    """Fail when a listed method was not checked; write the list anew where that is asked for.

    Raises:
        AssertionError: a method is listed that no test checks any more.
    """
    if os.environ.get(UPDATE_VARIABLE):
        file.write_text("".join(f"{name}\n" for name in sorted(checked)), encoding="utf-8")
    gone = listed(file) - checked
    assert not gone, f"listed as checked, and not checked: {sorted(gone)}"
