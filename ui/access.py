"""The pages' one door to the rest of the house: the console that `control/wiring.py` built.

Pages ask here for the Snapshot and the present; nothing here draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from control.wiring import Console, get_console
from core.records import Snapshot
from core.series import Annotation, Window
from ui.derived import Derived, derive


def console() -> Console:
    """The process's one console."""
    return get_console()


def snapshot() -> Snapshot:
    """The latest Snapshot."""
    return get_console().snapshot()


def derived() -> Derived:
    """The latest Snapshot with all that follows from it; never waits."""
    return derive(snapshot(), get_console().burn_series())


def now() -> datetime:
    """The present, by which ages are told."""
    return datetime.now(UTC)


def happened(window: Window) -> Sequence[Annotation]:
    """What happened in the window, to any tier."""
    return get_console().annotations(window)
