"""Runs the model: compiles every shape ahead of time, keeps the KV cache, computes one step.

All programs are compiled before the first request, for each row count, chunk size and cache
length; calling one with another shape raises instead of compiling. The cache is donated to every
call, and as long as the longest running sequence needs: `fit` copies it to another length.
What does not live here: which request computes when (`scheduler`), threads (`engine`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

from serving import model
from serving.model import Config, KVCache, Weights
from serving.request import SamplingParams
from serving.sampling import SamplingRows, sample, sampling_specs, stack_params
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


def _prefill(
    config: Config,
    weights: Weights,
    cache: KVCache,
    tokens: jax.Array,
    place: jax.Array,  # [3] int32: slot, start, count
    sampling: SamplingRows,
) -> tuple[jax.Array, KVCache]:
    slot, start, count = place
    logits, cache = model.prefill(config, weights, cache, tokens, slot, start, count)
    return sample(logits, sampling, (start + count)[None]), cache


def _decode(
    config: Config,
    weights: Weights,
    cache: KVCache,
    rows: jax.Array,  # [3 R] int32: newest token, slot, its position
    sampling: SamplingRows,
) -> tuple[jax.Array, KVCache]:
    tokens, slots, position = rows
    logits, cache = model.decode(config, weights, cache, tokens, slots, position)
    return sample(logits, sampling, position + 1), cache


class Runner:
    """The compiled programs of one model and its cache. One thread at a time."""

    def __init__(self, config: Config, weights: Weights, slots: int, context: int) -> None:
        """`context` as `cache_lengths` allows; nothing is compiled yet."""
        self.config, self.slots, self.context = config, slots, context
        self.lengths = cache_lengths(context)
        self.chunk_sizes = CHUNK_SIZES
        self.rows = row_counts(slots)
        bf16 = weights.embedding.values.dtype == jnp.bfloat16
        self._dtype = jnp.bfloat16 if bf16 else jnp.float32
        self._weights = weights
        self._programs: dict[tuple[str | int, ...], jax.stages.Compiled] = {}
        self._length = self.lengths[0]
        self._cache: KVCache | None = None

    @property
    def length(self) -> int:
        """The cache's present length in positions per slot."""
        return self._length

    def compile(self, progress: Callable[[int, int], None]) -> None:
        """Compile everything; `progress(done, total)` after each program, from any thread."""
        jobs: list[Callable[[], None]] = []
        for length in reversed(self.lengths):
            jobs += [functools.partial(self._compile_decode, rows, length) for rows in self.rows]
            jobs += [functools.partial(self._compile_prefill, s, length) for s in self.chunk_sizes]
            jobs.append(functools.partial(self._compile_resizes, length))
        done = 0
        # XLA compiles outside the interpreter lock, so two threads use two cores.
        with ThreadPoolExecutor(2, "compile") as pool:
            for _ in pool.map(lambda job: job(), jobs):
                done += 1
                progress(done, len(jobs))
        self.reset()

    def reset(self) -> None:
        """An empty cache of the shortest length, also after a call that failed with the cache."""
        self._cache = None
        self._length = self.lengths[0]
        self._cache = model.make_cache(self.config, self.slots, self._length, self._dtype)

    def _specs(self, length: int) -> tuple[Weights, KVCache]:
        weights = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), self._weights)
        return weights, model.cache_specs(self.config, self.slots, length, self._dtype)

    def _compile_decode(self, rows: int, length: int) -> None:
        program = jax.jit(functools.partial(_decode, self.config), donate_argnums=1)
        inputs = jax.ShapeDtypeStruct((3, rows), jnp.int32)
        lowered = program.lower(*self._specs(length), inputs, sampling_specs(rows))
        self._programs["decode", rows, length] = lowered.compile()

    def _compile_prefill(self, size: int, length: int) -> None:
        program = jax.jit(functools.partial(_prefill, self.config), donate_argnums=1)
        tokens = jax.ShapeDtypeStruct((size,), jnp.int32)
        place = jax.ShapeDtypeStruct((3,), jnp.int32)
        lowered = program.lower(*self._specs(length), tokens, place, sampling_specs(1))
        self._programs["prefill", size, length] = lowered.compile()

    def _compile_resizes(self, length: int) -> None:
        for target in self.lengths:
            if target != length:
                leaf = self._specs(length)[1].keys[0]
                resize = jax.jit(functools.partial(model.resize, length=target))
                self._programs["resize", length, target] = resize.lower(leaf).compile()

    def fit(self, needed: int) -> None:
        """Make the cache long enough for `needed` positions; 0 means that nobody runs.

        It is shortened when nobody runs, or when a quarter would do: each copy takes time.

        Leaf by leaf, so that never two whole caches are held.
        """
        target = pick_size(self.lengths, needed)
        if target == self._length or (needed and self._length // 4 < target < self._length):
            return
        resize = self._programs["resize", self._length, target]
        cache = self._take_cache()
        leaves = [list(cache.keys), list(cache.values)]
        del cache
        for side in leaves:
            for index, leaf in enumerate(side):
                side[index] = resize(leaf)
                # On CPU the call may return before it ran, which would keep the old leaf alive.
                side[index].block_until_ready()
        self._cache = KVCache(tuple(leaves[0]), tuple(leaves[1]))
        self._length = target

    def _take_cache(self) -> KVCache:
        cache, self._cache = self._cache, None
        if cache is None:
            raise RuntimeError("the cache is gone: compile() or reset() comes first")
        return cache

    def prefill(self, chunk: Chunk, params: SamplingParams) -> int:
        """Compute one chunk; the token that would follow it."""
        tokens = np.zeros(chunk.size, np.int32)
        tokens[: len(chunk.tokens)] = chunk.tokens
        place = np.array([chunk.sequence.slot, chunk.start, len(chunk.tokens)], np.int32)
        program = self._programs["prefill", chunk.size, self._length]
        token, self._cache = program(
            self._weights, self._take_cache(), tokens, place, stack_params([params])
        )
        return int(np.asarray(token)[0])

    def decode(
        self, batch: list[tuple[Sequence, SamplingParams]], idle: dict[int, int]
    ) -> list[int]:
        """One token for each of `batch`; `idle` maps other held slots to their first free position."""
        count = pick_size(self.rows, len(batch))
        rows = np.zeros((3, count), np.int32)
        if count == self.slots:
            where = [sequence.slot or 0 for sequence, _ in batch]
            rows[1] = np.arange(count)
            for slot, position in idle.items():
                rows[2, slot] = position
        else:
            where = list(range(len(batch)))
        params = [SamplingParams(temperature=0.0)] * count
        for row, (sequence, wanted) in zip(where, batch, strict=True):
            rows[:, row] = sequence.generated[-1], sequence.slot or 0, sequence.position
            params[row] = wanted
        if count != self.slots:
            # Spare rows repeat the first one: the same values are written twice to the same place.
            rows[:, len(batch) :] = rows[:, :1]
        program = self._programs["decode", count, self._length]
        tokens, self._cache = program(self._weights, self._take_cache(), rows, stack_params(params))
        found = np.asarray(tokens)
        return [int(found[row]) for row in where]
