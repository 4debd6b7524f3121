"""The KV cache: its arrays, their shapes and in what numbers they hold keys and values.

The letters of its shapes are those of `model`. What does not live here: writing and reading it
(`attention`), copies within it (`cache_copies`), which device holds what (`sharding`).
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from serving.config import Config


@functools.partial(jax.tree_util.register_dataclass, data_fields=("keys", "values"), meta_fields=())
@dataclasses.dataclass(frozen=True, slots=True)
class KVCache:
    """Keys and values of every layer. One array per layer, so that each is updated in place."""

    keys: tuple[jax.Array, ...]  # layers x [S K L E]
    values: tuple[jax.Array, ...]  # layers x [S K L E]


def cache_specs(config: Config, layers: int, slots: int, length: int, dtype: jnp.dtype) -> KVCache:
    """Shapes and dtype of the cache: the one source for allocating and for compiling."""
    spec = jax.ShapeDtypeStruct((slots, config.kv_heads, length, config.head_width), dtype)
    return KVCache((spec,) * layers, (spec,) * layers)


def make_cache(specs: KVCache) -> KVCache:
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


def cache_dtype(config: Config, exact: bool, backend: str) -> jnp.dtype:
    """What keys and values are held in: f32 where they are to be `exact`, else bf16.

    On CPU bf16 is held by its bits, as uint16, since XLA:CPU would turn a whole bf16 cache into f32
    and back for every write. Where a query is one row its bf16 products are as slow as those of
    `project`, so that such models keep f32 there.
    """
    if exact:
        return jnp.dtype(jnp.float32)
    if backend != "cpu":
        return jnp.dtype(jnp.bfloat16)
    return jnp.dtype(jnp.uint16 if config.group > 1 else jnp.float32)
