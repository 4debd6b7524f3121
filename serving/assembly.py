"""From a checkpoint's f32 arrays to `Weights` on the device: fusing, quantising, placing.

A checkpoint hands over one block at a time, as a dict of arrays under these names (matrices are
`[out, in]`, q and k in the half-split RoPE layout; those with ? where the family has them):

    attention_norm q k v output ffn_norm gate up down
    q_bias? k_bias? v_bias? output_bias? query_norm? key_norm? attention_post_norm? ffn_post_norm?

What does not live here: reading files (`gguf_checkpoint`, `hf_checkpoint`), what the weights
compute (`model`), which device gets which part (`sharding`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np

from serving.config import Config
from serving.kernels import library as kernels
from serving.model import Layer, Linear, Precision, Rope, Weights, make_rope
from serving.sharding import Axes, Devices

Progress = Callable[[int, int], None]  # how many done, of how many
Put = Callable[[np.ndarray, Axes], jax.Array]  # places an array with these axes


def quantise(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int8 values and, for each output, the f32 scale max|w| / 127 over the last axis."""
    scale = np.maximum(np.abs(matrix).max(axis=-1), 1e-12) / 127.0
    values = np.rint(matrix / scale[..., None]).astype(np.int8)
    return values, scale.astype(np.float32)


def make_linear(
    matrix: np.ndarray,
    precision: Precision,
    axis: int = 0,
    put: Put = lambda array, _: jnp.asarray(array),
    axes: Axes | None = None,
    bias: np.ndarray | None = None,
    packed: bool = False,
) -> Linear:
    """Put an f32 matrix on the device in `precision`; a product sums over `axis`, int8's last one.

    `put` places an array whose dimensions are called `axes`. `packed` is for the kernel: int8 is
    laid out for it where it takes the matrix's shape.
    """
    axes = axes or (None,) * matrix.ndim
    outputs = axes[:axis] + axes[axis + 1 :]
    placed_bias = None if bias is None else put(bias.astype(np.float32), outputs)
    if precision == "w8a8":
        values, scale = quantise(np.moveaxis(matrix, axis, -1))
        if packed and kernels.can_multiply(values):
            placed = put(kernels.pack(values), (None,) * 4)
        else:
            placed = put(np.ascontiguousarray(values), (*outputs, axes[axis]))
        return Linear(placed, put(scale, outputs), placed_bias)
    dtype = np.float32 if precision == "f32" else jnp.bfloat16
    return Linear(put(matrix.astype(dtype), axes), None, placed_bias)


def place_rope(config: Config, positions: int, put: Put) -> Rope:
    """Rotary tables for `positions` tokens, on the device."""
    return jax.tree.map(
        lambda table: put(np.asarray(table), (None, None)), make_rope(config, positions)
    )


class Assembler:
    """Makes the weights of one model."""

    def __init__(self, config: Config, precision: Precision, devices: Devices) -> None:
        """For one precision, placed as `devices` says."""
        self._config, self._precision, self._put = config, precision, devices.put
        self._packed = devices.kernels

    def _linear(
        self, matrix: np.ndarray, axes: Axes, axis: int = 0, bias: np.ndarray | None = None
    ) -> Linear:
        matrix = np.ascontiguousarray(matrix)
        return make_linear(matrix, self._precision, axis, self._put, axes, bias, self._packed)

    def _by_head(self, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Outputs of q, k and v side by side for each key/value head: [K G+2 E ...]."""
        c = self._config
        rest = q.shape[1:]
        q = q.reshape(c.kv_heads, c.group, c.head_width, *rest)
        k, v = (part.reshape(c.kv_heads, 1, c.head_width, *rest) for part in (k, v))
        return np.concatenate([q, k, v], axis=1)

    def _norm(self, found: dict[str, np.ndarray], name: str) -> jax.Array | None:
        gain = found.get(name)
        return None if gain is None else self._put(gain.astype(np.float32), (None,))

    def layer(self, found: dict[str, np.ndarray], local: bool = False) -> Layer:
        """One block; `local` where it sees a window only."""
        qkv = np.moveaxis(self._by_head(found["q"], found["k"], found["v"]), -1, 0)
        bias = None
        if "q_bias" in found:
            bias = self._by_head(found["q_bias"], found["k_bias"], found["v_bias"])
        gate_up = np.stack([found["gate"].T, found["up"].T], axis=1)  # D 2 F
        flag = None
        if self._config.window is not None:
            flag = self._put(np.asarray(local), ())
        return Layer(
            attention_norm=self._put(found["attention_norm"].astype(np.float32), (None,)),
            qkv=self._linear(qkv, (None, "heads", None, None), bias=bias),
            output=self._linear(found["output"].T, ("heads", None), bias=found.get("output_bias")),
            ffn_norm=self._put(found["ffn_norm"].astype(np.float32), (None,)),
            gate_up=self._linear(gate_up, (None, None, "ffn")),
            down=self._linear(found["down"].T, ("ffn", None)),
            query_norm=self._norm(found, "query_norm"),
            key_norm=self._norm(found, "key_norm"),
            attention_post_norm=self._norm(found, "attention_post_norm"),
            ffn_post_norm=self._norm(found, "ffn_post_norm"),
            local=flag,
        )

    def weights(
        self,
        embedding: np.ndarray,
        layers: Iterable[dict[str, np.ndarray]],
        final_norm: np.ndarray,
        head: np.ndarray | None,
        positions: int,
        progress: Progress,
        local: tuple[bool, ...] | None = None,
    ) -> Weights:
        """All weights; `layers` is read one at a time, `progress(done, total)` after each.

        `embedding` and `head` are [V D]; `local` says of each layer whether it sees a window only.
        """
        c = self._config
        # Rows are tokens, so the product with the head sums over axis 1.
        table = self._linear(embedding, ("vocabulary", None), axis=1)
        untied = None if head is None else self._linear(head, ("vocabulary", None), axis=1)
        del embedding, head
        made = []
        for index, found in enumerate(layers):
            made.append(self.layer(found, local is not None and local[index]))
            progress(index + 1, c.layers)
        norm = self._put(final_norm.astype(np.float32), (None,))
        return Weights(table, tuple(made), norm, place_rope(c, positions, self._put), untied)
