"""A second console as a process of its own, which the tests kill and which races with the first.

`python -m tests.control.console_on_emulator FOLDER DATABASE REST GRPC`: does the orders that it
finds in FOLDER/orders, one after another, each a line ACTION TIER INTENT; plans, says so by a file
INTENT.planned, waits for INTENT.go, submits, and writes how that went to INTENT.told. It goes on
with what it finds unfinished, and ends when the file `end` is there.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from control.settings import Settings
from control.wiring import Console
from core.errors import HeartwoodError
from core.plans import Request
from core.records import Source
from tests.control.test_chain import alone_settings

_LOOK_S = 0.02


def wait_for(file: Path) -> None:
    """Until it is there."""
    while not file.exists():
        time.sleep(_LOOK_S)


def follow(console: Console, folder: Path, order: str) -> None:
    """Do one order; one that was submitted before is left to the console, which resumes it."""
    action, tier, intent = order.split()
    if console.progress(intent) is not None:
        return
    values = {"slices": 1} if action == "provision_tier" else {}
    judged = console.plan(Request(action, tier, values))
    (folder / f"{intent}.planned").touch()
    wait_for(folder / f"{intent}.go")
    try:
        console.submit(judged, judged.consents_needed, intent=intent)
        told = "submitted"
    except HeartwoodError as error:
        told = f"{error.kind}: {error.message}"
    written = folder / f"{intent}.told.part"
    written.write_text(told, encoding="utf-8")
    written.rename(folder / f"{intent}.told")  # there only when whole


def main(folder: Path, settings: Settings) -> None:
    """Do the orders until told to end."""
    console, done = Console(settings), 0
    console.start()
    assert console.refresher.wait_for_first(Source, 200)
    (folder / "ready").touch()
    while not (folder / "end").exists():
        orders = (folder / "orders").read_text(encoding="utf-8").splitlines()
        for order in orders[done:]:
            follow(console, folder, order)
        done = len(orders)
        time.sleep(_LOOK_S)
    console.stop()


if __name__ == "__main__":
    here = Path(sys.argv[1])
    main(here, alone_settings(here, *sys.argv[2:5]))
