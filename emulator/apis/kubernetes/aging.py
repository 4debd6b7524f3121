"""When reported events have grown old: the API server forgets them an hour after the last time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from emulator.apis.kubernetes.happenings import KEPT_S

Place = tuple[str, str]  # namespace, name


class Aging:
    """Events in the order in which they were last reported."""

    def __init__(self) -> None:
        self._ends: deque[tuple[float, Place]] = deque()
        self._last: dict[Place, float] = {}

    def note(self, place: Place, now: float) -> None:
        """An event was reported, or once more."""
        self._last[place] = now + KEPT_S
        self._ends.append((now + KEPT_S, place))

    def due(self) -> float | None:
        """The Unix second at which one may be old."""
        return self._ends[0][0] if self._ends else None

    def overdue(self, now: float) -> Iterator[Place]:
        """Those that are old by now, each once."""
        while self._ends and self._ends[0][0] <= now:
            end, place = self._ends.popleft()
            if self._last.get(place) == end:
                del self._last[place]
                yield place
