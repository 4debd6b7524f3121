"""Runs the model step by step: keeps the KV cache and turns chunks and sequences into arrays.

The cache is donated to every call and is as long as the longest running sequence needs: `fit`
copies it to another length. What does not live here: the programs themselves (`programs`), which
request computes when (`scheduler`), threads (`engine`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from serving import model
from serving.memory import trim_memory
from serving.model import Config, KVCache, Weights
from serving.programs import Programs
from serving.request import SamplingParams
from serving.sampling import stack_params
from serving.scheduler import Chunk, Sequence, pick_size

CHUNK_SIZES = (32, 128)
SHORTEST_CACHE = 256


def cache_lengths(context: int) -> tuple[int, ...]:
    """Doubling cache lengths from 256 up to the context, which is always the last."""
    lengths = []
    length = SHORTEST_CACHE
    while length < context:
        lengths.append(length)
        length *= 2
    return (*lengths, context)


def row_counts(slots: int) -> tuple[int, ...]:
    """Row counts that decode is compiled for: 1, 4, 16 ... and all slots."""
    counts = []
    rows = 1
    while rows < slots:
        counts.append(rows)
        rows *= 4
    return (*counts, slots)


class Runner:
    """One model, its compiled programs and its cache. One thread at a time."""

    def __init__(self, config: Config, weights: Weights, slots: int, context: int) -> None:
        """`context` is a multiple of 256; nothing is compiled yet."""
        self.slots, self.context = slots, context
        self.chunk_sizes = CHUNK_SIZES
        self.lengths = cache_lengths(context)
        self.rows = row_counts(slots)
        shapes = (*((rows, 1) for rows in self.rows), *((1, size) for size in CHUNK_SIZES))
        self._programs = Programs(config, weights, slots, self.lengths, shapes)
        self._length = self.lengths[0]
        self._cache: list[KVCache] = []

    @property
    def length(self) -> int:
        """The cache's present length in positions per slot."""
        return self._length

    def compile(self, progress: Callable[[int, int], None]) -> None:
        """Compile everything, then make the cache; `progress(done, total)` on the way."""
        self._programs.compile(progress)
        self.reset()

    def reset(self) -> None:
        """An empty cache of the shortest length, also after a step that failed half-way."""
        self._cache = []
        self._length = self.lengths[0]
        specs = self._programs.cache_specs(self._length)
        self._cache = [model.make_cache(spec) for spec in specs]

    def fit(self, needed: int) -> None:
        """Make the cache long enough for `needed` positions; 0 means that nobody runs.

        It is shortened when nobody runs, or when a quarter would do: each copy takes time.
        """
        target = pick_size(self.lengths, needed)
        if target == self._length or (needed and self._length // 4 < target < self._length):
            return
        for index, group in enumerate(self._cache):
            sides = [list(group.keys), list(group.values)]
            self._cache[index] = KVCache((), ())
            del group
            for side in sides:
                for place, leaf in enumerate(side):
                    # Leaf by leaf and waited for, so that never two whole caches are held.
                    side[place] = self._programs.resize(leaf, target).block_until_ready()
            self._cache[index] = KVCache(tuple(sides[0]), tuple(sides[1]))
            del sides, side, leaf
            # What was freed cannot hold what comes next, so it would only add up.
            trim_memory()
        self._length = target

    def prefill(self, chunk: Chunk, params: SamplingParams) -> int:
        """Compute one chunk; the token that would follow it."""
        tokens = np.zeros((1, chunk.size), np.int32)
        tokens[0, : len(chunk.tokens)] = chunk.tokens
        slot, start, last = (
            np.array([value], np.int32)
            for value in (chunk.sequence.slot, chunk.start, len(chunk.tokens) - 1)
        )
        sampling = stack_params([params])
        return int(np.asarray(self._step(tokens, slot, start, last, sampling))[0])

    def _step(self, *inputs) -> object:
        return self._programs.step(self._cache, *inputs)

    def decode(
        self, batch: list[tuple[Sequence, SamplingParams]], idle: dict[int, int]
    ) -> list[int]:
        """One token for each of `batch`; `idle` maps other held slots to their next position."""
        count = pick_size(self.rows, len(batch))
        tokens = np.zeros((count, 1), np.int32)
        slots, start = np.zeros(count, np.int32), np.zeros(count, np.int32)
        params = [SamplingParams(temperature=0.0)] * count
        where = list(range(len(batch)))
        if count == self.slots:
            where = [sequence.slot for sequence, _ in batch]
            slots[:] = np.arange(count)
            for slot, position in idle.items():
                start[slot] = position
        for row, (sequence, wanted) in zip(where, batch, strict=True):
            tokens[row, 0] = sequence.generated[-1]
            slots[row], start[row], params[row] = sequence.slot, sequence.position, wanted
        if count != self.slots:
            # Spare rows repeat the first one: the same values are written twice to one place.
            for array in (tokens, slots, start):
                array[len(batch) :] = array[:1]
        last = np.zeros(count, np.int32)
        found = np.asarray(self._step(tokens, slots, start, last, stack_params(params)))
        return [int(found[row]) for row in where]
