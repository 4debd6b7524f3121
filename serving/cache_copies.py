"""Copies within the KV cache: to and from the prefix cache, and into another layout.

`WINDOW` blocks are copied at once, at a multiple of WINDOW blocks within the slot. What is not
wanted of a window goes to, or comes from, a spare place; a load may thus write past what it
loads, where nothing lies yet.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from serving.kv_cache import KVCache
from serving.prefix_cache import BLOCK

WINDOW = 8  # blocks


def pool_specs(cache: KVCache, places: int) -> KVCache:
    """The prefix cache that goes with a cache: leaves of [places K BLOCK E]."""

    def of(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        _, heads, _, width = leaf.shape
        return jax.ShapeDtypeStruct((places, heads, BLOCK, width), leaf.dtype)

    return jax.tree.map(of, cache)


def save(
    cache: KVCache,
    pool: KVCache,
    slot: jax.Array,
    first: jax.Array,  # position of the window
    places: jax.Array,  # WINDOW
) -> KVCache:
    """The prefix cache after copying a window of a slot to `places`."""

    def one(leaf: jax.Array, kept: jax.Array) -> jax.Array:
        _, heads, _, width = leaf.shape
        size = (1, heads, WINDOW * BLOCK, width)
        window = jax.lax.dynamic_slice(leaf, (slot, 0, first, 0), size)
        for number in range(WINDOW):
            block = window[:, :, number * BLOCK : (number + 1) * BLOCK]
            kept = jax.lax.dynamic_update_slice(kept, block, (places[number], 0, 0, 0))
        return kept

    return jax.tree.map(one, cache, pool)


def load(
    cache: KVCache, pool: KVCache, slot: jax.Array, first: jax.Array, places: jax.Array
) -> KVCache:
    """The cache after copying `places` to a window of a slot."""

    def one(leaf: jax.Array, kept: jax.Array) -> jax.Array:
        blocks = [jax.lax.dynamic_slice_in_dim(kept, place, 1) for place in places]
        window = jnp.concatenate(blocks, axis=2)  # 1 K WINDOW*BLOCK E
        return jax.lax.dynamic_update_slice(leaf, window, (slot, 0, first, 0))

    return jax.tree.map(one, cache, pool)


def arrange(leaf: jax.Array, source: jax.Array, length: int) -> jax.Array:
    """A leaf with slots `source` of the old one, cut or padded with zeros to `length`."""
    kept = leaf[:, :, :length]  # S K min(L,length) E
    rows = [jax.lax.dynamic_slice_in_dim(kept, slot, 1) for slot in source]
    whole = jnp.concatenate(rows)  # S' K min(L,length) E
    return jnp.pad(whole, ((0, 0), (0, 0), (0, length - whole.shape[2]), (0, 0)))
