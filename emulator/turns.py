"""Changes of state take turns: one at a time, each at an instant of its own, in that order.

Whatever changes the project takes a turn: a caller's request (journal/changes.py) and the effects
of operations that have come due (operations.py). Reads take none. Because instants and order are
those of the journal, the same requests at the same instants lead to the same state.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

from emulator.clock import Clock

_LOG = logging.getLogger("emulator")
_LEAST_S: Final = 1e-6  # between two changes, so that their order can be told from their instants


@dataclass(slots=True)
class Turn:
    """One change that is being made.

    Attributes:
        at: its instant, Unix seconds.
        decided: what was decided during it that does not follow from the state; JSON values.
        refused: set when nothing is changed after all; an exception says the same.
    """

    at: float
    decided: dict[str, Any] = field(default_factory=dict)
    refused: bool = False


# Of the running thread or task; threads that asyncio.to_thread starts inherit it.
_CURRENT: ContextVar[Turn | None] = ContextVar("turn", default=None)


class Turns:
    """Who may change the project now.

    Attributes:
        replaying: whether an earlier process's changes are being made again.
        starts: how many processes have had this state before, for ids of what does not last.
    """

    def __init__(self, clock: Clock, seed: int) -> None:
        self._clock = clock
        self._seed = seed
        self._mutex = threading.Lock()
        self._last = 0.0
        self._counts: Counter[str] = Counter()
        self._passing: Counter[str] = Counter()
        self._counting = threading.Lock()
        self._settle: Callable[[float], None] = lambda _now: None
        self._answers: list[Callable[[], None]] = []
        self.replaying = False
        self.starts = 0

    @property
    def inside(self) -> bool:
        """Whether the running thread makes a change."""
        return _CURRENT.get() is not None

    def settles(self, settle: Callable[[float], None]) -> None:
        """Before each change `settle` brings the state up to its instant (operations.py does)."""
        self._settle = settle

    def answers(self, answer: Callable[[], None]) -> None:
        """After each accepted change and each effect `answer` is called, at the same instant.

        For what follows from the state by itself (controllers), so that it happens when it would,
        however late somebody looks.
        """
        self._answers.append(answer)

    def answered(self) -> None:
        """Let what follows from the state happen now; the caller has the turn."""
        for answer in self._answers:
            try:
                answer()
            except Exception:  # noqa: BLE001 - it is not the fault of whoever made the change
                _LOG.exception("what follows a change at %f failed", self._clock.now())

    @contextmanager
    def take(self) -> Generator[Turn]:
        """Wait for a turn; its instant is now."""
        with self._mutex:
            at = max(self._clock.now(), self._last + _LEAST_S)
            with self._settled(Turn(at)) as turn:
                yield turn

    @contextmanager
    def again(self, at: float, decided: dict[str, Any]) -> Generator[Turn]:
        """A turn that was taken before, at its instant."""
        with self._mutex, self._settled(Turn(at, dict(decided))) as turn:
            yield turn

    def try_settle(self, *, wait: bool) -> None:
        """Bring the state up to now; without `wait` not at all while somebody has a turn.

        Whoever has one has settled everything first, so nothing is missed but the time since; and
        a reader that waited, holding a lock that the change needs, would wait for ever.
        """
        if self.inside:
            with self._shown(Turn(self._clock.now())) as turn:
                self._settle(turn.at)
            return
        if not self._mutex.acquire(blocking=wait):
            return
        try:
            self._last = max(self._clock.now(), self._last)
            with self._shown(Turn(self._last)):
                self._settle(self._last)
        finally:
            self._mutex.release()

    @contextmanager
    def _settled(self, turn: Turn) -> Generator[Turn]:
        """A change after everything that is due; refused, it has used up no ids."""
        self._last = turn.at
        with self._shown(Turn(turn.at)):  # effects decide nothing for the change
            self._settle(turn.at)
        before = self._counts.copy()
        with self._shown(turn):
            try:
                yield turn
                if not turn.refused:
                    self.answered()
            except Exception:
                turn.refused = True
                raise
            finally:
                if turn.refused:
                    self._counts = before

    @contextmanager
    def _shown(self, turn: Turn) -> Generator[Turn]:
        token = _CURRENT.set(turn)
        try:
            with self._clock.at(turn.at):
                yield turn
        finally:
            _CURRENT.reset(token)

    def decided(self, key: str, decide: Callable[[], Any]) -> Any:
        """What `decide` said (a JSON value, None if nothing) when the change was first made.

        For a change that depends on what the state does not hold, such as a fault or a measurement.
        """
        turn = _CURRENT.get()
        if turn is None:
            return decide()
        if key not in turn.decided and (said := decide()) is not None:
            turn.decided[key] = said
        return turn.decided.get(key)

    def new_id(self, kind: str, digest_size: int = 16) -> str:
        """A new id in hex, from the seed and a count: the same calls get the same ids.

        What is made outside a change (the job of a query that only reads) does not outlive the
        process; it counts apart, and another process's ids differ.
        """
        with self._counting:
            counts = self._counts if self.inside else self._passing
            counts[kind] += 1
            where = "" if self.inside else f"/passing/{self.starts}"
            text = f"{self._seed}/{kind}{where}/{counts[kind]}"
        return hashlib.blake2s(text.encode(), digest_size=digest_size).hexdigest()
