"""The Llama, Qwen and Gemma decoders as plain pytrees: weights and forward.

Reading order: `Config` (`config`) says the shapes, `kv_cache` holds what was seen; here
`Linear` / `Layer` / `Weights` hold the parameters, and `forward` is the whole network: `embed`,
`run_layers`, `head`, the three pieces that `programs` compiles. Each block attends as `attention`
says, or `paged_attention`. Shapes stand as trailing comments with these letters:

    R rows (streams of this call)   T tokens of a row in this call   S slots of the cache
    L cached positions              D model width                    F feed-forward width
    H query heads                   K key/value heads                G = H // K
    E head width                    V vocabulary

The families differ in data more than in code: a part that a family lacks is None in its pytree, a
number that it lacks is None in its `Config`.

What does not live here: reading checkpoints (`gguf_checkpoint`, `hf_checkpoint`, `assembly`),
rotary frequencies (`rope`), choosing tokens (`sampling`), which request sits in which slot
(`scheduler`), compiling and running (`programs`, `runner`), which device holds what (`sharding`).
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from serving import attention, paged_attention
from serving.attention import Place, exact_products, softcap
from serving.config import Config
from serving.kernels import library as kernels
from serving.kv_cache import AnyCache, PagedCache
from serving.rope import RopeScaling, rope_angles

Precision = Literal["f32", "bf16", "w8a8"]


# --- Weights ------------------------------------------------------------------------------------


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=("values", "scale", "bias"), meta_fields=()
)
@dataclasses.dataclass(frozen=True, slots=True)
class Linear:
    """A matrix of `[in, *out]`, or of `[*out, in]` in int8 with one f32 scale per output.

    So each precision has the order that XLA:CPU multiplies faster: int8 in 0.55 to 0.9 of the time
    that the other one takes (1 to 32 rows), f32 in 0.6 to 0.8. An int8 matrix in uint8 is packed
    for the kernel (`kernels.library.pack`).
    """

    values: jax.Array  # in *out; int8: *out in; packed: out/16 in/4 16 4
    scale: jax.Array | None = None  # *out
    bias: jax.Array | None = None  # *out


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=(
        "attention_norm",
        "qkv",
        "output",
        "ffn_norm",
        "gate_up",
        "down",
        "query_norm",
        "key_norm",
        "attention_post_norm",
        "ffn_post_norm",
        "local",
    ),
    meta_fields=(),
)
@dataclasses.dataclass(frozen=True, slots=True)
class Layer:
    """One decoder block.

    Projections of the same input are fused. Of q, k and v each key/value head's part lies together,
    its G query heads first, so that a device can hold whole heads; gate and up lie side by side.
    """

    attention_norm: jax.Array  # D
    qkv: Linear  # D K G+2 E (as all below, the other way round in int8)
    output: Linear  # H*E D
    ffn_norm: jax.Array  # D
    gate_up: Linear  # D 2 F
    down: Linear  # F D
    query_norm: jax.Array | None = None  # E
    key_norm: jax.Array | None = None  # E
    attention_post_norm: jax.Array | None = None  # D
    ffn_post_norm: jax.Array | None = None  # D
    local: jax.Array | None = None  # bool: sees a window only; None where no layer does


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("cosine", "sine", "local_cosine", "local_sine"),
    meta_fields=(),
)
@dataclasses.dataclass(frozen=True, slots=True)
class Rope:
    """Cosine and sine of every rotation angle up to the context, of local layers if they differ."""

    cosine: jax.Array  # context E/2
    sine: jax.Array  # context E/2
    local_cosine: jax.Array | None = None  # context E/2
    local_sine: jax.Array | None = None  # context E/2


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("embedding", "layers", "final_norm", "rope", "untied_head"),
    meta_fields=(),
)
@dataclasses.dataclass(frozen=True, slots=True)
class Weights:
    """All parameters."""

    embedding: Linear  # values V D (rows are tokens), scale V
    layers: tuple[Layer, ...]
    final_norm: jax.Array  # D
    rope: Rope
    untied_head: Linear | None = None  # values V D, scale V

    @property
    def head(self) -> Linear:
        """The output head: a matrix of its own, or the embedding again (tied)."""
        return self.embedding if self.untied_head is None else self.untied_head


def make_rope(config: Config, positions: int) -> Rope:
    """Tables for `positions` tokens; what they are worth is computed in float64 and rounded once.

    In float32 the angle of position 8191 would already be wrong by 5e-4 radians.
    """

    def tables(base: float, scaling: RopeScaling | None) -> tuple[jax.Array, jax.Array]:
        angle, size = rope_angles(config.head_width, base, scaling, positions)
        cosine, sine = np.cos(angle) * size, np.sin(angle) * size
        return jnp.asarray(cosine, jnp.float32), jnp.asarray(sine, jnp.float32)

    whole = tables(config.rope_base, config.rope_scaling)
    if config.local_rope_base is None:
        return Rope(*whole)
    return Rope(*whole, *tables(config.local_rope_base, None))


# --- The network --------------------------------------------------------------------------------


def _dot(x: jax.Array, w: jax.Array, contract_w: int, out: jnp.dtype) -> jax.Array:
    dimensions = (((1,), (contract_w,)), ((), ()))
    return jax.lax.dot_general(
        x, w, dimensions, precision=exact_products(w.dtype), preferred_element_type=out
    )


def project(x: jax.Array, linear: Linear, contract: int = 0) -> jax.Array:
    """`x` [N in] times the matrix, `[N *out]` in f32; `contract` is the matrix axis summed over.

    An int8 matrix is summed over its last axis, and the activations are quantised too, each row by
    its own max|x| / 127. One row alone is doubled for int8 and bf16, whose one-row product XLA:CPU
    computes 15 times slower. A packed matrix is multiplied in the same way by the kernel.
    """
    rows = x.shape[0]
    if linear.scale is not None and linear.values.dtype == jnp.uint8:
        y = kernels.linear(x, linear.values, linear.scale.reshape(-1))
        y = y.reshape(rows, *linear.scale.shape)  # N *out
        return y if linear.bias is None else y + linear.bias
    if linear.values.dtype != jnp.float32 and rows == 1:
        x = jnp.concatenate([x, x])
    if linear.scale is None:
        y = _dot(x.astype(linear.values.dtype), linear.values, contract, jnp.float32)
    else:
        scale = jnp.maximum(jnp.max(jnp.abs(x), axis=-1, keepdims=True), 1e-12) / 127.0  # N 1
        quantised = jnp.round(x / scale).astype(jnp.int8)  # N in
        # With more than two dimensions XLA would transpose the matrix in every call.
        matrix = linear.values.reshape(-1, x.shape[1])  # out in
        y = _dot(quantised, matrix, 1, jnp.int32).astype(jnp.float32)  # N out
        y = (y * scale).reshape(-1, *linear.scale.shape) * linear.scale  # N *out
    y = y[:rows]
    return y if linear.bias is None else y + linear.bias


def rms_norm(x: jax.Array, gain: jax.Array, epsilon: float) -> jax.Array:
    """x / sqrt(mean(x²) + epsilon) * gain, over the last axis (Zhang & Sennrich 2019)."""
    return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + epsilon) * gain


def rotate(x: jax.Array, cosine: jax.Array, sine: jax.Array) -> jax.Array:
    """Rotary embedding of `x` [... E] in the half-split layout; tables are [... E/2]."""
    first, second = jnp.split(x, 2, axis=-1)
    return jnp.concatenate(
        [first * cosine - second * sine, second * cosine + first * sine], axis=-1
    )


def _attention(
    config: Config,
    layer: Layer,
    x: jax.Array,
    cache: AnyCache,  # of this layer
    place: Place,
) -> tuple[jax.Array, AnyCache]:
    """Self-attention of x [R T D] over the cache after writing these tokens into it."""
    rows, tokens, width = x.shape
    k, g, e = config.kv_heads, config.group, config.head_width
    qkv = project(x.reshape(rows * tokens, width), layer.qkv).reshape(rows, tokens, k, g + 2, e)
    query, key, value = qkv[..., :g, :], qkv[..., g, :], qkv[..., g + 1, :]  # R T K [G] E
    if layer.query_norm is not None and layer.key_norm is not None:
        query = rms_norm(query, layer.query_norm, config.norm_epsilon)
        key = rms_norm(key, layer.key_norm, config.norm_epsilon)
    cosine, sine = place.cosine[:, :, None], place.sine[:, :, None]  # R T 1 E/2
    query = rotate(query, cosine[..., None, :], sine[..., None, :])
    key = rotate(key, cosine, sine)
    kind = paged_attention if isinstance(cache, PagedCache) else attention
    out, cache = kind.attend(config, query, key, value, cache, place)  # R T K G E
    y = project(out.reshape(rows * tokens, k * g * e), layer.output)
    return y.reshape(rows, tokens, width), cache


def _feed_forward(config: Config, layer: Layer, x: jax.Array) -> jax.Array:
    """A gated unit, down(act(gate(x)) * up(x)), for x [N D] (Shazeer 2020)."""
    gate_up = project(x, layer.gate_up)  # N 2 F
    gate, up = gate_up[:, 0], gate_up[:, 1]
    gate = jax.nn.silu(gate) if config.activation == "silu" else jax.nn.gelu(gate, approximate=True)
    return project(gate * up, layer.down)


def _choose_place(layer: Layer, whole: Place, local: Place | None) -> Place:
    """What this layer sees; a choice by value, so that layers of both kinds share one program."""
    if layer.local is None or local is None:
        return whole
    return jax.tree.map(lambda a, b: jnp.where(layer.local, b, a), whole, local)


# Compiled inside the programs below; `jit` here makes the 30 equal layers be traced only once.
@functools.partial(jax.jit, static_argnums=0)
def _block(
    config: Config,
    layer: Layer,
    x: jax.Array,
    cache: AnyCache,  # of this layer
    places: tuple[Place, Place | None],
) -> tuple[jax.Array, AnyCache]:
    """One decoder layer on x [R T D]: attention and feed-forward, each added to what came in."""
    place = _choose_place(layer, *places)
    h = rms_norm(x, layer.attention_norm, config.norm_epsilon)
    y, cache = _attention(config, layer, h, cache, place)
    if layer.attention_post_norm is not None:
        y = rms_norm(y, layer.attention_post_norm, config.norm_epsilon)
    x = x + y
    h = rms_norm(x, layer.ffn_norm, config.norm_epsilon)
    y = _feed_forward(config, layer, h.reshape(-1, config.width)).reshape(x.shape)
    if layer.ffn_post_norm is not None:
        y = rms_norm(y, layer.ffn_post_norm, config.norm_epsilon)
    return x + y, cache


def embed(embedding: Linear, tokens: jax.Array, scale: float = 1.0) -> jax.Array:
    """Rows of the embedding for `tokens` [R T] as f32 [R T D], times the config's scale."""
    if embedding.values.dtype == jnp.uint8:
        x = kernels.unpack_rows(embedding.values, tokens).astype(jnp.float32)
    else:
        x = embedding.values[tokens].astype(jnp.float32)
    if embedding.scale is not None:
        x = x * embedding.scale[tokens][..., None]
    return x if scale == 1.0 else x * scale


