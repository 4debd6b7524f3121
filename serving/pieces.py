"""The pieces of the network that are compiled one by one, as functions of arrays alone.

What does not live here: what they compute (`model`, `sampling`), which shapes they are compiled
for and how they are called (`programs`).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from serving import model
from serving.config import Config
from serving.kv_cache import AnyCache
from serving.model import Layer, Linear, Rope
from serving.sampling import SamplingRows, adjust, rank, sample


def embed(config: Config, embedding: Linear, tokens: jax.Array) -> jax.Array:
    """What goes into the first layer, [R T D], for tokens [R T]."""
    return model.embed(embedding, tokens, config.embedding_scale)


def layers(
    config: Config,
    group: tuple[Layer, ...],
    rope: Rope,
    cache: AnyCache,
    x: jax.Array,  # R T D
    slots: jax.Array,  # R
    start: jax.Array,  # R
) -> tuple[jax.Array, AnyCache]:
    """What leaves the last layer of a group, and the group's cache with T more positions."""
    return model.run_layers(config, group, rope, cache, x, slots, start)


def pick(x: jax.Array, last: jax.Array) -> jax.Array:
    """Row `last` of each [R T D], as [R D]."""
    return jnp.take_along_axis(x, last[:, None, None], axis=1)[:, 0]


def flatten(x: jax.Array) -> jax.Array:
    """All rows of [R T D], as [R*T D]."""
    return x.reshape(-1, x.shape[-1])


def _logits(config: Config, matrix: Linear, norm: jax.Array, x: jax.Array) -> jax.Array:
    """Logits [N V] of x [N D]."""
    return model.head(config, matrix, norm, x[:, None], jnp.zeros(x.shape[0], jnp.int32))


def head(
    config: Config,
    matrix: Linear,  # V D
    norm: jax.Array,
    x: jax.Array,  # N D
    place: jax.Array,  # N: where the next token will stand
    sampling: SamplingRows,
) -> jax.Array:
    """The next token of each row [N 1], as the layers take it."""
    return sample(_logits(config, matrix, norm, x), sampling, place)[:, None]


def ranked_head(
    config: Config,
    matrix: Linear,  # V D
    norm: jax.Array,
    x: jax.Array,  # N D
    place: jax.Array,  # N
    sampling: SamplingRows,
    repeat: jax.Array,  # N V
    bias: jax.Array,  # N V
) -> tuple[jax.Array, tuple[jax.Array, jax.Array, jax.Array]]:
    """The next token [N 1] of adjusted rows, and (log-probability, best values, best ids)."""
    logits = _logits(config, matrix, norm, x)
    token = sample(adjust(logits, repeat, bias), sampling, place)
    return token[:, None], rank(logits, token)


def scores(
    config: Config,
    matrix: Linear,  # V D
    norm: jax.Array,
    x: jax.Array,  # 1 T D
    following: jax.Array,  # T: the token after each
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(Log-probability of `following`, best values, best ids) after each token of a chunk."""
    return rank(_logits(config, matrix, norm, x[0]), following)
