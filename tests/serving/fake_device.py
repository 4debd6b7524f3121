"""A device that remembers which token lies at which place of the cache, instead of keys and values.

Whatever a step reads is held to what it must be, so that a wrong slot, a wrong copy or a place
that something else has overwritten is found at once. The next token depends on all tokens before.
"""

from __future__ import annotations

from serving.prefix_cache import BLOCK
from serving.scheduler import Scheduler
from serving.sequence import Sequence
from serving.step import Step

GARBAGE = -1


def next_token(tokens: list[int]) -> int:
    """The stand-in model: 0 to 4, repetitive enough that guesses are sometimes right."""
    return (tokens[-1] * 2 + tokens[0] + len(tokens) // 16) % 5


class FakeDevice:
    """The cache of one scheduler, as tokens by slot and position."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.layout = scheduler.layout
        self.flight: tuple[Step, tuple[list[int | None], list[list[int]]]] | None = None
        self.slots = [[GARBAGE] * self.layout.length for _ in range(self.layout.slots)]
        self.places = [[GARBAGE] * BLOCK for _ in range(scheduler.prefix.places)]

    def run(self) -> Step:
        """Schedule, compute and take one step."""
        step = self.scheduler.schedule()
        firsts, rows = self.compute(step)
        self.scheduler.postprocess(step, firsts, rows)
        return step

    def turn(self) -> Step:
        """A turn of the engine: the next step begins before this one's tokens are taken."""
        step, results = self.flight or (None, None)
        if step is None:
            step = self.scheduler.schedule()
            results = self.compute(step)
        following = self.scheduler.follow(step)
        self.flight = None
        if following is not None:
            assert following.ahead
            self.flight = (following, self.compute(following, results[1]))
        self.scheduler.postprocess(step, *results)
        return step

    def compute(
        self, step: Step, unseen: list[list[int]] | None = None
    ) -> tuple[list[int | None], list[list[int]]]:
        """The step's tokens; each read of the cache is checked.

        `unseen` are the tokens of the step before it where nobody has taken them yet.
        """
        self._copy(step)
        self._check_batches(step)
        firsts = [self._chunk(step, number) for number in range(len(step.chunks))]
        touched = {row.sequence.slot for row in step.rows}
        for slot, place in step.idle:
            assert slot not in touched
            touched.add(slot)
            self.slots[slot][place : place + step.width] = [GARBAGE] * step.width
            assert len(self.slots[slot]) == self.layout.length, "written past the end"
        for slot in range(self.layout.slots):
            if slot not in touched:
                self.slots[slot][: step.width] = [GARBAGE] * step.width
        ahead = unseen or [[]] * len(step.rows)
        return firsts, [
            self._row(row.sequence, row.draft, step.width, more)
            for row, more in zip(step.rows, ahead, strict=True)
        ]

    def _check_batches(self, step: Step) -> None:
        """Each chunk is computed once, beside others of its size, as many as were compiled for."""
        assert sorted(n for batch in step.batches for n in batch) == list(range(len(step.chunks)))
        most = self.scheduler.limits.rows_of_prompts(self.layout)
        for batch in step.batches:
            assert len({step.chunks[number].size for number in batch}) == 1
            assert len({step.chunks[number].sequence for number in batch}) == len(batch) <= most

    def _copy(self, step: Step) -> None:
        for save in step.saves:
            for number, place in save.blocks:
                block = self.slots[save.slot][number * BLOCK : (number + 1) * BLOCK]
                assert len(block) == BLOCK
                self.places[place] = list(block)
        if step.layout is not None:
            assert len(step.source) == step.layout.slots
            spare = [GARBAGE] * step.layout.length
            old, self.layout = self.slots, step.layout
            self.slots = [(old[slot] + spare)[: step.layout.length] for slot in step.source]
        for load in step.loads:
            tokens = [token for place in load.places for token in self.places[place]]
            assert tokens == load.sequence.tokens[: len(tokens)], "another prefix was loaded"
            assert len(tokens) <= self.layout.length, "loaded past the end"
            self.slots[load.sequence.slot][: len(tokens)] = tokens

    def _chunk(self, step: Step, number: int) -> int | None:
        chunk = step.chunks[number]
        assert 0 < len(chunk.tokens) <= chunk.size
        assert chunk.size in self.scheduler.limits.chunk_sizes
        assert chunk.start + chunk.size <= self.layout.length
        self._check(chunk.sequence, chunk.start)
        padding = [GARBAGE] * (chunk.size - len(chunk.tokens))
        slot = self.slots[chunk.sequence.slot]
        slot[chunk.start : chunk.start + chunk.size] = [*chunk.tokens, *padding]
        return next_token(chunk.sequence.tokens) if chunk.last else None

    def _row(
        self, sequence: Sequence, draft: tuple[int, ...], width: int, more: list[int]
    ) -> list[int]:
        tokens = [*sequence.tokens, *more]
        start = len(tokens) - 1
        self._check(sequence, len(sequence.tokens) - 1)
        assert start + width <= self.layout.length
        given = [tokens[-1], *draft]
        given += [GARBAGE] * (width - len(given))
        self.slots[sequence.slot][start : start + width] = given
        ends = range(1, len(given) + 1)
        return [next_token([*tokens[:-1], *given[:end]]) for end in ends]

    def _check(self, sequence: Sequence, end: int) -> None:
        assert self.slots[sequence.slot][:end] == sequence.tokens[:end], "the cache is not its own"