def _find_places(
    config: Config, rope: Rope, slots: jax.Array, start: jax.Array, tokens: int
) -> tuple[Place, Place | None]:
    """Place of layers that see everything, and of those that see a window if there are any."""
    position = start[:, None] + jnp.arange(tokens)  # R T
    newest = jnp.tile(position, (1, config.group))  # R G*T
    end = jnp.max(start) + tokens

    def place(oldest: jax.Array, cosine: jax.Array, sine: jax.Array, local: bool) -> Place:
        flag = None if config.window is None else jnp.asarray(local)
        return Place(slots, start, cosine, sine, oldest, newest, jnp.min(oldest), end, flag)

    cosine, sine = rope.cosine[position], rope.sine[position]
    whole = place(jnp.zeros_like(newest), cosine, sine, local=False)
    if config.window is None:
        return whole, None
    if rope.local_cosine is not None and rope.local_sine is not None:
        cosine, sine = rope.local_cosine[position], rope.local_sine[position]
    oldest = jnp.maximum(newest - config.window + 1, 0)
    return whole, place(oldest, cosine, sine, local=True)


def run_layers(
    config: Config,
    layers: tuple[Layer, ...],
    rope: Rope,
    cache: AnyCache,  # of these layers
    x: jax.Array,  # R T D
    slots: jax.Array,  # R int32: the slot of each row
    start: jax.Array,  # R int32: the position of each row's first token
) -> tuple[jax.Array, AnyCache]:
    """Some consecutive layers: what leaves the last of them `[R T D]`, and their cache."""
    places = _find_places(config, rope, slots, start, x.shape[1])
    parts = []
    # Unrolled, not scanned: a scan over layers copies each layer's cache (measured 2-3x slower).
    for layer, part in zip(layers, cache.split(), strict=True):
        x, part = _block(config, layer, x, part, places)
        parts.append(part)
    return x, cache.join(parts)


