"""Attention over the cache: a softmax over all that a query sees, and no span beyond is read."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from serving import attention, model
from serving.config import Config

SLOTS, LENGTH, TOKENS = 3, 1024, 2
CONFIG = Config(
    layers=1,
    width=32,
    ffn_width=32,
    query_heads=4,
    kv_heads=2,
    head_width=8,
    vocabulary=16,
    context=LENGTH,
    rope_base=1e4,
    norm_epsilon=1e-5,
    attention_softcap=5.0,
)


def find_place(slots: list[int], start: list[int], window: int | None) -> attention.Place:
    """Where rows of TOKENS tokens stand; with a window as layers see it that have one."""
    config = dataclasses.replace(CONFIG, window=window)
    places = model._find_places(
        config, model.make_rope(config, LENGTH), jnp.array(slots), jnp.array(start), TOKENS
    )
    return places[0] if places[1] is None else places[1]


def expect(
    query: np.ndarray, keys: np.ndarray, values: np.ndarray, slots: list[int], spans: list[range]
) -> np.ndarray:
    """In float64: each query [K G*T E] of a row over the positions `spans` of its tokens."""
    found = np.zeros(query.shape)
    for row, head, place in np.ndindex(query.shape[:3]):
        seen = spans[row * TOKENS + place % TOKENS]
        key, value = (leaf[slots[row], head, seen].astype(np.float64) for leaf in (keys, values))
        scores = key @ query[row, head, place] * CONFIG.head_width**-0.5
        weights = np.exp(5.0 * np.tanh(scores / 5.0))
        found[row, head, place] = weights @ value / weights.sum()
    return found


@pytest.mark.parametrize(
    ("slots", "start", "window"),
    [
        ([2, 0], [250, 700], None),  # some slots
        ([1], [1022], None),  # the very end
        ([0, 1, 2], [3, 254, 380], None),  # all slots, less than half of the cache
        ([0, 1, 2], [3, 900, 600], None),  # all slots, and more
        ([1, 2], [700, 560], 200),  # a window that begins within a span
        ([0, 1, 2], [700, 840, 720], 60),  # a window beside all slots
    ],
)
def test_a_query_sees_its_past_and_nothing_beyond_is_read(
    slots: list[int], start: list[int], window: int | None
) -> None:
    """Rows of any length give what float64 gives; what no row sees could be NaN, spans apart."""
    random = np.random.default_rng(0)
    shape = (SLOTS, CONFIG.kv_heads, LENGTH, CONFIG.head_width)
    keys, values = (random.standard_normal(shape, np.float32) for _ in range(2))
    queries = (len(slots), CONFIG.kv_heads, CONFIG.group * TOKENS, CONFIG.head_width)
    query = random.standard_normal(queries, np.float32)
    last = [at + token for at in start for token in range(TOKENS)]
    seen = [range(max(0, at + 1 - (window or LENGTH)), at + 1) for at in last]
    first, end = min(span.start for span in seen), max(last) + 1
    if len(slots) < SLOTS or (end - first) * 2 <= LENGTH:
        for leaf in (keys, values):
            leaf[:, :, : first // attention.SPAN * attention.SPAN] = np.nan
            leaf[:, :, -(-end // attention.SPAN) * attention.SPAN :] = np.nan
    attend = jax.jit(attention.attend_spans, static_argnums=0)
    found = attend(CONFIG, query, keys, values, find_place(slots, start, window))
    expected = expect(query, keys, values, slots, seen)
    assert np.abs(np.asarray(found) - expected).max() < 1e-5
