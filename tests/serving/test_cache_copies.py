"""Copies within the KV cache, against NumPy's indexing."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from serving.cache_copies import WINDOW, arrange, load, pool_specs, save
from serving.kv_cache import KVCache
from serving.prefix_cache import BLOCK

SLOTS, HEADS, LENGTH, WIDTH, PLACES = 4, 2, 2 * WINDOW * BLOCK, 3, 11


@pytest.fixture
def cache() -> np.ndarray:
    """One leaf, every number of it another one."""
    shape = (SLOTS, HEADS, LENGTH, WIDTH)
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def test_a_block_comes_back_where_it_was(cache: np.ndarray) -> None:
    """Blocks saved from one slot and loaded into another are the same, and nothing else changes."""
    leaf = KVCache((jnp.asarray(cache),), (jnp.asarray(-cache),))
    pool = KVCache(*(tuple(jnp.zeros(s.shape) for s in side) for side in _sides(leaf)))
    first = WINDOW * BLOCK
    places = np.array([3, 9, PLACES, PLACES, 0, 1, 2, PLACES], np.int32)
    pool = save(leaf, pool, jnp.int32(1), jnp.int32(first), jnp.asarray(places))
    for side, kept in ((cache, pool.keys[0]), (-cache, pool.values[0])):
        for number, place in enumerate(places):
            if place != PLACES:
                start = first + number * BLOCK
                assert (np.asarray(kept)[place] == side[1, :, start : start + BLOCK]).all()
    empty = KVCache((jnp.zeros_like(cache),), (jnp.zeros_like(cache),))
    back = load(empty, pool, jnp.int32(3), jnp.int32(0), jnp.asarray(places))
    found = np.asarray(back.keys[0])
    assert (found[3, :, : 2 * BLOCK] == cache[1, :, first : first + 2 * BLOCK]).all()
    assert (found[:3] == 0).all()
    assert (found[3, :, WINDOW * BLOCK :] == 0).all()


def _sides(cache: KVCache) -> tuple:
    specs = pool_specs(cache, PLACES + 1)
    return specs.keys, specs.values


@pytest.mark.parametrize("length", [LENGTH // 2, LENGTH, 2 * LENGTH])
@pytest.mark.parametrize("source", [(0, 1, 2, 3), (3, 1), (2, 0, 1, 3, 0, 0)])
def test_slots_move_with_all_they_hold(
    cache: np.ndarray, length: int, source: tuple[int, ...]
) -> None:
    """Fewer, more or other slots, cut or padded with zeros: slot i is the old `source[i]`."""
    found = np.asarray(arrange(jnp.asarray(cache), jnp.asarray(source, jnp.int32), length))
    kept = min(length, LENGTH)
    assert found.shape == (len(source), HEADS, length, WIDTH)
    assert (found[:, :, :kept] == cache[list(source), :, :kept]).all()
    assert (found[:, :, kept:] == 0).all()
