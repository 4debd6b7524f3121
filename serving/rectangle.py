"""How sequences change places where a longer rectangle has fewer slots. Pure Python.

What does not live here: when it changes (`scheduler`), the copying (`runner`).
"""

from __future__ import annotations

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
