"""Copies within the KV cache: to and from the prefix cache, and into another layout.

`WINDOW` blocks are copied at once, at a multiple of WINDOW blocks within the slot. What is not
wanted of a window goes to, or comes from, a spare place; a load may thus write past what it
loads, where nothing lies yet.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from serving.kv_cache import AnyCache, corner
from serving.prefix_cache import BLOCK
from serving.sharding import Axes

WINDOW = 8  # blocks


def _sized(leaf: jax.Array, axes: Axes, slots: int, positions: int) -> tuple[int, ...]:
    """The shape of a leaf with so many slots and positions."""
    place = {"slots": slots, "positions": positions}
    return tuple(place.get(axis or "", n) for axis, n in zip(axes, leaf.shape, strict=True))


def pool_specs(cache: AnyCache, places: int) -> AnyCache:
    """The prefix cache that goes with a cache: `places` instead of slots, a block in each."""

    def of(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        shape = _sized(leaf, cache.AXES, places, BLOCK)
        return jax.ShapeDtypeStruct(shape, leaf.dtype, sharding=leaf.sharding)

    return jax.tree.map(of, cache)


def save(
    cache: AnyCache,
    pool: AnyCache,
    slot: jax.Array,
    first: jax.Array,  # position of the window
    places: jax.Array,  # WINDOW
) -> AnyCache:
    """The prefix cache after copying a window of a slot to `places`."""
    axes = cache.AXES

    def one(leaf: jax.Array, kept: jax.Array) -> jax.Array:
        size = _sized(leaf, axes, 1, WINDOW * BLOCK)
        window = jax.lax.dynamic_slice(leaf, corner(axes, slot, first), size)
        for number, block in enumerate(jnp.split(window, WINDOW, axes.index("positions"))):
            kept = jax.lax.dynamic_update_slice(kept, block, corner(axes, places[number], 0))
        return kept

    return jax.tree.map(one, cache, pool)


def load(
    cache: AnyCache, pool: AnyCache, slot: jax.Array, first: jax.Array, places: jax.Array
) -> AnyCache:
    """The cache after copying `places` to a window of a slot."""
    axes = cache.AXES

    def one(leaf: jax.Array, kept: jax.Array) -> jax.Array:
        blocks = [jax.lax.dynamic_slice_in_dim(kept, place, 1) for place in places]
        window = jnp.concatenate(blocks, axis=axes.index("positions"))
        return jax.lax.dynamic_update_slice(leaf, window, corner(axes, slot, first))

    return jax.tree.map(one, cache, pool)


def arrange(leaf: jax.Array, source: jax.Array, length: int, axes: Axes) -> jax.Array:
    """A leaf with slots `source` of the old one, cut or padded with zeros to `length`."""
    positions = axes.index("positions")
    held = min(leaf.shape[positions], length)
    kept = jax.lax.slice_in_dim(leaf, 0, held, axis=positions)
    rows = [jax.lax.dynamic_slice_in_dim(kept, slot, 1) for slot in source]
    more = [(0, length - held if axis == positions else 0) for axis in range(leaf.ndim)]
    return jnp.pad(jnp.concatenate(rows), more)
