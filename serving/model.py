"""The Llama decoder as plain pytrees: config, weights, KV cache, forward.

Reading order is top to bottom: `Config` says the shapes, `Linear` / `Layer` / `Weights` hold the
parameters, `KVCache` holds what was seen, and `forward` is the whole network: `embed`,
`run_layers`, `head`, the three pieces that `programs` compiles. Shapes stand as trailing comments
with these letters:

    R rows (streams of this call)   T tokens of a row in this call   S slots of the cache
    L cached positions              D model width                    F feed-forward width
    H query heads                   K key/value heads                G = H // K
    E head width                    V vocabulary

What does not live here: reading checkpoints (`gguf_checkpoint`), choosing tokens (`sampling`),
which request sits in which slot (`scheduler`), compiling and running (`programs`, `runner`).
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

Precision = Literal["f32", "bf16", "w8a8"]


# --- Config -------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Config:
    """The shape of a Llama-family checkpoint, and nothing about how it is served."""

    layers: int
    width: int
    ffn_width: int
    query_heads: int
    kv_heads: int
    head_width: int
    vocabulary: int
    context: int
    rope_base: float
    norm_epsilon: float

    @property
    def group(self) -> int:
        """Query heads that share one key/value head."""
        return self.query_heads // self.kv_heads


# --- Weights ------------------------------------------------------------------------------------


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=("values", "scale"), meta_fields=()
)
@dataclasses.dataclass(frozen=True, slots=True)
class Linear:
    """A matrix of `[in, out]`; int8 with one f32 scale per output column when `scale` is there."""

    values: jax.Array  # in out
    scale: jax.Array | None = None  # out


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("attention_norm", "qkv", "output", "ffn_norm", "gate_up", "down"),
    meta_fields=(),
)
@dataclasses.dataclass(frozen=True, slots=True)
class Layer:
    """One decoder block; q, k and v, as well as gate and up, are fused along their outputs."""

    attention_norm: jax.Array  # D
    qkv: Linear  # D (H+2K)*E
    output: Linear  # H*E D
    ffn_norm: jax.Array  # D
    gate_up: Linear  # D 2*F
    down: Linear  # F D


@functools.partial(jax.tree_util.register_dataclass, data_fields=("cosine", "sine"), meta_fields=())
@dataclasses.dataclass(frozen=True, slots=True)
class Rope:
    """Cosine and sine of every rotation angle up to the context."""

    cosine: jax.Array  # context E/2
    sine: jax.Array  # context E/2


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("embedding", "layers", "final_norm", "rope"),
    meta_fields=(),
)
@dataclasses.dataclass(frozen=True, slots=True)
class Weights:
    """All parameters; the embedding serves as the output head too (tied)."""

    embedding: Linear  # values V D (rows are tokens), scale V
    layers: tuple[Layer, ...]
    final_norm: jax.Array  # D
    rope: Rope


def make_rope(config: Config, positions: int) -> Rope:
    """The angles are computed in float64 and their cosine and sine rounded once.

    In float32 the angle of position 8191 would already be wrong by 5e-4 radians.
    """
    exponent = np.arange(0, config.head_width, 2, dtype=np.float64) / config.head_width
    angle = np.arange(positions, dtype=np.float64)[:, None] * config.rope_base**-exponent
    return Rope(jnp.asarray(np.cos(angle), jnp.float32), jnp.asarray(np.sin(angle), jnp.float32))


def make_linear(matrix: np.ndarray, precision: Precision, axis: int = 0) -> Linear:
    """Put an f32 matrix on the device in `precision`; `axis` is the one that a product sums over.

    W8A8 keeps int8 values and, for each output, the f32 scale max|w| / 127.
    """
    if precision == "f32":
        return Linear(jnp.asarray(matrix, jnp.float32))
    if precision == "bf16":
        return Linear(jnp.asarray(matrix, jnp.bfloat16))
    scale = np.maximum(np.abs(matrix).max(axis=axis), 1e-12) / 127.0
    values = np.rint(matrix / np.expand_dims(scale, axis)).astype(np.int8)
    return Linear(jnp.asarray(values), jnp.asarray(scale, jnp.float32))


# --- KV cache -----------------------------------------------------------------------------------


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
    return jax.tree.map(lambda spec: jnp.asarray(np.zeros(spec.shape, spec.dtype)), specs)


def resize(leaf: jax.Array, length: int) -> jax.Array:
    """One leaf of the cache with `length` positions: the tail is cut off or padded with zeros."""
    kept = leaf[:, :, :length]  # S K min(L,length) E
    return jnp.pad(kept, ((0, 0), (0, 0), (0, length - kept.shape[2]), (0, 0)))


def _write(leaf: jax.Array, new: jax.Array, slots: jax.Array, start: jax.Array) -> jax.Array:
    """Write `new` [R K T E] into its slots from `start` on.

    One in-place slice update per row: the scatter that a fancy index becomes is a loop on CPU.
    """
    for row in range(new.shape[0]):
        leaf = jax.lax.dynamic_update_slice(leaf, new[row][None], (slots[row], 0, start[row], 0))
    return leaf


def _read(leaf: jax.Array, slots: jax.Array) -> jax.Array:
    """The cached rows `[R K L E]`; a call over all slots is in slot order and copies nothing."""
    if slots.shape[0] == leaf.shape[0]:
        return leaf
    return jnp.concatenate(
        [jax.lax.dynamic_slice_in_dim(leaf, slots[row], 1) for row in range(slots.shape[0])]
    )


# --- The network --------------------------------------------------------------------------------


def _dot(x: jax.Array, w: jax.Array, contract_w: int, out: jnp.dtype) -> jax.Array:
    return jax.lax.dot_general(x, w, (((1,), (contract_w,)), ((), ())), preferred_element_type=out)


def project(x: jax.Array, linear: Linear, contract: int = 0) -> jax.Array:
    """`x` [N in] times the matrix, `[N out]` in f32; `contract` is the matrix axis summed over.

    With int8 weights the activations are quantised too, each row by its own max|x| / 127. One row
    alone is doubled for int8 and bf16, whose one-row product XLA:CPU computes 15 times slower.
    """
    rows = x.shape[0]
    if linear.values.dtype != jnp.float32 and rows == 1:
        x = jnp.concatenate([x, x])
    if linear.scale is None:
        y = _dot(x.astype(linear.values.dtype), linear.values, contract, jnp.float32)
        return y[:rows]
    scale = jnp.maximum(jnp.max(jnp.abs(x), axis=-1, keepdims=True), 1e-12) / 127.0  # N 1
    quantised = jnp.round(x / scale).astype(jnp.int8)  # N in
    y = _dot(quantised, linear.values, contract, jnp.int32).astype(jnp.float32)  # N out
    return (y * scale * linear.scale)[:rows]


def rms_norm(x: jax.Array, gain: jax.Array, epsilon: float) -> jax.Array:
    """x / sqrt(mean(x²) + epsilon) * gain, over the last axis (Zhang & Sennrich 2019)."""
    return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + epsilon) * gain


def rotate(x: jax.Array, cosine: jax.Array, sine: jax.Array) -> jax.Array:
    """Rotary embedding of `x` [R T heads E] in the half-split layout; tables are [R T 1 E/2]."""
    first, second = jnp.split(x, 2, axis=-1)
    return jnp.concatenate(
        [first * cosine - second * sine, second * cosine + first * sine], axis=-1
    )


def attend(query: jax.Array, keys: jax.Array, values: jax.Array, mask: jax.Array) -> jax.Array:
    """Grouped-query attention: query [R K G*T E], keys and values [R K L E], mask [R G*T L]."""
    scores = jnp.einsum("rkqe,rkle->rkql", query, keys, preferred_element_type=jnp.float32)
    scores = jnp.where(mask[:, None], scores * query.shape[-1] ** -0.5, -1e30)  # R K G*T L
    weights = jax.nn.softmax(scores, axis=-1).astype(values.dtype)
    return jnp.einsum("rkql,rkle->rkqe", weights, values, preferred_element_type=jnp.float32)


def _attention(
    config: Config,
    layer: Layer,
    x: jax.Array,
    cache: tuple[jax.Array, jax.Array],
    place: tuple[jax.Array, ...],
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """Self-attention of x [R T D] over the cache after writing these tokens into it."""
    slots, start, cosine, sine, mask = place
    rows, tokens, width = x.shape
    h, k, e = config.query_heads, config.kv_heads, config.head_width
    qkv = project(x.reshape(rows * tokens, width), layer.qkv).reshape(rows, tokens, h + 2 * k, e)
    query, key, value = jnp.split(qkv, (h, h + k), axis=2)  # R T heads E
    query, key = rotate(query, cosine, sine), rotate(key, cosine, sine)
    keys, values = cache
    keys = _write(keys, key.swapaxes(1, 2).astype(keys.dtype), slots, start)
    values = _write(values, value.swapaxes(1, 2).astype(values.dtype), slots, start)
    query = query.reshape(rows, tokens, k, config.group, e).transpose(0, 2, 3, 1, 4)  # R K G T E
    query = query.reshape(rows, k, config.group * tokens, e).astype(keys.dtype)
    out = attend(query, _read(keys, slots), _read(values, slots), mask)  # R K G*T E
    out = out.reshape(rows, k, config.group, tokens, e).transpose(0, 3, 1, 2, 4)  # R T K G E
    y = project(out.reshape(rows * tokens, h * e), layer.output)
    return y.reshape(rows, tokens, width), (keys, values)


def _feed_forward(layer: Layer, x: jax.Array) -> jax.Array:
    """SwiGLU: down(silu(gate(x)) * up(x)) for x [N D]."""
    gate, up = jnp.split(project(x, layer.gate_up), 2, axis=-1)  # N F
    return project(jax.nn.silu(gate) * up, layer.down)


# Compiled inside the programs below; `jit` here makes the 30 equal layers be traced only once.
@functools.partial(jax.jit, static_argnums=0)
def _block(
    config: Config,
    layer: Layer,
    x: jax.Array,
    cache: tuple[jax.Array, jax.Array],
    place: tuple[jax.Array, ...],
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """One decoder layer on x [R T D]: attention and feed-forward, each added to what came in."""
    h = rms_norm(x, layer.attention_norm, config.norm_epsilon)
    y, cache = _attention(config, layer, h, cache, place)
    x = x + y
    h = rms_norm(x, layer.ffn_norm, config.norm_epsilon)
    return x + _feed_forward(layer, h.reshape(-1, config.width)).reshape(x.shape), cache


def embed(embedding: Linear, tokens: jax.Array) -> jax.Array:
    """Rows of the embedding for `tokens` [R T] as f32 [R T D]."""
    x = embedding.values[tokens].astype(jnp.float32)
    if embedding.scale is not None:
        x = x * embedding.scale[tokens][..., None]
    return x


def run_layers(
    config: Config,
    layers: tuple[Layer, ...],
    rope: Rope,
    cache: KVCache,  # of these layers
    x: jax.Array,  # R T D
    slots: jax.Array,  # R int32: the slot of each row
    start: jax.Array,  # R int32: the position of each row's first token
) -> tuple[jax.Array, KVCache]:
    """Some consecutive layers: what leaves the last of them `[R T D]`, and their cache."""
    position = start[:, None] + jnp.arange(x.shape[1])  # R T
    cosine = rope.cosine[position][:, :, None]  # R T 1 E/2
    sine = rope.sine[position][:, :, None]
    mask = jnp.arange(cache.keys[0].shape[2]) <= position[:, :, None]  # R T L
    mask = jnp.tile(mask, (1, config.group, 1))  # R G*T L
    place = (slots, start, cosine, sine, mask)
    keys, values = [], []
    # Unrolled, not scanned: a scan over layers copies each layer's cache (measured 2-3x slower).
    for layer, *kv in zip(layers, cache.keys, cache.values, strict=True):
        x, (key, value) = _block(config, layer, x, (kv[0], kv[1]), place)
        keys.append(key)
        values.append(value)
    return x, KVCache(tuple(keys), tuple(values))


def head(
    config: Config,
    embedding: Linear,
    final_norm: jax.Array,
    x: jax.Array,  # R T D
    last: jax.Array,  # R int32: which of the T tokens the logits are wanted for
) -> jax.Array:
    """Logits `[R V]` after token `last` of each row."""
    x = jnp.take_along_axis(x, last[:, None, None], axis=1)[:, 0]  # R D
    x = rms_norm(x, final_norm, config.norm_epsilon)
    return project(x, embedding, contract=1)


def forward(
    config: Config,
    weights: Weights,
    cache: KVCache,
    tokens: jax.Array,  # R T int32
    slots: jax.Array,  # R int32
    start: jax.Array,  # R int32
    last: jax.Array,  # R int32
) -> tuple[jax.Array, KVCache]:
    """The whole network: logits `[R V]` after token `last` of each row, and the cache with T more.

    A prefill is one row of many tokens, a decode many rows of one token. Tokens after `last` are
    padding: what they write lies after every position that is attended to, and the next call
    overwrites it. `start + T` must not pass the cache's length.
    """
    x = embed(weights.embedding, tokens)  # R T D
    x, cache = run_layers(config, weights.layers, weights.rope, cache, x, slots, start)
    return head(config, weights.embedding, weights.final_norm, x, last), cache