def head(
    config: Config,
    matrix: Linear,  # values V D
    final_norm: jax.Array,
    x: jax.Array,  # R T D
    last: jax.Array,  # R int32: which of the T tokens the logits are wanted for
) -> jax.Array:
    """Logits `[R V]` after token `last` of each row."""
    x = jnp.take_along_axis(x, last[:, None, None], axis=1)[:, 0]  # R D
    x = rms_norm(x, final_norm, config.norm_epsilon)
    return softcap(project(x, matrix, contract=1), config.final_softcap)


def forward(
    config: Config,
    weights: Weights,
    cache: AnyCache,
    tokens: jax.Array,  # R T int32
    slots: jax.Array,  # R int32
    start: jax.Array,  # R int32
    last: jax.Array,  # R int32
) -> tuple[jax.Array, AnyCache]:
    """The whole network: logits `[R V]` after token `last` of each row, and the cache with T more.

    A prefill is one row of many tokens, a decode many rows of one token. Tokens after `last` are
    padding: what they write lies after every position that is attended to, and the next call
    overwrites it. `start + T` must not pass the cache's length.
    """
    x = embed(weights.embedding, tokens, config.embedding_scale)  # R T D
    x, cache = run_layers(config, weights.layers, weights.rope, cache, x, slots, start)
    return head(config, weights.head, weights.final_norm, x, last), cache
