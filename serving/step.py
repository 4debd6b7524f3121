"""What one step consists of, and the limits that steps are planned under. Plain values.

The parts of a step are computed in this order: saves, layout, loads, chunks, rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from collections.abc import Sequence as Many

from serving.sequence import Sequence


def pick_size(sizes: Iterable[int], needed: int) -> int:
    """The smallest of `sizes` (ascending) that holds `needed`, else the largest; 0 of none."""
    chosen = 0
    for chosen in sizes:
        if chosen >= needed:
            break
    return chosen


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """The KV cache's rectangle: every slot has `length` positions."""

    length: int
    slots: int


SHORTEST = 256


def make_layouts(slots: int, context: int, cache_tokens: int) -> tuple[Layout, ...]:
    """All slots of the whole context where `cache_tokens` positions suffice for that.

    Else doubling lengths from 256 up to the context, each with as many slots as there is room for,
    but one always; of lengths with as many slots only the longest.
    """
    lengths, length = [context], SHORTEST
    while length < context:
        lengths.insert(-1, length)
        length *= 2
    layouts = [Layout(n, max(1, min(slots, cache_tokens // n))) for n in lengths]
    longest = {layout.slots: layout for layout in layouts}
    return tuple(longest.values())


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """What the device was compiled for, and what the operator allows."""

    layouts: tuple[Layout, ...]  # ascending length, slots never more than in the one before
    queue: int  # sequences that may wait
    chunk_sizes: tuple[int, ...]  # ascending, each dividing the next and every length
    budget: int  # tokens of one step
    draft_rows: int = 0  # guesses are made while at most so many decode
    draft_width: int = 1  # a token and its guess
    chunk_rows: int = 1  # chunks of one size that one call computes

    def __post_init__(self) -> None:
        """ValueError when some step could not be planned."""
        slots = [layout.slots for layout in self.layouts]
        if slots != sorted(slots, reverse=True) or slots[-1] < 1:
            raise ValueError("a longer layout cannot have more slots")
        if any(layout.length % self.chunk_sizes[-1] for layout in self.layouts):
            raise ValueError(f"some length is no multiple of the chunk {self.chunk_sizes[-1]}")
        if self.budget < max(slots[0] + self.chunk_sizes[0], self.draft_rows * self.draft_width):
            raise ValueError(f"{self.budget} tokens are too few for a step of {slots[0]} slots")

    def rows_of_prompts(self, layout: Layout) -> int:
        """How many chunks one call computes; one where that would be a call over all slots."""
        return self.chunk_rows if layout.slots > self.chunk_rows else 1

    @property
    def context(self) -> int:
        """Most tokens of a sequence."""
        return self.layouts[-1].length


@dataclasses.dataclass(frozen=True, slots=True)
class Save:
    """Copy blocks of a slot, by their number, to places of the prefix cache."""

    slot: int
    blocks: tuple[tuple[int, int], ...]  # number in the slot, place


@dataclasses.dataclass(frozen=True, slots=True)
class Load:
    """Copy places of the prefix cache to the beginning of a sequence's slot."""

    sequence: Sequence
    places: tuple[int, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a prompt, to be computed at the padded size `size`."""

    sequence: Sequence
    start: int
    tokens: tuple[int, ...]
    size: int

    @property
    def last(self) -> bool:
        """After this chunk all its tokens are computed, and the next one is there."""
        return self.start + len(self.tokens) == len(self.sequence.tokens)


def put_together(chunks: Many[Chunk], most: int, large: int) -> tuple[tuple[int, ...], ...]:
    """Chunks of one size, by their number, at most so many: each group is one call.

    Chunks of the `large` size use a processor well by themselves, and a prompt whose every token is
    wanted is computed alone.
    """
    groups: list[list[int]] = []
    for number, chunk in enumerate(chunks):
        for group in groups:
            first = chunks[group[0]]
            alike = first.size == chunk.size < large
            if (
                alike
                and len(group) < most
                and first.sequence.use_prefix
                and chunk.sequence.use_prefix
            ):
                group.append(number)
                break
        else:
            groups.append([number])
    return tuple(map(tuple, groups))


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A sequence that continues, and a guess of what follows its newest token."""

    sequence: Sequence
    draft: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """What the device computes next."""

    saves: tuple[Save, ...]
    layout: Layout | None  # all of the cache goes over to it; None: as it is
    source: tuple[int, ...]  # with a layout: the old slot that each new one copies
    loads: tuple[Load, ...]
    chunks: tuple[Chunk, ...]
    rows: tuple[Row, ...]
    width: int  # tokens of each row, drafts padded to it
    idle: tuple[tuple[int, int], ...]  # slots without a row, and their first free position
    admitted: tuple[Sequence, ...]
    batches: tuple[tuple[int, ...], ...] = ()  # which chunks, by number, one call computes
    ahead: bool = False  # each row continues with the token that the step before it gives

    @property
    def tokens(self) -> int:
        """Tokens that the step computes, padding included."""
        return sum(chunk.size for chunk in self.chunks) + len(self.rows) * self.width
