"""The Llama network in plain NumPy float64, written without looking at the server's own.

It reads GGUF's tensors as they lie in the file: rotary embedding on interleaved pairs, no fused
matrices, no cache, one sequence at a time.
"""

from __future__ import annotations

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize


class NumpyLlama:
    def __init__(self, reader: GGUFReader) -> None:
        self._tensors = {tensor.name: tensor for tensor in reader.tensors}
        self._fields = reader.fields

    def _number(self, key: str) -> float:
        return self._fields[f"llama.{key}"].contents()

    def _weight(self, name: str) -> np.ndarray:
        tensor = self._tensors[name + ".weight"]
        return dequantize(tensor.data, tensor.tensor_type).astype(np.float64)

    def _norm(self, x: np.ndarray, name: str) -> np.ndarray:
        epsilon = self._number("attention.layer_norm_rms_epsilon")
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + epsilon) * self._weight(name)

    def _rotate(self, x: np.ndarray) -> np.ndarray:
        """Rotate the pairs (0, 1), (2, 3) ... of x [tokens heads width] as complex numbers."""
        tokens, _, width = x.shape
        speed = self._number("rope.freq_base") ** (-np.arange(0, width, 2) / width)
        turn = np.exp(1j * np.outer(np.arange(tokens), speed))[:, None]
        turned = (x[..., 0::2] + 1j * x[..., 1::2]) * turn
        return np.stack([turned.real, turned.imag], axis=-1).reshape(x.shape)

    def _attention(self, x: np.ndarray, block: str) -> np.ndarray:
        heads = int(self._number("attention.head_count"))
        kv_heads = int(self._number("attention.head_count_kv"))
        tokens = len(x)
        q = (x @ self._weight(block + "attn_q").T).reshape(tokens, heads, -1)
        k = (x @ self._weight(block + "attn_k").T).reshape(tokens, kv_heads, -1)
        v = (x @ self._weight(block + "attn_v").T).reshape(tokens, kv_heads, -1)
        q, k = self._rotate(q), self._rotate(k)
        out = np.empty_like(q)
        for head in range(heads):
            shared = head // (heads // kv_heads)
            scores = q[:, head] @ k[:, shared].T / np.sqrt(q.shape[-1])
            scores[np.triu_indices(tokens, 1)] = -np.inf
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            out[:, head] = scores / scores.sum(-1, keepdims=True) @ v[:, shared]
        return out.reshape(tokens, -1) @ self._weight(block + "attn_output").T

    def logits(self, tokens: list[int]) -> np.ndarray:
        """Logits [tokens vocabulary] after every token."""
        embedding = self._weight("token_embd")
        x = embedding[tokens]
        for layer in range(int(self._number("block_count"))):
            block = f"blk.{layer}."
            x = x + self._attention(self._norm(x, block + "attn_norm"), block)
            h = self._norm(x, block + "ffn_norm")
            gate = h @ self._weight(block + "ffn_gate").T
            gate = gate / (1 + np.exp(-gate)) * (h @ self._weight(block + "ffn_up").T)
            x = x + gate @ self._weight(block + "ffn_down").T
        return self._norm(x, "output_norm") @ embedding.T
