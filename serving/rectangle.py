"""How the KV cache's rectangle of slots x positions changes into another one. Pure Python.

While streams run it becomes longer part by part, one in each step, and before it is needed: copying
all of it at once would hold the streams up for as long as many steps take (0.3 to 1.1 s for 16
slots on two busy cores), since every page of the longer one is new memory. A part is what one
program computes, some layers. What does not live here: when it changes (`scheduler`), the copying
(`runner`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence as Many

from serving.sequence import Sequence
from serving.step import Layout


def move_slots(order: Many[Sequence], now: Layout, wanted: Layout) -> tuple[int, ...]:
    """The old slot of each slot of `wanted`; sequences whose slot goes away get another one."""
    source = list(range(wanted.slots))
    if now.slots < wanted.slots:
        source[now.slots :] = [0] * (wanted.slots - now.slots)
    held = {s.slot for s in order if s.slot is not None and s.slot < wanted.slots}
    free = iter([slot for slot in range(wanted.slots) if slot not in held])
    for sequence in order:
        if sequence.slot is not None and sequence.slot >= wanted.slots:
            place = next(free)
            # A newcomer holds nothing yet, and its slot may never have existed.
            source[place] = sequence.slot if sequence.slot < now.slots else 0
            sequence.slot = place
    return tuple(source)


@dataclasses.dataclass(slots=True)
class Growth:
    """What the cache's parts go over to, one after the other; `target` None: they stay."""

    parts: int
    target: Layout | None = None
    copied: int = 0

    @property
    def lead(self) -> int:
        """Positions before the end at which to begin, if steps bring up to two tokens each."""
        return 2 * self.parts

    def begin(self, now: Layout, wanted: Layout) -> None:
        """Start for a longer layout, unless one is under way or slots would have to move."""
        if self.target is None and wanted.length > now.length and wanted.slots == now.slots:
            self.target, self.copied = wanted, 0

    def shrink(self, wanted: Layout) -> None:
        """Start for a shorter layout, which nobody outgrows; it counts from now on."""
        self.target, self.copied = wanted, 0

    def copy_part(self) -> bool:
        """One more part is there; True when it was the last."""
        self.copied += 1
        if self.copied < self.parts:
            return False
        self.target = None
        return True
