"""Copies within the KV cache, against NumPy's indexing."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from serving.cache_copies import WINDOW, arrange, load, pool_specs, save
from serving.kv_cache import AnyCache, KVCache, PagedCache
from serving.prefix_cache import BLOCK

SLOTS, HEADS, LENGTH, WIDTH, PLACES = 4, 2, 2 * WINDOW * BLOCK, 3, 11


def hold(kind: type[AnyCache], keys: np.ndarray) -> AnyCache:
    """One layer with these keys [S K L E] and the same below zero as values."""
    if kind is KVCache:
        return KVCache((jnp.asarray(keys),), (jnp.asarray(-keys),))
    pairs = np.stack([keys, -keys], axis=2).reshape(len(keys), -1, *keys.shape[2:])
    return PagedCache((jnp.asarray(pairs.swapaxes(1, 2)),))


def see(cache: AnyCache) -> tuple[np.ndarray, np.ndarray]:
    """Keys and values [S K L E] of its layer."""
    if isinstance(cache, KVCache):
        return np.asarray(cache.keys[0]), np.asarray(cache.values[0])
    pairs = np.asarray(cache.pages[0]).swapaxes(1, 2)
    return pairs[:, 0::2], pairs[:, 1::2]


@pytest.fixture
def cache() -> np.ndarray:
    """One leaf, every number of it another one."""
    shape = (SLOTS, HEADS, LENGTH, WIDTH)
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


@pytest.mark.parametrize("kind", [KVCache, PagedCache])
def test_a_block_comes_back_where_it_was(cache: np.ndarray, kind: type[AnyCache]) -> None:
    """Blocks saved from one slot and loaded into another are the same, and nothing else changes."""
    whole = hold(kind, cache)
    pool = jax.tree.map(lambda spec: jnp.zeros(spec.shape), pool_specs(whole, PLACES + 1))
    first = WINDOW * BLOCK
    places = np.array([3, 9, PLACES, PLACES, 0, 1, 2, PLACES], np.int32)
    pool = save(whole, pool, jnp.int32(1), jnp.int32(first), jnp.asarray(places))
    for side, kept in zip((cache, -cache), see(pool), strict=True):
        for number, place in enumerate(places):
            if place != PLACES:
                start = first + number * BLOCK
                assert (kept[place] == side[1, :, start : start + BLOCK]).all()
    empty = hold(kind, np.zeros_like(cache))
    back = load(empty, pool, jnp.int32(3), jnp.int32(0), jnp.asarray(places))
    found = see(back)[0]
    assert (found[3, :, : 2 * BLOCK] == cache[1, :, first : first + 2 * BLOCK]).all()
    assert (found[:3] == 0).all()
    assert (found[3, :, WINDOW * BLOCK :] == 0).all()


@pytest.mark.parametrize("length", [LENGTH // 2, LENGTH, 2 * LENGTH])
@pytest.mark.parametrize("source", [(0, 1, 2, 3), (3, 1), (2, 0, 1, 3, 0, 0)])
@pytest.mark.parametrize("kind", [KVCache, PagedCache])
def test_slots_move_with_all_they_hold(
    cache: np.ndarray, length: int, source: tuple[int, ...], kind: type[AnyCache]
) -> None:
    """Fewer, more or other slots, cut or padded with zeros: slot i is the old `source[i]`."""
    slots = jnp.asarray(source, jnp.int32)
    moved = jax.tree.map(lambda leaf: arrange(leaf, slots, length, kind.AXES), hold(kind, cache))
    found = see(moved)[0]
    kept = min(length, LENGTH)
    assert found.shape == (len(source), HEADS, length, WIDTH)
    assert (found[:, :, :kept] == cache[list(source), :, :kept]).all()
    assert (found[:, :, kept:] == 0).all()
