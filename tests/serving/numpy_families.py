"""Llama, Mistral, Qwen and Gemma in plain NumPy float64, written without the server's own code.

It follows each family's published implementation: tensors under Hugging Face's names, one sequence,
no cache, no fused matrices, one head at a time.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def _softmax(x: np.ndarray) -> np.ndarray:
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


def _gelu_tanh(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


class NumpyFamily:
    def __init__(self, config: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
        self.config = config
        self.kind = config["model_type"]
        self.tensors = {name: array.astype(np.float64) for name, array in tensors.items()}

    def _norm(self, x: np.ndarray, name: str) -> np.ndarray:
        gain = self.tensors[name + ".weight"]
        if self.kind.startswith("gemma"):
            gain = 1 + gain
        return x / np.sqrt(np.mean(x * x, -1, keepdims=True) + self.config["rms_norm_eps"]) * gain

    def _linear(self, x: np.ndarray, name: str) -> np.ndarray:
        y = x @ self.tensors[name + ".weight"].T
        return y + self.tensors[name + ".bias"] if name + ".bias" in self.tensors else y

    def _sees_window(self, layer: int) -> bool:
        if self.kind == "mistral":
            return True
        if self.kind == "qwen2":
            return bool(self.config.get("use_sliding_window")) and layer >= 2
        if self.kind == "gemma2":
            return layer % 2 == 0
        return self.kind == "gemma3_text" and layer % 3 != 2

    def _frequencies(self, local: bool) -> tuple[np.ndarray, float]:
        """Radians per position of each pair, and yarn's factor on cosine and sine."""
        width = self.config["head_dim"]
        base = (self.config.get("rope_parameters") or self.config)["rope_theta"]
        if local and self.kind == "gemma3_text":
            return 10_000.0 ** (-np.arange(0, width, 2) / width), 1.0
        speed = base ** (-np.arange(0, width, 2) / width)
        scaling = self.config.get("rope_scaling") or {}
        kind = scaling.get("rope_type", scaling.get("type"))
        if kind == "linear":
            return speed / scaling["factor"], 1.0
        if kind == "llama3":
            return np.array([self._llama3(float(value), scaling) for value in speed]), 1.0
        if kind == "yarn":
            return self._yarn(speed, base, scaling)
        return speed, 1.0

    def _llama3(self, speed: float, scaling: dict[str, Any]) -> float:
        wave = 2 * math.pi / speed
        original, factor = scaling["original_max_position_embeddings"], scaling["factor"]
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        if wave < original / high:
            return speed
        if wave > original / low:
            return speed / factor
        smooth = (original / wave - low) / (high - low)
        return (1 - smooth) * speed / factor + smooth * speed

    def _yarn(
        self, speed: np.ndarray, base: float, scaling: dict[str, Any]
    ) -> tuple[np.ndarray, float]:
        width, original = 2 * len(speed), scaling["original_max_position_embeddings"]

        def place(turns: float) -> float:
            return width * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(base))

        low, high = max(math.floor(place(32)), 0), min(math.ceil(place(1)), width - 1)
        ramp = np.clip((np.arange(width // 2) - low) / (high - low), 0, 1)
        factor = scaling["factor"]
        return speed / factor * ramp + speed * (1 - ramp), 0.1 * math.log(factor) + 1

    def _rotate(self, x: np.ndarray, local: bool) -> np.ndarray:
        """x [tokens width]: pair i is (i, i + width/2)."""
        speed, size = self._frequencies(local)
        half = x.shape[1] // 2
        turn = size * np.exp(1j * np.outer(np.arange(len(x)), speed))
        turned = (x[:, :half] + 1j * x[:, half:]) * turn
        return np.concatenate([turned.real, turned.imag], axis=1)

    def _head(self, q: np.ndarray, k: np.ndarray, v: np.ndarray, local: bool) -> np.ndarray:
        c = self.config
        q, k = self._rotate(q, local), self._rotate(k, local)
        scalar = c.get("query_pre_attn_scalar", c["head_dim"])
        scores = q @ k.T / math.sqrt(scalar)
        if self.kind == "gemma2":
            cap = c["attn_logit_softcapping"]
            scores = cap * np.tanh(scores / cap)
        for row in range(len(q)):
            for column in range(len(q)):
                far = local and row - column >= c["sliding_window"]
                if column > row or far:
                    scores[row, column] = -np.inf
        return _softmax(scores) @ v

    def _attention(self, x: np.ndarray, layer: int) -> np.ndarray:
        c, name = self.config, f"model.layers.{layer}.self_attn."
        heads, shared = c["num_attention_heads"], c["num_key_value_heads"]
        width, local = c["head_dim"], self._sees_window(layer)
        q, k, v = (self._linear(x, f"{name}{part}_proj") for part in "qkv")
        out = []
        for head in range(heads):
            own = head * shared // heads
            one_q = q[:, head * width : (head + 1) * width]
            one_k, one_v = (part[:, own * width : (own + 1) * width] for part in (k, v))
            if name + "q_norm.weight" in self.tensors:
                one_q = self._norm(one_q, name + "q_norm")
                one_k = self._norm(one_k, name + "k_norm")
            out.append(self._head(one_q, one_k, one_v, local))
        return self._linear(np.concatenate(out, axis=1), name + "o_proj")

    def _feed_forward(self, x: np.ndarray, layer: int) -> np.ndarray:
        name = f"model.layers.{layer}.mlp."
        gate, up = self._linear(x, name + "gate_proj"), self._linear(x, name + "up_proj")
        gemma = self.kind.startswith("gemma")
        gate = _gelu_tanh(gate) if gemma else gate / (1 + np.exp(-gate))
        return self._linear(gate * up, name + "down_proj")

    def logits(self, tokens: list[int]) -> np.ndarray:
        """Logits [tokens vocabulary] after every token."""
        table = self.tensors["model.embed_tokens.weight"]
        x = table[tokens]
        if self.kind.startswith("gemma"):
            x = x * math.sqrt(x.shape[1])
        for layer in range(self.config["num_hidden_layers"]):
            name = f"model.layers.{layer}."
            y = self._attention(self._norm(x, name + "input_layernorm"), layer)
            if self.kind in ("gemma2", "gemma3_text"):
                x = x + self._norm(y, name + "post_attention_layernorm")
                y = self._feed_forward(self._norm(x, name + "pre_feedforward_layernorm"), layer)
                x = x + self._norm(y, name + "post_feedforward_layernorm")
            else:
                x = x + y
                h = self._norm(x, name + "post_attention_layernorm")
                x = x + self._feed_forward(h, layer)
        logits = self._norm(x, "model.norm") @ self.tensors.get("lm_head.weight", table).T
        if self.kind == "gemma2":
            cap = self.config["final_logit_softcapping"]
            logits = cap * np.tanh(logits / cap)
        return logits
