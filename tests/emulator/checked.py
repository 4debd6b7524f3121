"""The list of methods whose bodies the tests of this folder hold against Google's documents."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

CHECKED: Final = Path(__file__).with_name("checked.txt")
# Set to write the list anew instead of comparing it.
UPDATE_VARIABLE: Final = "HEARTWOOD_TEST_UPDATE_CHECKED"


def listed(file: Path = CHECKED) -> set[str]:
    """Methods as DOCUMENT:ID, e.g. "tpu.v2:tpu.projects.locations.nodes.list"."""
    return set(file.read_text(encoding="utf-8").split()) if file.exists() else set()


def hold(checked: set[str], file: Path) -> set[str]:
    """What is listed and was not checked; writes the list anew where that is asked for."""
    if os.environ.get(UPDATE_VARIABLE):
        file.write_text("".join(f"{name}\n" for name in sorted(checked)), encoding="utf-8")
    return listed(file) - checked
