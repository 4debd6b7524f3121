"""Every program that runs on the device, compiled ahead of time for every shape.

The network is compiled in three pieces: `embed`, a group of equal layers that is run once for each
group, and `head` with the sampling. One program of 30 unrolled layers would run a tenth of a
millisecond faster, but take 65 MB of memory for each of its twenty shapes, and minutes to compile.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp

from serving import model
from serving.model import Config, KVCache, Layer, Linear, Rope, Weights
from serving.sampling import SamplingRows, sample, sampling_specs

LARGEST_GROUP = 6

Shape = tuple[int, int]  # rows, tokens of each row


def group_size(layers: int) -> int:
    """How many layers one program runs: the largest divisor of `layers` up to 6."""
    return max(size for size in range(1, LARGEST_GROUP + 1) if layers % size == 0)


def _embed(config: Config, embedding: Linear, tokens: jax.Array) -> jax.Array:
    return model.embed(embedding, tokens, config.embedding_scale)


def _layers(
    config: Config,
    layers: tuple[Layer, ...],
    rope: Rope,
    cache: KVCache,
    x: jax.Array,  # R T D
    slots: jax.Array,  # R
    start: jax.Array,  # R
) -> tuple[jax.Array, KVCache]:
    return model.run_layers(config, layers, rope, cache, x, slots, start)


def _head(
    config: Config,
    embedding: Linear,
    final_norm: jax.Array,
    x: jax.Array,  # R T D
    start: jax.Array,  # R
    last: jax.Array,  # R
    sampling: SamplingRows,
) -> jax.Array:
    logits = model.head(config, embedding, final_norm, x, last)
    return sample(logits, sampling, start + last + 1)


class Programs:
    """The compiled programs of one model; calling one with another shape raises."""

    def __init__(
        self,
        config: Config,
        weights: Weights,
        slots: int,
        lengths: tuple[int, ...],
        shapes: tuple[Shape, ...],
    ) -> None:
        """For every (rows, tokens) of `shapes` and every cache length; nothing compiled yet."""
        self._config, self._weights = config, weights
        self._slots, self._lengths, self._shapes = slots, lengths, shapes
        self.group = group_size(config.layers)
        bf16 = weights.embedding.values.dtype == jnp.bfloat16
        self._cache_dtype = jnp.bfloat16 if bf16 else jnp.float32
        layers = weights.layers
        self.groups = [
            layers[first : first + self.group] for first in range(0, len(layers), self.group)
        ]
        self._compiled: dict[tuple[str | int, ...], jax.stages.Compiled] = {}

    def compile(self, progress: Callable[[int, int], None]) -> None:
        """Compile everything; `progress(done, total)` after each piece of work."""
        jobs: list[Callable[[], None]] = []
        for rows, tokens in self._shapes:
            jobs.append(functools.partial(self._compile_ends, rows, tokens))
            for length in self._lengths:
                jobs.append(functools.partial(self._compile_layers, rows, tokens, length))
        jobs += [functools.partial(self._compile_resizes, length) for length in self._lengths]
        # XLA compiles outside the interpreter lock, so two threads use two cores.
        with ThreadPoolExecutor(2, "compile") as pool:
            for done, _ in enumerate(pool.map(lambda job: job(), jobs), 1):
                progress(done, len(jobs))

    def cache_specs(self, length: int) -> list[KVCache]:
        """The shapes of an empty cache of `length` positions, group by group."""
        spec = model.cache_specs(self._config, self.group, self._slots, length, self._cache_dtype)
        return [spec] * len(self.groups)

    def _specs(self, tree: object) -> object:
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)

    def _compile_ends(self, rows: int, tokens: int) -> None:
        spec, weights = jax.ShapeDtypeStruct, self._weights
        embedding, norm = self._specs(weights.embedding), self._specs(weights.final_norm)
        lowered = jax.jit(functools.partial(_embed, self._config)).lower(
            embedding, spec((rows, tokens), jnp.int32)
        )
        self._compiled["embed", rows, tokens] = lowered.compile()
        lowered = jax.jit(functools.partial(_head, self._config)).lower(
            self._specs(weights.head),
            norm,
            spec((rows, tokens, self._config.width), jnp.float32),
            spec((rows,), jnp.int32),
            spec((rows,), jnp.int32),
            sampling_specs(rows),
        )
        self._compiled["head", rows, tokens] = lowered.compile()

    def _compile_layers(self, rows: int, tokens: int, length: int) -> None:
        spec = jax.ShapeDtypeStruct
        # The cache and x are updated in place; nothing else is donated.
        program = jax.jit(functools.partial(_layers, self._config), donate_argnums=(2, 3))
        lowered = program.lower(
            self._specs(self.groups[0]),
            self._specs(self._weights.rope),
            self.cache_specs(length)[0],
            spec((rows, tokens, self._config.width), jnp.float32),
            spec((rows,), jnp.int32),
            spec((rows,), jnp.int32),
        )
        self._compiled["layers", rows, tokens, length] = lowered.compile()

    def _compile_resizes(self, length: int) -> None:
        leaf = self.cache_specs(length)[0].keys[0]
        for target in self._lengths:
            if target != length:
                resize = jax.jit(functools.partial(model.resize, length=target))
                self._compiled["resize", length, target] = resize.lower(leaf).compile()

    def resize(self, leaf: jax.Array, length: int) -> jax.Array:
        """One leaf of the cache with another length."""
        return self._compiled["resize", leaf.shape[2], length](leaf)

    def step(
        self,
        cache: list[KVCache],  # by group; replaced in place
        tokens: jax.Array,  # R T
        slots: jax.Array,  # R
        start: jax.Array,  # R
        last: jax.Array,  # R
        sampling: SamplingRows,
    ) -> jax.Array:
        """The token `[R]` after `last` of each row; T more positions are in `cache`."""
        weights, shape = self._weights, tokens.shape
        layers = self._compiled["layers", *shape, cache[0].keys[0].shape[2]]
        x = self._compiled["embed", *shape](weights.embedding, tokens)
        for index, group in enumerate(self.groups):
            x, cache[index] = layers(group, weights.rope, cache[index], x, slots, start)
        head = self._compiled["head", *shape]
        return head(weights.head, weights.final_norm, x, start, last, sampling)
