"""The KV cache: its arrays, their shapes and in what numbers they hold keys and values.

Two kinds hold the same: `KVCache` as the loop over spans reads it (`attention`), `PagedCache` as
the TPU's kernel does (`paged_attention`). `AXES` are the logical axes of their leaves. The letters
of the shapes are those of `model`. What does not live here: reading it, copies within it
(`cache_copies`), which device holds what (`sharding`).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable
from typing import ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding

from serving.config import Config
from serving.sharding import Axes

LANES = 128  # of a TPU's vector unit


@functools.partial(jax.tree_util.register_dataclass, data_fields=("keys", "values"), meta_fields=())
@dataclasses.dataclass(frozen=True, slots=True)
class KVCache:
    """Keys and values of every layer. One array per layer, so that each is updated in place."""

    AXES: ClassVar[Axes] = ("slots", "heads", "positions", None)

    keys: tuple[jax.Array, ...]  # layers x [S K L E]
    values: tuple[jax.Array, ...]  # layers x [S K L E]

    def split(self) -> tuple[Self, ...]:
        """A cache of each layer."""
        return tuple(type(self)((k,), (v,)) for k, v in zip(self.keys, self.values, strict=True))

    @classmethod
    def join(cls, layers: Iterable[Self]) -> Self:
        """One cache of those of single layers."""
        keys, values = zip(*((layer.keys[0], layer.values[0]) for layer in layers), strict=True)
        return cls(keys, values)


@functools.partial(jax.tree_util.register_dataclass, data_fields=("keys", "values"), meta_fields=())
@dataclasses.dataclass(frozen=True, slots=True)
class BitsCache(KVCache):
    """The same in bf16 by its bits, for our kernel to read where it lies."""


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=("pages",), meta_fields=("sharding",)
)
@dataclasses.dataclass(frozen=True, slots=True)
class PagedCache:
    """Keys and values of every layer by turns, as JAX's kernel for TPUs wants its pages.

    Positions come before heads, so that a slot's are L / PAGE pages in a row. Heads and their width
    are padded with zeros to what the kernel takes, on each device by itself.
    """

    AXES: ClassVar[Axes] = ("slots", "positions", "heads", None)

    pages: tuple[jax.Array, ...]  # layers x [S L 2K' E']: key, value of a head, of the next, ...
    sharding: NamedSharding | None = None  # of each; None on a single device

    def split(self) -> tuple[Self, ...]:
        """A cache of each layer."""
        return tuple(type(self)((layer,), self.sharding) for layer in self.pages)

    @classmethod
    def join(cls, layers: Iterable[Self]) -> Self:
        """One cache of those of single layers."""
        layers = tuple(layers)
        return cls(tuple(layer.pages[0] for layer in layers), layers[0].sharding)


AnyCache = KVCache | PagedCache


def pad_heads(heads: int) -> int:
    """The next number of key/value heads that tiles of bf16 hold whole: 1, 2, 4 or 8, 16, 24 ..."""
    return next((n for n in (1, 2, 4) if n >= heads), -(-heads // 8) * 8)


def pad_width(width: int) -> int:
    """The next whole number of the TPU's lanes."""
    return -(-width // LANES) * LANES


def cache_specs(
    config: Config,
    layers: int,
    slots: int,
    length: int,
    dtype: jnp.dtype,
    kind: type[AnyCache] = KVCache,
    sharding: NamedSharding | None = None,
) -> AnyCache:
    """Shapes and dtype of the cache: the one source for allocating and for compiling."""
    heads, width = config.kv_heads, config.head_width
    if kind is not PagedCache:
        spec = jax.ShapeDtypeStruct((slots, heads, length, width), dtype, sharding=sharding)
        return kind((spec,) * layers, (spec,) * layers)
    parts = 1 if sharding is None else heads // sharding.shard_shape((1, 1, heads, 1))[2]
    heads = parts * pad_heads(heads // parts)
    shape = (slots, length, 2 * heads, pad_width(width))
    return PagedCache((jax.ShapeDtypeStruct(shape, dtype, sharding=sharding),) * layers, sharding)


def make_cache(specs: AnyCache) -> AnyCache:
    """An empty cache; every leaf is a buffer of its own, since each is donated."""

    @functools.cache  # so that the pages of zeros are made once, not once for each leaf
    def zeros(shape: tuple[int, ...], dtype: jnp.dtype) -> np.ndarray:
        return np.zeros(shape, dtype)

    def empty(spec: jax.ShapeDtypeStruct) -> jax.Array:
        if spec.sharding is None:
            return jnp.array(zeros(spec.shape, spec.dtype), copy=True)
        part = np.zeros(spec.sharding.shard_shape(spec.shape), spec.dtype)
        return jax.make_array_from_callback(spec.shape, spec.sharding, lambda _: part)

    return jax.tree.map(empty, specs)


def cache_dtype(
    config: Config, exact: bool, backend: str, kind: type[AnyCache] = KVCache
) -> jnp.dtype:
    """What keys and values are held in: f32 where they are to be `exact`, else bf16.

    On CPU the spans' bf16 is held by its bits, as uint16, since XLA:CPU would turn a whole bf16
    cache into f32 and back for every write. Where a query is one row its bf16 products are as slow
    as those of `project`, so that such models keep f32 there.
    """
    if kind is BitsCache:
        return jnp.dtype(jnp.uint16)
    if exact:
        return jnp.dtype(jnp.float32)
    if backend != "cpu" or kind is PagedCache:
        return jnp.dtype(jnp.bfloat16)
    return jnp.dtype(jnp.uint16 if config.group > 1 else jnp.float32)


def corner(axes: Axes, slot: jax.Array | int, position: jax.Array | int) -> tuple:
    """Where a part of a leaf with these axes begins, all heads in it."""
    place = {"slots": slot, "positions": position}
    return tuple(place.get(axis or "", 0) for axis in axes)


def write(
    leaf: jax.Array, new: jax.Array, axes: Axes, slots: jax.Array, start: jax.Array
) -> jax.Array:
    """Write the rows of `new`, whose axes are `axes`, into their slots from position `start` on.

    One in-place slice update per row: the scatter that a fancy index becomes is a loop on CPU.
    """
    for row in range(new.shape[0]):
        place = corner(axes, slots[row], start[row])
        leaf = jax.lax.dynamic_update_slice(leaf, new[row][None], place)
    return leaf
