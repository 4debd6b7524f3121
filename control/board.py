"""Where the steps of a running intent stand, for the steps that wait for them.

In memory, since all steps of an intent run in one process; after a restart it is filled again from
the workflow engine. The lasting record is `control/audit.py`'s.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from control.appliers.verbs import Interrupted

_LOOK_S: Final = 0.25  # how often a waiting step looks whether the process stops


class Ending(StrEnum):
    """How a step ended."""

    DONE = "done"
    FAILED = "failed"
    LEFT_OUT = "left out"
    TAKEN_BACK = "taken back"  # it found harm, and what the steps before it did is undone


@dataclass(frozen=True, slots=True)
class Ended:
    """How a step ended, and why where it is not done."""

    ending: Ending
    detail: str = ""


class Board:
    """The endings of one intent's steps, by number. Safe for threads."""

    def __init__(self, ended: Mapping[int, Ended], begun: Iterable[int]) -> None:
        self._changed = threading.Condition()
        self._ended, self._begun = dict(ended), set(begun)

    def begin(self, number: int) -> int:
        """Note that a step begins; how many have begun by now."""
        with self._changed:
            self._begun.add(number)
            return len(self._begun)

    @property
    def begun(self) -> int:
        """How many steps have begun."""
        with self._changed:
            return len(self._begun)

    def has_begun(self, number: int) -> bool:
        """Whether that step has begun, perhaps in an earlier process."""
        with self._changed:
            return number in self._begun

    def end(self, number: int, ended: Ended) -> None:
        """Note how a step ended."""
        with self._changed:
            self._ended[number] = ended
            self._changed.notify_all()

    def ended(self) -> Mapping[int, Ended]:
        """What has ended so far."""
        with self._changed:
            return dict(self._ended)

    def wait_for(self, numbers: Iterable[int], stop: threading.Event) -> Mapping[int, Ended]:
        """The endings of these steps, once all have ended.

        Raises:
            Interrupted: the process stops.
        """
        wanted = tuple(numbers)
        with self._changed:
            while not self._changed.wait_for(
                lambda: all(number in self._ended for number in wanted), _LOOK_S
            ):
                if stop.is_set():
                    raise Interrupted
            return {number: self._ended[number] for number in wanted}
