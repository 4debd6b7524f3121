"""Reads a GGUF file: the model's shape, its weights as f32 arrays, and its tokenizer's metadata.

What does not live here: how arrays become weights (`assembly`), what those compute (`model`) and
how text becomes tokens (`tokenizer`). The file is memory-mapped and one tensor is expanded at a
time, so that loading never holds the file's weights and their dequantised copies together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize

from serving.assembly import Assembler
from serving.config import Config
from serving.model import Precision, Weights
from serving.sharding import Devices
from serving.tokenizer import Tokenizer
from serving.vocabulary import CheckpointError, Vocabulary

# What the arrays of a block are called here, by their names in the file.
_NAMES = {
    "attn_norm": "attention_norm",
    "attn_q": "q",
    "attn_k": "k",
    "attn_v": "v",
    "attn_output": "output",
    "ffn_norm": "ffn_norm",
    "ffn_gate": "gate",
    "ffn_up": "up",
    "ffn_down": "down",
}


def digest_file(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class GgufCheckpoint:
    """An opened GGUF file of the Llama architecture."""

    def __init__(self, path: Path) -> None:
        """Map the file and read its keys; CheckpointError if it is no GGUF of a known kind."""
        try:
            self._reader = GGUFReader(path)
        except (ValueError, KeyError, IndexError, OSError) as error:
            raise CheckpointError(f"{path} is not a whole GGUF file: {error}") from error
        self.path = path
        self._tensors = {tensor.name: tensor for tensor in self._reader.tensors}
        architecture = self._value("general.architecture")
        if architecture != "llama":
            raise CheckpointError(f"{path} holds a {architecture!r} model; only 'llama' is served.")
        self.config = self._read_config()

    @property
    def parameters(self) -> int:
        """How many weights the file holds."""
        return sum(int(tensor.n_elements) for tensor in self._reader.tensors)

    def revision(self) -> str:
        """First 12 hex digits of the file's SHA-256."""
        return digest_file(self.path)[:12]

    def _value(self, key: str, default: Any = ...) -> Any:
        field = self._reader.fields.get(key)
        if field is not None:
            return field.contents()
        if default is ...:
            raise CheckpointError(f"{self.path} lacks the key {key}.")
        return default

    def _read_config(self) -> Config:
        heads = int(self._value("llama.attention.head_count"))
        width = int(self._value("llama.embedding_length"))
        if self._value("llama.rope.scaling.type", "none") not in ("none", None):
            raise CheckpointError(f"{self.path} scales its rotary embedding; that is not served.")
        return Config(
            layers=int(self._value("llama.block_count")),
            width=width,
            ffn_width=int(self._value("llama.feed_forward_length")),
            query_heads=heads,
            kv_heads=int(self._value("llama.attention.head_count_kv", heads)),
            head_width=int(self._value("llama.rope.dimension_count", width // heads)),
            vocabulary=len(self._reader.fields["tokenizer.ggml.tokens"].data),
            context=int(self._value("llama.context_length")),
            rope_base=float(self._value("llama.rope.freq_base", 10_000.0)),
            norm_epsilon=float(self._value("llama.attention.layer_norm_rms_epsilon")),
        )

    def read_tokenizer(self) -> Tokenizer:
        """The tokenizer that the file describes."""
        return Tokenizer(self.read_vocabulary())

    def read_vocabulary(self) -> Vocabulary:
        """The tokenizer's metadata; CheckpointError unless it is a GPT-2-style BPE."""
        kind = self._value("tokenizer.ggml.model")
        if kind != "gpt2":
            raise CheckpointError(f"{self.path} has a {kind!r} tokenizer; only 'gpt2' is served.")
        control = 3  # gguf.TokenType.CONTROL
        return Vocabulary(
            tokens=self._value("tokenizer.ggml.tokens"),
            merges=self._value("tokenizer.ggml.merges"),
            special=[kind == control for kind in self._value("tokenizer.ggml.token_type")],
            pre_tokenizer=self._value("tokenizer.ggml.pre", "default"),
            chat_template=self._value("tokenizer.chat_template", None),
            eos_token=int(self._value("tokenizer.ggml.eos_token_id")),
            bos_token=self._value("tokenizer.ggml.bos_token_id", None),
            add_bos=bool(self._value("tokenizer.ggml.add_bos_token", False)),
        )

    def read_tensor(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """A tensor as f32, `[out, in]` for matrices; CheckpointError when absent or misshapen."""
        tensor = self._tensors.get(name)
        if tensor is None:
            raise CheckpointError(f"{self.path} lacks the tensor {name}, expected {shape}.")
        found = tuple(int(size) for size in reversed(tensor.shape))
        if found != shape:
            raise CheckpointError(f"{self.path}: {name} has shape {found}, expected {shape}.")
        return dequantize(tensor.data, tensor.tensor_type).reshape(shape)

    def read_layer(self, index: int) -> dict[str, np.ndarray]:
        """One block's f32 arrays, matrices `[out, in]`, q and k in the half-split RoPE layout."""
        c = self.config
        q_width, kv_width = c.query_heads * c.head_width, c.kv_heads * c.head_width
        shapes = {
            "attn_norm": (c.width,),
            "attn_q": (q_width, c.width),
            "attn_k": (kv_width, c.width),
            "attn_v": (kv_width, c.width),
            "attn_output": (c.width, q_width),
            "ffn_norm": (c.width,),
            "ffn_gate": (c.ffn_width, c.width),
            "ffn_up": (c.ffn_width, c.width),
            "ffn_down": (c.width, c.ffn_width),
        }
        found = {
            _NAMES[name]: self.read_tensor(f"blk.{index}.{name}.weight", shape)
            for name, shape in shapes.items()
        }
        found["q"] = _unpermute(found["q"], c.query_heads)
        found["k"] = _unpermute(found["k"], c.kv_heads)
        return found

    def read_weights(
        self,
        precision: Precision,
        positions: int,
        progress: Callable[[int, int], None],
        devices: Devices | None = None,
    ) -> Weights:
        """All weights on the device in `precision`; `progress(done, total)` after each layer."""
        c = self.config
        assembler = Assembler(c, precision, devices or Devices(c))
        embedding = self.read_tensor("token_embd.weight", (c.vocabulary, c.width))
        head = None
        if "output.weight" in self._tensors:
            head = self.read_tensor("output.weight", (c.vocabulary, c.width))
        norm = self.read_tensor("output_norm.weight", (c.width,))
        layers = (self.read_layer(index) for index in range(c.layers))
        return assembler.weights(embedding, layers, norm, head, positions, progress)


def _unpermute(matrix: np.ndarray, heads: int) -> np.ndarray:
    """Undo GGUF's reordering of q and k rows for interleaved-pair RoPE.

    Row 2i of a head there is row i of the half-split layout, row 2i + 1 is row E/2 + i.
    """
    out, width = matrix.shape
    pairs = matrix.reshape(heads, out // heads // 2, 2, width)
    return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(out, width))
