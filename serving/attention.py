"""Attention over the KV cache in spans: what is written into it, and what each query reads of it.

The letters of the shapes are those of `model`. What does not live here: the projections and the
rotation around it (`model`), the cache's arrays (`kv_cache`), the TPU's way (`paged_attention`).
"""

from __future__ import annotations

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp

from serving.config import Config
from serving.kernels import library as kernels
from serving.kv_cache import BitsCache, KVCache, write


def exact_products(dtype: jnp.dtype) -> jax.lax.Precision | None:
    """f32 is to be f32: by default TPUs multiply it in bf16, and some GPUs in TF32."""
    return jax.lax.Precision.HIGHEST if dtype == jnp.float32 else None


def softcap(x: jax.Array, cap: float | None) -> jax.Array:
    """Squeeze x smoothly into ±cap: cap * tanh(x / cap) (Gemma 2 report, section 2)."""
    return x if cap is None else cap * jnp.tanh(x / cap)


def _pack(x: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """Numbers as the cache holds them."""
    if dtype == jnp.uint16:
        return jax.lax.bitcast_convert_type(x.astype(jnp.bfloat16), jnp.uint16)
    return x.astype(dtype)


def _unpack(held: jax.Array) -> jax.Array:
    """What the cache holds as numbers."""
    if held.dtype == jnp.uint16:
        return jax.lax.bitcast_convert_type(held, jnp.bfloat16)
    return held


def _read(leaf: jax.Array, slots: jax.Array, first: jax.Array, count: int) -> jax.Array:
    """Positions `first` and the next of the cached rows, as numbers [R K count E]."""
    spots, heads, _, width = leaf.shape
    if slots.shape[0] == spots:  # a call over all slots is in slot order
        return _unpack(jax.lax.dynamic_slice_in_dim(leaf, first, count, axis=2))
    size = (1, heads, count, width)
    rows = [jax.lax.dynamic_slice(leaf, (slot, 0, first, 0), size) for slot in slots]
    return _unpack(jnp.concatenate(rows))


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("slots", "start", "cosine", "sine", "oldest", "newest", "first", "end", "local"),
    meta_fields=(),
)
@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where the tokens of a call stand, and what they see."""

    slots: jax.Array  # R
    start: jax.Array  # R
    cosine: jax.Array  # R T E/2
    sine: jax.Array  # R T E/2
    oldest: jax.Array  # R G*T: the first position that a query sees, ...
    newest: jax.Array  # R G*T: ... and the last, its own
    first: jax.Array  # of all these the first, ...
    end: jax.Array  # ... and one past the last
    local: jax.Array | None  # bool: they see a window only; None where no layer does


# Of what a query has seen so far: the highest score, the sum of weights, the weighted values.
_Softmax = tuple[jax.Array, jax.Array, jax.Array]
SPAN = 128  # positions that attention reads at once


def attention_scale(config: Config) -> float:
    """What scores are multiplied by."""
    return config.attention_scale or config.head_width**-0.5


def attend(
    config: Config,
    query: jax.Array,  # R T K G E
    key: jax.Array,  # R T K E
    value: jax.Array,  # R T K E
    cache: KVCache,  # of one layer
    place: Place,
) -> tuple[jax.Array, KVCache]:
    """What each query sees [R T K G E], and the cache with these tokens in it."""
    rows, tokens, k, g, e = query.shape
    (keys,), (values,) = cache.keys, cache.values
    key, value = key.swapaxes(1, 2), value.swapaxes(1, 2)  # R K T E
    query = query.transpose(0, 2, 3, 1, 4).reshape(rows, k, g * tokens, e)
    if isinstance(cache, BitsCache):
        how = (attention_scale(config), config.attention_softcap)
        where = (place.slots, place.start, place.oldest)
        out, (keys, values) = kernels.attend(query, (key, value), (keys, values), *where, *how)
    else:
        key, value = _pack(key, keys.dtype), _pack(value, values.dtype)
        keys = write(keys, key, KVCache.AXES, place.slots, place.start)
        values = write(values, value, KVCache.AXES, place.slots, place.start)
        query = query.astype(jnp.bfloat16 if keys.dtype == jnp.uint16 else keys.dtype)
        out = attend_spans(config, query, keys, values, place)  # R K G*T E
    out = out.reshape(rows, k, g, tokens, e).transpose(0, 3, 1, 2, 4)  # R T K G E
    return out, type(cache)((keys,), (values,))


def attend_spans(
    config: Config, query: jax.Array, keys: jax.Array, values: jax.Array, place: Place
) -> jax.Array:
    """Grouped-query attention [R K G*T E] of a query of that shape over a cache [S K L E].

    What is read goes from the first to the last position that any row sees, however long the cache
    is: a loop over spans, with a softmax that is corrected after each (Milakov & Gimelshein 2018).
    A span is copied out of the cache on CPU; where the rows are all slots and see more than half of
    it, reading it whole and where it lies is quicker, unless its numbers are held by their bits.
    """
    exact = exact_products(query.dtype)
    scale = attention_scale(config)
    slots, _, length, _ = keys.shape

    def read(span: int, number: int | jax.Array, state: _Softmax) -> _Softmax:
        top, total, out = state
        seen = _read(keys, place.slots, number * span, span)  # R K span E
        told = _read(values, place.slots, number * span, span)
        scores = jnp.einsum(
            "rkqe,rkle->rkql", query, seen, precision=exact, preferred_element_type=jnp.float32
        )
        scores = softcap(scores * scale, config.attention_softcap)
        position = number * span + jnp.arange(span)
        sees = (position <= place.newest[..., None]) & (position >= place.oldest[..., None])
        scores = jnp.where(sees[:, None], scores, -1e30)  # R K G*T span
        higher = jnp.maximum(top, jnp.max(scores, axis=-1, keepdims=True))
        weights, correction = jnp.exp(scores - higher), jnp.exp(top - higher)
        more = jnp.einsum(
            "rkql,rkle->rkqe",
            weights.astype(told.dtype),
            told,
            precision=exact,
            preferred_element_type=jnp.float32,
        )
        total = total * correction + jnp.sum(weights, axis=-1, keepdims=True)
        return higher, total, out * correction + more

    def read_spans(state: _Softmax) -> _Softmax:
        span = math.gcd(SPAN, length)
        first, end = place.first // span, (place.end + span - 1) // span
        return jax.lax.fori_loop(first, end, functools.partial(read, span), state)

    nothing = jnp.zeros((*query.shape[:3], 1), jnp.float32)
    state = (nothing - 1e30, nothing, jnp.zeros(query.shape, jnp.float32))
    if query.shape[0] == slots and keys.dtype != jnp.uint16:
        most = (place.end - place.first) * 2 > length
        whole = functools.partial(read, length, 0)
        _, total, out = jax.lax.cond(most, whole, read_spans, state)
    else:
        _, total, out = read_spans(state)
    return out / total
