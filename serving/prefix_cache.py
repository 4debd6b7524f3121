"""Which blocks of which prompts are kept after their request: keys, places and eviction.

A block is `BLOCK` consecutive tokens that start at a multiple of `BLOCK`. What the model keeps of
them depends on everything before them, so a block's key is its tokens and the serial number of
the block before it: an exact chain, in which no two prefixes can be mistaken for each other.
The least recently used block goes first. Pure Python: what lies in the places is copied by
`runner`, when `scheduler` says so.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Sequence as Many

BLOCK = 32  # tokens; a smaller block finds more, a larger one is copied faster

_ROOT = 0
_Key = tuple[int, tuple[int, ...]]  # serial number of the block before it, its tokens


@dataclasses.dataclass(frozen=True, slots=True)
class _Kept:
    serial: int
    place: int


class PrefixCache:
    """A bounded number of places, each holding one block. Not thread-safe."""

    def __init__(self, places: int) -> None:
        """Room for `places` blocks; with 0 nothing is ever found."""
        self.places = places
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()  # least recently used first
        self._free = list(range(places - 1, -1, -1))
        self._serial = _ROOT

    def __len__(self) -> int:
        """Blocks that are kept now."""
        return len(self._kept)

    def find(self, tokens: Many[int], limit: int) -> tuple[int, ...]:
        """The places of the longest kept prefix of `tokens`, at most `limit` blocks."""
        keys: list[_Key] = []
        parent = _ROOT
        for number in range(limit):
            key = (parent, tuple(tokens[number * BLOCK : (number + 1) * BLOCK]))
            kept = self._kept.get(key)
            if kept is None:
                break
            keys.append(key)
            parent = kept.serial
        self._touch(keys)
        return tuple(self._kept[key].place for key in keys)

    def keep(self, tokens: Many[int], blocks: int) -> list[tuple[int, int]]:
        """Make room for the first `blocks` of `tokens`: (block number, place) of each new one.

        The caller copies what belongs there before it looks anything up again. A prefix that is
        longer than the whole cache is kept as far as it fits.
        """
        keys: list[_Key] = []
        new: list[tuple[int, int]] = []
        parent = _ROOT
        for number in range(min(blocks, self.places)):
            key = (parent, tuple(tokens[number * BLOCK : (number + 1) * BLOCK]))
            if key not in self._kept:
                self._serial += 1
                self._kept[key] = _Kept(self._serial, self._take_place())
                new.append((number, self._kept[key].place))
            keys.append(key)
            # The newest end of the order: what follows must not evict its own beginning.
            self._kept.move_to_end(key)
            parent = self._kept[key].serial
        self._touch(keys)
        return new

    def clear(self) -> None:
        """Forget everything: what lay in the places is lost."""
        self._kept.clear()
        self._free = list(range(self.places - 1, -1, -1))

    def _take_place(self) -> int:
        if self._free:
            return self._free.pop()
        return self._kept.popitem(last=False)[1].place

    def _touch(self, keys: list[_Key]) -> None:
        """Used now; the beginning most of all, since nothing after it is found without it."""
        for key in reversed(keys):
            self._kept.move_to_end(key)
