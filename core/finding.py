"""What is said of one thing that is wrong. Which things are is `core/problems.py`'s and others'."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum


class Severity(IntEnum):
    """Worst first."""

    CRITICAL = 0
    WARNING = 1
    NOTE = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        tier: "": it concerns all.
        since: None: not known.
        page: url_path of the page that shows more.
        next_step: what to look at or do now, a sentence without its full stop.
        is_cause: it says what brings other findings of its tier about, and stands before those
            that are as severe.
    """

    severity: Severity
    tier: str
    sentence: str
    since: datetime | None
    page: str
    next_step: str
    is_cause: bool = False
