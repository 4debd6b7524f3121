"""Runs the model step by step: keeps the KV cache and turns the scheduler's steps into arrays.

Cache and prefix cache are donated to every program that changes them. What does not live here:
the programs themselves (`programs`), which request computes when (`scheduler`), threads (`engine`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import jax
import numpy as np

from serving.cache_copies import WINDOW
from serving.computed import Answers, Chosen, Computed, Prompts
from serving.config import Config
from serving.kv_cache import AnyCache, KVCache, make_cache
from serving.memory import release_pages, trim_memory
from serving.model import Weights
from serving.prefix_cache import BLOCK
from serving.programs import Programs, Shapes
from serving.request import Job, SamplingParams
from serving.sampling import SamplingRows, stack_params
from serving.sequence import Sequence
from serving.sharding import Devices
from serving.start_cache import StartCache
from serving.step import Chunk, Layout, Limits, Step, pick_size

GREEDY = SamplingParams(temperature=0.0)


def row_counts(slots: int) -> tuple[int, ...]:
    """Row counts that decode is compiled for: 1, 4, 8, 16 ... and all slots."""
    counts = [1, 4]
    while counts[-1] < slots:
        counts.append(counts[-1] * 2)
    return (*(rows for rows in counts if rows < slots), slots)


def make_shapes(limits: Limits, places: int) -> Shapes:
    """All shapes that steps under `limits` can have."""
    calls, heads, ranked = {}, {1}, {1}
    for layout in limits.layouts:
        counts = row_counts(layout.slots)
        drafted = _drafted(limits, layout)
        shapes = [(rows, 1) for rows in counts]
        shapes += [(rows, limits.draft_width) for rows in drafted]
        shapes += [(1, size) for size in limits.chunk_sizes]
        if limits.rows_of_prompts(layout) > 1:
            # Larger chunks use the processor well by themselves.
            shapes += [(limits.chunk_rows, size) for size in limits.chunk_sizes[:-1]]
        calls[layout] = tuple(dict.fromkeys(shapes))
        heads |= {*counts, *(rows * limits.draft_width for rows in drafted)}
        ranked |= {*counts}
    spare = places + 1 if places else 0
    return Shapes(calls, tuple(sorted(heads)), tuple(sorted(ranked)), limits.chunk_sizes, spare)


def _drafted(limits: Limits, layout: Layout) -> tuple[int, ...]:
    """Row counts of calls with guesses."""
    if limits.draft_width == 1:
        return ()
    counts = row_counts(layout.slots)
    most = pick_size(counts, limits.draft_rows)
    return tuple(rows for rows in counts if rows <= most)


class Runner:
    """One model, its compiled programs and its cache. One thread at a time."""

    def __init__(
        self,
        config: Config,
        weights: Weights,
        limits: Limits,
        places: int,
        devices: Devices | None = None,
        kind: type[AnyCache] = KVCache,
    ) -> None:
        """`places` blocks of prefix cache; `devices` hold the weights; nothing is compiled yet."""
        self.limits, self.places = limits, places
        self._programs = Programs(config, weights, make_shapes(limits, places), devices, kind)
        self.layout = limits.layouts[0]
        self._cache: list[AnyCache] = []
        self._pool: list[AnyCache] = []
        self._answers: Answers | None = None  # of the newest step

    @property
    def position_bytes(self) -> int:
        """Keys and values of one position in all layers."""
        specs = self._programs.cache_specs(self.limits.layouts[0])
        layout = self.limits.layouts[0]
        held = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(specs))
        return held // (layout.slots * layout.length)

    @property
    def vocabulary(self) -> int:
        """Width of the logits, which may be more than the tokenizer knows."""
        return self._programs.vocabulary

    def compile(
        self, progress: Callable[[int, int], None], cache: StartCache | None = None
    ) -> None:
        """Compile everything, then make the caches; `progress(done, total)` on the way.

        What an earlier start left in `cache` is not compiled again.
        """
        self._programs.compile(progress, cache)
        self.reset()

    def reset(self) -> None:
        """Empty caches, also after a step that failed half-way."""
        self._cache, self._pool, self._answers = [], [], None
        self.layout = self.limits.layouts[0]
        for spec in self._programs.cache_specs(self.layout):
            # Group by group, so that never all of it is held at once.
            self._cache.append(make_cache(spec))
            _release(self._cache[-1])
        if self.places:
            self._pool = [make_cache(spec) for spec in self._programs.pool_specs()]

    def begin(self, step: Step, jobs: Mapping[Sequence, Job]) -> Computed:
        """Hand a step to the device; what comes of it is there later.

        A step `ahead` continues the rows of the step that was handed over before it.
        """
        for save in step.saves:
            self._save(save.slot, dict(save.blocks))
        if step.layout is not None:
            self.arrange(step.layout, step.source)
        for load in step.loads:
            self._load(load.sequence.slot, load.places)
        prompts = tuple(
            self._prompts([step.chunks[number] for number in batch], jobs) for batch in step.batches
        )
        if step.ahead:
            self._answers = self._continue(self._answers)
        else:
            self._answers = self._rows(step, jobs) if step.rows else None
        return Computed(prompts, step.batches, self._answers)

    # --- copies -----------------------------------------------------------------------------

    def arrange(self, layout: Layout, source: tuple[int, ...]) -> None:
        """Copy the cache into another layout: slot i is the old slot `source[i]`."""
        now, self.layout = self.layout, layout
        for index in range(len(self._cache)):
            self._move(index, now, np.array(source, np.int32))
        # What was freed cannot hold what comes next, so it would only add up.
        trim_memory()

    def release(self) -> None:
        """Give back the memory of a cache that nobody reads any more; what it held is lost."""
        for group in self._cache:
            _release(group)

    def _move(self, index: int, now: Layout, slots: np.ndarray) -> None:
        """Copy one group's cache from the layout that it had."""
        leaves, form = jax.tree.flatten(self._cache[index])
        self._cache[index] = jax.tree.unflatten(form, [None] * len(leaves))
        for place, leaf in enumerate(leaves):
            # Leaf by leaf and waited for, so that never two whole caches are held.
            moved = self._programs.arrange(leaf, now, self.layout, slots)
            leaves[place] = moved.block_until_ready()
        self._cache[index] = jax.tree.unflatten(form, leaves)

    def _save(self, slot: int, places: dict[int, int]) -> None:
        """Copy blocks of a slot (by number) to their places."""
        for window in sorted({number // WINDOW for number in places}):
            numbers = range(window * WINDOW, (window + 1) * WINDOW)
            # What is not wanted goes to the spare place.
            wanted = np.array([places.get(number, self.places) for number in numbers], np.int32)
            where = (np.int32(slot), np.int32(window * WINDOW * BLOCK), wanted)
            for index, pool in enumerate(self._pool):
                cache = self._cache[index]
                self._pool[index] = self._programs.save(self.layout, cache, pool, *where)

    def _load(self, slot: int | None, places: tuple[int, ...]) -> None:
        """Copy places to the beginning of a slot."""
        for first in range(0, len(places), WINDOW):
            wanted = np.full(WINDOW, self.places, np.int32)
            part = places[first : first + WINDOW]
            wanted[: len(part)] = part
            where = (np.int32(slot), np.int32(first * BLOCK), wanted)
            for index, cache in enumerate(self._cache):
                pool = self._pool[index]
                self._cache[index] = self._programs.load(self.layout, cache, pool, *where)

    # --- prompts ----------------------------------------------------------------------------

    def _prompts(self, chunks: list[Chunk], jobs: Mapping[Sequence, Job]) -> Prompts:
        """Compute chunks of one size; with the last one of a prompt the token that follows it."""
        count, size = 1 if len(chunks) == 1 else self.limits.chunk_rows, chunks[0].size
        tokens = np.zeros((count, size), np.int32)
        slots, start = np.zeros(count, np.int32), np.zeros(count, np.int32)
        ends = np.zeros(count, np.int32)
        for row, chunk in enumerate(chunks):
            tokens[row, : len(chunk.tokens)] = chunk.tokens
            slots[row], start[row] = chunk.sequence.slot, chunk.start
            ends[row] = len(chunk.tokens)
        _repeat_first(len(chunks), tokens, slots, start, ends)
        x = self._programs.layers(self.layout, self._cache, tokens, slots, start)
        first, job = chunks[0], jobs[chunks[0].sequence]
        ranks, following = None, ()
        if job.params.prompt_logprobs is not None and not first.sequence.generated_count:
            following = tuple(first.sequence.tokens[first.start + 1 :][: len(first.tokens)])
            wanted = np.zeros(size, np.int32)
            wanted[: len(following)] = following
            ranks = self._programs.scores(x, wanted)
        chosen = None
        if any(chunk.last for chunk in chunks):
            owners: list[Job | None] = [None] * count
            for row, chunk in enumerate(chunks):
                owners[row] = jobs[chunk.sequence] if chunk.last else None
            chosen = self._choose(self._programs.pick(x, ends - 1), start + ends, owners)
        return Prompts(chunks, chosen, ranks, following, job.params.prompt_logprobs or 0)

    # --- answers ----------------------------------------------------------------------------

    def _rows(self, step: Step, jobs: Mapping[Sequence, Job]) -> Answers:
        """Tokens for each row of a step: `width` of them, to be held against its draft."""
        width, batch = step.width, [row.sequence for row in step.rows]
        count = pick_size(row_counts(self.layout.slots), len(batch))
        tokens = np.zeros((count, width), np.int32)
        slots, start = np.zeros(count, np.int32), np.zeros(count, np.int32)
        where = list(range(len(batch)))
        if count == self.layout.slots:
            where = [sequence.slot or 0 for sequence in batch]
            slots[:] = np.arange(count)
            for slot, position in step.idle:
                start[slot] = position
        for place, row in zip(where, step.rows, strict=True):
            tokens[place, : 1 + len(row.draft)] = (row.sequence.tokens[-1], *row.draft)
            slots[place] = row.sequence.slot
            start[place] = len(row.sequence.tokens) - 1
        if count != self.layout.slots:
            _repeat_first(len(batch), tokens, slots, start)
        owners: list[Job | None] = [None] * count
        for place, sequence in zip(where, batch, strict=True):
            owners[place] = jobs[sequence]
        x = self._programs.layers(self.layout, self._cache, tokens, slots, start)
        if width == 1:
            sampling = _stack(owners)
            chosen = self._choose(self._pick_only(x), start + 1, owners, sampling)
            return Answers(chosen, width, where, slots, start, sampling)
        # Rows that need more than a token are never guessed for, nor are those beside them.
        place = (start[:, None] + np.arange(1, width + 1, dtype=np.int32)).reshape(-1)
        sampling = _stack([job for job in owners for _ in range(width)])
        token = self._programs.head(self._programs.flatten(x), place, sampling)
        return Answers(Chosen(token, owners), width, where, slots, start, sampling)

    def _continue(self, last: Answers | None) -> Answers:
        """One more token for each row of a call whose tokens nobody has seen yet."""
        if last is None or last.width != 1:
            raise ValueError("only rows of one token each can be continued unseen")
        slots, start, used = last.slots, last.start.copy(), len(last.where)
        if len(start) == self.layout.slots:
            start[last.where] += 1
        else:
            start[:used] += 1
            # Spare rows have chosen tokens of their own, so they go where nobody's are.
            free = np.setdiff1d(np.arange(self.layout.slots, dtype=np.int32), slots[:used])
            slots = np.concatenate([slots[:used], free[: len(start) - used]])
            start[used:] = 0
        tokens, owners = last.chosen.token, last.chosen.jobs
        x = self._programs.layers(self.layout, self._cache, tokens, slots, start)
        chosen = self._choose(self._pick_only(x), start + 1, owners, last.sampling)
        return dataclasses.replace(last, chosen=chosen, slots=slots, start=start)

    def _pick_only(self, x: jax.Array) -> jax.Array:
        """The only token of each row [R D] of x [R 1 D]."""
        return self._programs.pick(x, np.zeros(x.shape[0], np.int32))

    def _choose(
        self,
        x: jax.Array,
        place: np.ndarray,
        jobs: list[Job | None],
        sampling: SamplingRows | None = None,
    ) -> Chosen:
        """The next token of each row of x [N D], and how likely it was where that is asked for."""
        sampling = _stack(jobs) if sampling is None else sampling
        if not any(job is not None and job.ranked for job in jobs):
            return Chosen(self._programs.head(x, place, sampling), jobs)
        repeat = np.ones((len(jobs), self.vocabulary), np.float32)
        bias = np.zeros_like(repeat)
        for row, job in enumerate(jobs):
            if job is not None and job.adjustment is not None:
                repeat[row], bias[row] = job.adjustment.repeat, job.adjustment.bias
        token, ranks = self._programs.ranked_head(x, place, sampling, repeat, bias)
        return Chosen(token, jobs, ranks)


def _stack(jobs: list[Job | None]) -> SamplingRows:
    return stack_params([job.params if job is not None else GREEDY for job in jobs])


def _repeat_first(count: int, *arrays: np.ndarray) -> None:
    """Let rows from `count` on be the first one: the same values are written twice to one place."""
    for array in arrays:
        array[count:] = array[:1]


def _release(group: AnyCache) -> None:
    """Let a group's cache take no memory until it is written again; what it held is lost."""
    for leaf in jax.tree.leaves(group):
        for shard in leaf.block_until_ready().addressable_shards:
            if shard.device.platform == "cpu":
                release_pages(shard.data.unsafe_buffer_pointer(), shard.data.nbytes)
