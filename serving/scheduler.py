"""Decides what the device does next: which requests sit in which slots, and who computes when.

Pure Python, without JAX or clocks, so that it can be tested alone. The life of a request:

1. `add` puts it at the end of a bounded queue, or raises `QueueFull`.
2. `schedule` gives free slots to the oldest in the queue, then says what one step computes: at
   most one chunk of one prompt (the oldest unfinished one), and one token for each running
   sequence. A long prompt therefore delays the others by one chunk at a time.
3. The engine runs the step and hands the tokens to `postprocess`, which appends them, finishes
   what is finished, and frees those slots.
4. `cancel` and `finish` end a sequence from outside, at any moment between these calls.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable


class QueueFull(Exception):
    """No place in the queue; `waiting` sequences are in front."""

    def __init__(self, waiting: int) -> None:
        """Say how many wait."""
        super().__init__(f"{waiting} requests are waiting already")
        self.waiting = waiting


@dataclasses.dataclass(eq=False, slots=True)
class Sequence:
    """One prompt and its growing answer. `finish_reason` is None while it lives."""

    prompt: tuple[int, ...]
    max_tokens: int
    stop_tokens: frozenset[int] = frozenset()
    generated: list[int] = dataclasses.field(default_factory=list)
    slot: int | None = None
    prefilled: int = 0
    finish_reason: str | None = None

    @property
    def running(self) -> bool:
        """Its prompt is computed and it is not finished: it decodes."""
        return self.finish_reason is None and bool(self.generated)

    @property
    def position(self) -> int:
        """Where the newest generated token is written in the cache."""
        return len(self.prompt) + len(self.generated) - 1

    @property
    def held(self) -> int:
        """Cache positions that it fills."""
        return self.position if self.generated else self.prefilled


@dataclasses.dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a prompt, to be computed at the padded size `size`."""

    sequence: Sequence
    start: int
    tokens: tuple[int, ...]
    size: int

    @property
    def last(self) -> bool:
        """After this chunk the prompt is complete, and the first token is there."""
        return self.start + len(self.tokens) == len(self.sequence.prompt)


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """What the device computes next: the chunk first, then one token for each of `decode`."""

    chunk: Chunk | None
    decode: tuple[Sequence, ...]
    length: int  # cache positions that this step needs in every slot

    @property
    def empty(self) -> bool:
        """Nothing to do."""
        return self.chunk is None and not self.decode


def pick_size(sizes: Iterable[int], needed: int) -> int:
    """The smallest of `sizes` (ascending) that holds `needed`, else the largest."""
    chosen = 0
    for chosen in sizes:
        if chosen >= needed:
            break
    return chosen


class Scheduler:
    """Slots and a queue. Not thread-safe: the engine guards it with its own lock."""

    def __init__(
        self, slots: int, context: int, queue_limit: int, chunk_sizes: tuple[int, ...]
    ) -> None:
        """`chunk_sizes` ascending, each dividing the next; `context` a multiple of the largest."""
        if context % chunk_sizes[-1]:
            raise ValueError(f"context {context} is no multiple of the chunk {chunk_sizes[-1]}")
        self.context = context
        self.queue_limit = queue_limit
        self.chunk_sizes = chunk_sizes
        self.waiting: deque[Sequence] = deque()
        self.slots: list[Sequence | None] = [None] * slots
        self._order: list[Sequence] = []  # those in slots, oldest first

    @property
    def active(self) -> tuple[Sequence, ...]:
        """Sequences that hold a slot, oldest first."""
        return tuple(self._order)

    @property
    def busy(self) -> bool:
        """There is something to compute."""
        return bool(self._order or self.waiting)

    @property
    def cache_used_ratio(self) -> float:
        """Filled share of all cache positions, 0..1."""
        return sum(sequence.held for sequence in self._order) / (len(self.slots) * self.context)

    def add(self, *sequences: Sequence) -> None:
        """Queue them all or none; QueueFull when more would wait than the limit allows.

        A sequence that a free slot can take at once does not count as waiting.
        """
        free = self.slots.count(None)
        if len(self.waiting) + len(sequences) - free > self.queue_limit:
            raise QueueFull(len(self.waiting))
        for sequence in sequences:
            if not 0 < len(sequence.prompt) < self.context:
                raise ValueError(f"a prompt of {len(sequence.prompt)} tokens does not fit")
        self.waiting.extend(sequences)

    def cancel(self, sequence: Sequence) -> None:
        """End it wherever it is; nothing happens when it has ended already."""
        self.finish(sequence, "abort")

    def finish(self, sequence: Sequence, reason: str) -> None:
        """End a sequence for `reason` and free its slot."""
        if sequence.finish_reason is not None:
            return
        sequence.finish_reason = reason
        if sequence.slot is None:
            self.waiting.remove(sequence)
            return
        self.slots[sequence.slot] = None
        self._order.remove(sequence)

    def schedule(self) -> Step:
        """Admit from the queue in order, then say what the next step computes."""
        for slot, holder in enumerate(self.slots):
            if holder is None and self.waiting:
                sequence = self.waiting.popleft()
                sequence.slot = slot
                self.slots[slot] = sequence
                self._order.append(sequence)
        chunk = next((self._cut(s) for s in self._order if not s.generated), None)
        decode = tuple(sequence for sequence in self._order if sequence.generated)
        return Step(chunk, decode, self._needed(chunk))

    def _cut(self, sequence: Sequence) -> Chunk:
        start = sequence.prefilled
        tokens = sequence.prompt[start : start + self.chunk_sizes[-1]]
        return Chunk(sequence, start, tokens, pick_size(self.chunk_sizes, len(tokens)))

    def _needed(self, chunk: Chunk | None) -> int:
        """Positions for every slot; one that only looks on still has one written after its end."""
        needed = [sequence.held + 1 for sequence in self._order]
        if chunk is not None:
            needed += [chunk.start + chunk.size, chunk.start + len(chunk.tokens) + 1]
        return max(needed, default=0)

    def postprocess(
        self, step: Step, first: int | None, tokens: Iterable[int]
    ) -> list[tuple[Sequence, int]]:
        """Take the step's tokens: `first` from the chunk (when it was the last), one per decode.

        Returns the (sequence, token) pairs that still count; a sequence that was cancelled while
        the step ran gets nothing.
        """
        gained: list[tuple[Sequence, int]] = []
        chunk = step.chunk
        if chunk is not None and chunk.sequence.finish_reason is None:
            chunk.sequence.prefilled += len(chunk.tokens)
            if chunk.last:
                if first is None:
                    raise ValueError("the last chunk of a prompt gives a token")
                gained.append((chunk.sequence, first))
        pairs = zip(step.decode, tokens, strict=True)
        gained += [(s, token) for s, token in pairs if s.finish_reason is None]
        for sequence, token in gained:
            sequence.generated.append(token)
            if token in sequence.stop_tokens:
                self.finish(sequence, "stop")
            elif self._at_limit(sequence):
                self.finish(sequence, "length")
        return gained

    def _at_limit(self, sequence: Sequence) -> bool:
        full = sequence.position + 1 >= self.context
        return full or len(sequence.generated) >= sequence.max_tokens
