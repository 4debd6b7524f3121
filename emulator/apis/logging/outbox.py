"""Entries on their way to sinks' topics, where nobody waits until they are published.

Publishing is a change, and changes take turns: while one is slow, or written to a slow disk, more
entries may come than go. A request must not wait for its log line, nor memory fill with them, so
that what finds the queue full is dropped and counted; the log itself has it all the same.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Final

from emulator.apis.logging.model import Entry

_LOG = logging.getLogger("emulator")

MOST_WAITING: Final = 5_000
_AT_ONCE: Final = 200  # published as one change
_LAST_S: Final = 0.5


class Outbox:
    """A queue with a thread of its own that hands entries on, in order and some at a time."""

    def __init__(
        self,
        publish: Callable[[Sequence[Entry]], None],
        lost: Callable[[str, int], None],
        most: int = MOST_WAITING,
    ) -> None:
        """`lost` is told why and how many."""
        self._publish, self._lost = publish, lost
        self._waiting: queue.Queue[Entry | None] = queue.Queue(most)
        self._dropping = False
        self._thread = threading.Thread(target=self._run, name="log-router", daemon=True)
        self._thread.start()

    def put(self, entry: Entry) -> None:
        """Have it published, or drop it: never waits."""
        try:
            self._waiting.put_nowait(entry)
        except queue.Full:
            self._lost("queue_full", 1)
            if not self._dropping:
                _LOG.warning("more entries come than sinks take: some are not published")
            self._dropping = True

    def stop(self, within_s: float = _LAST_S) -> None:
        """Publish what still waits, as far as that is quick; nothing may be put after it."""
        try:
            self._waiting.put(None, timeout=within_s)
        except queue.Full:
            return
        self._thread.join(timeout=within_s)

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch, is_last = self._more(first)
            try:
                self._publish(batch)
            except Exception:  # noqa: BLE001 - nobody waits for this: the log is where it can be seen
                self._lost("failed", len(batch))
                _LOG.exception("%d entries were not published", len(batch))
            else:
                self._dropping = False
            if is_last:
                return

    def _more(self, first: Entry) -> tuple[list[Entry], bool]:
        """Those that wait with it, and whether the end was among them."""
        batch = [first]
        while len(batch) < _AT_ONCE:
            try:
                entry = self._waiting.get_nowait()
            except queue.Empty:
                break
            if entry is None:
                return batch, True
            batch.append(entry)
        return batch, False
