"""Every program that runs on the device, compiled ahead of time for every shape.

The network is compiled in pieces: `embed`, a group of equal layers that is run once for each
group, `pick` (which rows the next tokens come from) and `head` with the sampling. One program of
30 unrolled layers would take 65 MB of memory for each of its shapes, and minutes to compile. Two
more programs copy blocks to and from the prefix cache, and one copies the KV cache into another
layout.

A later start takes the compiled programs over from `StartCache`: tracing and lowering them only to
find them in JAX's own cache of compilations would take three times as long.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
from jax.experimental.serialize_executable import deserialize_and_load, serialize

from serving import cache_copies, kv_cache, pieces
from serving.config import Config
from serving.kv_cache import AnyCache, KVCache
from serving.model import Weights
from serving.sampling import SamplingRows, sampling_specs
from serving.sharding import Devices
from serving.start_cache import StartCache
from serving.step import Layout

log = logging.getLogger("serving")

# Layers of one program. Six took 0.12 s of a start and 12 MB for each shape, two take 0.03 s and
# 3 MB; the ten calls more of a step cost its thread no time that could be measured.
LARGEST_GROUP = 2

Shape = tuple[int, int]  # rows, tokens of each row


@dataclasses.dataclass(frozen=True, slots=True)
class Shapes:
    """What is compiled: calls of the layers by layout, and rows of the heads."""

    calls: dict[Layout, tuple[Shape, ...]]
    heads: tuple[int, ...]  # rows that only need the next token
    ranked_heads: tuple[int, ...]  # rows that need adjusted logits or log-probabilities
    scores: tuple[int, ...]  # tokens of a chunk whose log-probabilities are told
    places: int  # of the prefix cache, the spare one included; 0 without it


def group_size(layers: int) -> int:
    """How many layers one program runs: the largest divisor of `layers` up to 2."""
    return max(size for size in range(1, LARGEST_GROUP + 1) if layers % size == 0)


class Programs:
    """The compiled programs of one model, with its weights."""

    def __init__(
        self,
        config: Config,
        weights: Weights,
        shapes: Shapes,
        devices: Devices | None = None,
        kind: type[AnyCache] = KVCache,
    ) -> None:
        """Nothing is compiled yet; `devices` is where the weights lie, `kind` the cache's."""
        self._config, self._weights = config, weights
        devices = devices or Devices(config)
        # Of caches, and of all that is not cut: what comes in and what goes between programs.
        self._cut, self._whole = devices.sharding(kind.AXES), devices.sharding(())
        self._shapes, self._kind = shapes, kind
        self.group = group_size(config.layers)
        starts = range(0, config.layers, self.group)
        self.groups = tuple(weights.layers[start : start + self.group] for start in starts)
        exact = weights.embedding.values.dtype == jnp.float32
        self._cache_dtype = kv_cache.cache_dtype(config, exact, jax.default_backend(), kind)
        self._compiled: dict[tuple, Callable] = {}
        device = jax.devices()[0]
        self._device = (device.platform, device.device_kind)
        self._cache: StartCache | None = None

    @property
    def vocabulary(self) -> int:
        """Width of the logits."""
        return self._config.vocabulary

    def compile(
        self, progress: Callable[[int, int], None], cache: StartCache | None = None
    ) -> None:
        """Compile everything, or take it over from `cache`; `progress(done, total)` after each."""
        self._cache = cache
        part, shapes = functools.partial, self._shapes
        calls = {shape for group in shapes.calls.values() for shape in group}
        jobs: list[Callable[[], None]] = [part(self._compile_ends, *shape) for shape in calls]
        for layout, group in shapes.calls.items():
            jobs += [part(self._compile_layers, layout, *shape) for shape in group]
            jobs += [part(self._compile_copies, layout)]
        jobs += [part(self._compile_head, rows) for rows in shapes.heads]
        jobs += [part(self._compile_ranked, rows) for rows in shapes.ranked_heads]
        jobs += [part(self._compile_scores, tokens) for tokens in shapes.scores]
        # XLA compiles and loads outside the interpreter lock, so two threads use two cores.
        with ThreadPoolExecutor(2, "compile") as pool:
            for done, _ in enumerate(pool.map(lambda job: job(), jobs), 1):
                progress(done, len(jobs))

    # --- shapes -----------------------------------------------------------------------------

    def cache_specs(self, layout: Layout) -> list[AnyCache]:
        """The shapes of an empty cache, group by group."""
        return [self._cache_spec(layout)] * len(self.groups)

    def pool_specs(self) -> list[AnyCache]:
        """The shapes of an empty prefix cache, group by group."""
        cache = self._cache_spec(next(iter(self._shapes.calls)))
        return [cache_copies.pool_specs(cache, self._shapes.places)] * len(self.groups)

    def _cache_spec(self, layout: Layout) -> AnyCache:
        size = (self.group, layout.slots, layout.length)
        return kv_cache.cache_specs(self._config, *size, self._cache_dtype, self._kind, self._cut)

    def _input(self, shape: tuple[int, ...], dtype: jnp.dtype) -> jax.ShapeDtypeStruct:
        """Something that every device gets whole."""
        return jax.ShapeDtypeStruct(shape, dtype, sharding=self._whole)

    def _sampling(self, rows: int) -> SamplingRows:
        return jax.tree.map(lambda leaf: self._input(leaf.shape, leaf.dtype), sampling_specs(rows))

    def _specs(self, tree: object) -> object:
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=leaf.sharding if self._whole else None
            ),
            tree,
        )

    def _end_specs(self, *shape: int) -> tuple:
        weights = self._weights
        shape = (*shape, self._config.width)
        x = jax.ShapeDtypeStruct(shape, jnp.float32, sharding=self._whole)
        return self._specs(weights.head), self._specs(weights.final_norm), x

    # --- compiling --------------------------------------------------------------------------

    def _add(
        self,
        name: tuple,
        piece: Callable,
        *specs: object,
        donate: tuple[int, ...] = (),
        out: object = None,
    ) -> None:
        """Compile `piece` for arguments like `specs`, or take it over from an earlier start."""
        what = (name, self._device, self._config, specs)
        kept = None if self._cache is None else self._cache.load("program", what)
        if kept is not None:
            try:
                self._compiled[name] = deserialize_and_load(
                    *kept, execution_devices=jax.devices()[:1]
                )
                return
            except jax.errors.JaxRuntimeError as error:
                log.warning("a program of an earlier start does not load; made anew: %s", error)
        program = jax.jit(piece, donate_argnums=donate, out_shardings=out or self._whole)
        compiled = self._compiled[name] = program.lower(*specs).compile()
        if self._cache is not None:
            self._cache.save("program", what, serialize(compiled))

    def _compile_ends(self, rows: int, tokens: int) -> None:
        call, x = (rows, tokens), self._end_specs(rows, tokens)[-1]
        embed = functools.partial(pieces.embed, self._config)
        ids = self._input(call, jnp.int32)
        self._add(("embed", *call), embed, self._specs(self._weights.embedding), ids)
        self._add(("pick", *call), pieces.pick, x, self._input((rows,), jnp.int32))
        self._add(("flatten", *call), pieces.flatten, x)

    def _compile_layers(self, layout: Layout, rows: int, tokens: int) -> None:
        row = self._input((rows,), jnp.int32)
        self._add(
            ("layers", layout, rows, tokens),
            functools.partial(pieces.layers, self._config),
            self._specs(self.groups[0]),
            self._specs(self._weights.rope),
            self._cache_spec(layout),
            self._end_specs(rows, tokens)[-1],
            row,
            row,
            # The cache and x are updated in place; nothing else is donated.
            donate=(2, 3),
            out=(self._whole, self._cut),
        )

    def _compile_head(self, rows: int) -> None:
        head = functools.partial(pieces.head, self._config)
        place = self._input((rows,), jnp.int32)
        self._add(("head", rows), head, *self._end_specs(rows), place, self._sampling(rows))

    def _compile_ranked(self, rows: int) -> None:
        head = functools.partial(pieces.ranked_head, self._config)
        place = self._input((rows,), jnp.int32)
        wide = self._input((rows, self.vocabulary), jnp.float32)
        specs = (*self._end_specs(rows), place, self._sampling(rows), wide, wide)
        self._add(("ranked", rows), head, *specs)

    def _compile_scores(self, tokens: int) -> None:
        scores = functools.partial(pieces.scores, self._config)
        following = self._input((tokens,), jnp.int32)
        self._add(("scores", tokens), scores, *self._end_specs(1, tokens), following)

    def _compile_copies(self, layout: Layout) -> None:
        number = self._input((), jnp.int32)
        places = self._input((cache_copies.WINDOW,), jnp.int32)
        cache, cut = self._cache_spec(layout), self._cut
        if self._shapes.places:
            specs = (cache, self.pool_specs()[0], number, number, places)
            self._add(("save", layout), cache_copies.save, *specs, donate=(1,), out=cut)
            self._add(("load", layout), cache_copies.load, *specs, donate=(0,), out=cut)
        for target in self._shapes.calls:
            if target != layout:
                source = self._input((target.slots,), jnp.int32)
                size = {"length": target.length, "axes": self._kind.AXES}
                arrange = functools.partial(cache_copies.arrange, **size)
                leaf = jax.tree.leaves(cache)[0]
                self._add(("arrange", layout, target), arrange, leaf, source, out=cut)

    # --- running ----------------------------------------------------------------------------

    def arrange(self, leaf: jax.Array, now: Layout, wanted: Layout, source: object) -> jax.Array:
        """One leaf of the cache in another layout."""
        return self._compiled["arrange", now, wanted](leaf, source)

    def save(self, layout: Layout, cache: AnyCache, pool: AnyCache, *where: object) -> AnyCache:
        """A group's prefix cache with blocks of a slot in it; the old one is used up."""
        return self._compiled["save", layout](cache, pool, *where)

    def load(self, layout: Layout, cache: AnyCache, pool: AnyCache, *where: object) -> AnyCache:
        """A group's cache with blocks of the prefix cache in a slot; the old one is used up."""
        return self._compiled["load", layout](cache, pool, *where)

    def layers(
        self,
        layout: Layout,
        cache: list[AnyCache],  # by group; replaced in place
        tokens: object,  # R T
        slots: object,  # R
        start: object,  # R
    ) -> jax.Array:
        """What leaves the last layer, [R T D]; T more positions of each row are in `cache`."""
        weights, shape = self._weights, tokens.shape
        x = self._compiled["embed", *shape](weights.embedding, tokens)
        for index, group in enumerate(self.groups):
            program = self._compiled["layers", layout, *shape]
            x, cache[index] = program(group, weights.rope, cache[index], x, slots, start)
        return x

    def pick(self, x: jax.Array, last: object) -> jax.Array:
        """The rows [R D] that the next tokens come from."""
        return self._compiled["pick", *x.shape[:2]](x, last)

    def flatten(self, x: jax.Array) -> jax.Array:
        """All rows [R*T D] of x [R T D]."""
        return self._compiled["flatten", *x.shape[:2]](x)

    def head(self, x: jax.Array, place: object, sampling: SamplingRows) -> jax.Array:
        """The next token [N 1] of each row of x [N D]."""
        weights = self._weights
        head = self._compiled["head", x.shape[0]]
        return head(weights.head, weights.final_norm, x, place, sampling)

    def ranked_head(self, x: jax.Array, place: object, sampling: SamplingRows, *wide: object):
        """The next token [N 1] of adjusted rows, and (log-probability, best values, best ids)."""
        weights = self._weights
        head = self._compiled["ranked", x.shape[0]]
        return head(weights.head, weights.final_norm, x, place, sampling, *wide)

    def scores(self, x: jax.Array, following: object):
        """Log-probabilities of the tokens of a chunk: (of `following`, best values, best ids)."""
        weights = self._weights
        score = self._compiled["scores", x.shape[1]]
        return score(weights.head, weights.final_norm, x, following)
