"""Chooses the next token of each row from its logits, and tells how likely tokens are.

In this order, as vLLM does: penalties and biases (`adjustment`), temperature, min-p, top-k,
top-p, seed. Every row draws from its own key, `fold_in(key(seed), position)`, so that what a seed
gives does not depend on which other requests are in the batch, nor on guesses that were made.
What does not live here: when to stop, and what the penalties of a row are.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from serving.request import SamplingParams

BEST = 20  # most alternatives that are told for each token, as in OpenAI's API

_BLOCK = 256  # tokens whose probabilities are added up at once

GREEDY_TEMPERATURE = 1e-5  # below this the division overflows; the answer is the most likely token


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("temperature", "top_k", "top_p", "min_p", "seed"),
    meta_fields=(),
)
@dataclasses.dataclass(frozen=True, slots=True)
class SamplingRows:
    """The parameters of the rows of one call, as arrays."""

    temperature: jax.Array  # R f32
    top_k: jax.Array  # R int32
    top_p: jax.Array  # R f32
    min_p: jax.Array  # R f32
    seed: jax.Array  # R 2 uint32: high and low word


def sampling_specs(rows: int) -> SamplingRows:
    """Shapes for compiling ahead of time."""
    spec = jax.ShapeDtypeStruct
    return SamplingRows(
        spec((rows,), jnp.float32),
        spec((rows,), jnp.int32),
        spec((rows,), jnp.float32),
        spec((rows,), jnp.float32),
        spec((rows, 2), jnp.uint32),
    )


def stack_params(params: list[SamplingParams]) -> SamplingRows:
    """One row of arrays per request; seeds keep their low 64 bits."""
    words = [(p.seed >> 32 & 0xFFFFFFFF, p.seed & 0xFFFFFFFF) for p in params]
    return SamplingRows(
        np.array([p.temperature for p in params], np.float32),
        np.array([p.top_k for p in params], np.int32),
        np.array([p.top_p for p in params], np.float32),
        np.array([p.min_p for p in params], np.float32),
        np.array(words, np.uint32),
    )


def _sortable(logits: jax.Array) -> jax.Array:
    """Map f32 to uint32 so that the order is kept: flip all bits of negatives, else the sign."""
    bits = jax.lax.bitcast_convert_type(logits, jnp.uint32)
    sign = jnp.uint32(0x80000000)
    return jnp.where(bits >= sign, ~bits, bits | sign)


def _nucleus(logits: jax.Array, keep_enough: jax.Array, weight: jax.Array) -> jax.Array:
    """Mask [R V] of the largest logits whose `weight` adds up to at least `keep_enough` [R].

    The threshold is found by bisection over the 32 bits of the sortable logits: exact, ties
    included, and on CPU tens of times quicker than sorting a whole vocabulary.
    """
    order = _sortable(logits)  # R V

    def step(bit: jax.Array, threshold: jax.Array) -> jax.Array:
        candidate = threshold | (jnp.uint32(1) << (jnp.uint32(31) - bit.astype(jnp.uint32)))
        kept = jnp.sum(jnp.where(order >= candidate[:, None], weight, 0.0), axis=-1)
        return jnp.where(kept >= keep_enough, candidate, threshold)

    threshold = jax.lax.fori_loop(0, 32, step, jnp.zeros(logits.shape[0], jnp.uint32))
    return order >= threshold[:, None]


def restrict(logits: jax.Array, top_k: jax.Array, top_p: jax.Array, min_p: jax.Array) -> jax.Array:
    """Logits [R V] with what fails min-p at -inf, then what is outside top-k, then outside top-p.

    min-p keeps tokens that have at least that share of the most likely one's probability (Nguyen
    et al. 2024).
    """
    floor = jnp.max(logits, axis=-1) + jnp.log(min_p)  # -inf for 0: everything stays
    logits = jnp.where(logits >= floor[:, None], logits, -jnp.inf)
    vocabulary = logits.shape[-1]
    count = jnp.where(top_k > 0, jnp.minimum(top_k, vocabulary), vocabulary).astype(jnp.float32)
    logits = jnp.where(_nucleus(logits, count, jnp.ones_like(logits)), logits, -jnp.inf)
    probability = jax.nn.softmax(logits, axis=-1)
    # Rounding may keep the sum of all below 1, so a whole distribution is not left to it.
    kept = _nucleus(logits, top_p, probability) | (top_p >= 1.0)[:, None]
    return jnp.where(kept, logits, -jnp.inf)


def _draw(logits: jax.Array, rows: SamplingRows, position: jax.Array) -> jax.Array:
    temperature = jnp.maximum(rows.temperature, GREEDY_TEMPERATURE)
    scaled = logits / temperature[:, None]
    narrowed = jnp.any((rows.top_k > 0) | (rows.top_p < 1.0) | (rows.min_p > 0.0))
    scaled = jax.lax.cond(
        narrowed, lambda x: restrict(x, rows.top_k, rows.top_p, rows.min_p), lambda x: x, scaled
    )

    def one(words: jax.Array, place: jax.Array) -> jax.Array:
        key = jax.random.fold_in(jax.random.wrap_key_data(words, impl="threefry2x32"), place)
        return jax.random.uniform(key)

    return pick_by_share(jax.vmap(one)(rows.seed, position), scaled)


def pick_by_share(share: jax.Array, logits: jax.Array) -> jax.Array:
    """The token [R] int32 in whose part of the distribution the `share` [R], 0 <= share < 1, falls.

    Inverse transform sampling: tokens lie side by side on a line, each as long as its probability.
    One random number decides, where noise for each logit (the Gumbel trick) takes a random number
    for each of the vocabulary. Sums over blocks first, since a running sum is slow on CPU.
    """
    count, vocabulary = logits.shape
    weight = jnp.exp(logits - jnp.max(logits, axis=-1, keepdims=True))  # R V
    weight = jnp.pad(weight, ((0, 0), (0, -vocabulary % _BLOCK))).reshape(count, -1, _BLOCK)
    ends = jnp.cumsum(jnp.sum(weight, axis=-1), axis=-1)  # R blocks
    target = share[:, None] * ends[:, -1:]
    block = jnp.sum(ends <= target, axis=-1, keepdims=True)  # R 1
    before = jnp.where(block > 0, jnp.take_along_axis(ends, block - 1, axis=-1), 0.0)
    inner = jnp.take_along_axis(weight, block[..., None], axis=1)[:, 0]  # R _BLOCK
    inside = jnp.sum(jnp.cumsum(inner, axis=-1) <= target - before, axis=-1)
    # Both sums are rounded, so that the share may lie past the block's end: its last token then.
    last = jnp.max(jnp.where(inner > 0, jnp.arange(_BLOCK), 0), axis=-1)
    return (block[:, 0] * _BLOCK + jnp.minimum(inside, last)).astype(jnp.int32)


@jax.jit
def sample(logits: jax.Array, rows: SamplingRows, position: jax.Array) -> jax.Array:
    """The next token `[R]` int32 for logits [R V]; `position` [R] is where that token will stand.

    Rows colder than `GREEDY_TEMPERATURE` take the most likely token (the lowest id of equals).
    """
    greedy = jnp.argmax(logits, axis=-1).astype(jnp.int32)
    warm = rows.temperature > GREEDY_TEMPERATURE
    drawn = jax.lax.cond(
        jnp.any(warm), lambda: _draw(logits, rows, position), lambda: jnp.zeros_like(greedy)
    )
    return jnp.where(warm, drawn, greedy)


def adjust(logits: jax.Array, repeat: jax.Array, bias: jax.Array) -> jax.Array:
    """Logits [R V] with the repetition penalty `repeat` (1 is none; Keskar et al. 2019) and `bias`.

    Presence and frequency penalties, logit_bias and the grammar's -inf are all in `bias`.
    """
    return jnp.where(logits > 0, logits / repeat, logits * repeat) + bias


def rank(logits: jax.Array, chosen: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Log-probabilities of the `chosen` [R] and of the `BEST` most likely tokens, and their ids."""
    shift = jax.nn.logsumexp(logits, axis=-1, keepdims=True)  # R 1
    values, ids = jax.lax.top_k(logits, min(BEST, logits.shape[-1]))
    own = jnp.take_along_axis(logits, chosen[:, None], axis=-1)
    return (own - shift)[:, 0], values - shift, ids
