"""Reads a Hugging Face folder: config.json, safetensors files, tokenizer.json and their company.

What does not live here: the files' format (`safetensors_folder`), what config.json means
(`hf_config`), how arrays become weights (`assembly`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from serving.assembly import Assembler
from serving.hf_config import read_config
from serving.hf_tokenizer import read_tokenizer
from serving.model import Precision, Weights
from serving.safetensors_folder import SafetensorsFolder, read_object
from serving.sharding import Devices
from serving.tokenizer import Tokenizer
from serving.vocabulary import CheckpointError

# Rotary tables that old checkpoints carry; ours are computed.
_NOT_NEEDED = ("rotary_emb.inv_freq",)
_SAMPLED_BYTES = 1 << 20


class HfCheckpoint:
    """An opened folder of one of the served families."""

    def __init__(self, folder: Path) -> None:
        """Read config.json and all headers; CheckpointError for what cannot be served."""
        self.path = folder
        where = folder / "config.json"
        self.config, self._family = read_config(read_object(where), str(where))
        self._tensors = SafetensorsFolder(folder)

    @property
    def parameters(self) -> int:
        """How many weights the folder holds."""
        return self._tensors.parameters

    def revision(self) -> str:
        """12 hex digits that change with the config, the files' sizes, headers, starts and ends.

        Not over every byte: that would read a large model twice.
        """
        digest = hashlib.sha256((self.path / "config.json").read_bytes())
        for file in sorted({tensor.file for tensor in self._tensors.tensors.values()}):
            size = file.stat().st_size
            digest.update(f"{file.name} {size}\n".encode())
            with file.open("rb") as stream:
                digest.update(stream.read(_SAMPLED_BYTES))
                stream.seek(max(0, size - _SAMPLED_BYTES))
                digest.update(stream.read())
        return digest.hexdigest()[:12]

    def read_tokenizer(self) -> Tokenizer:
        """The folder's tokenizer.json with its chat template and end tokens."""
        return read_tokenizer(self.path, self.config.vocabulary)

    def _gain(self, name: str, size: int) -> np.ndarray:
        """The gain of a norm; Gemma stores what it adds to 1."""
        gain = self._tensors.read(name, (size,))
        return gain + 1 if self._family.unit_gain else gain

    def _read_layer(self, index: int) -> dict[str, np.ndarray]:
        """One block's f32 arrays by the names that `assembly` lists."""
        c, family, read = self.config, self._family, self._tensors.read
        layer = f"model.layers.{index}."
        attention, feed = layer + "self_attn.", layer + "mlp."
        q_width, kv_width = c.query_heads * c.head_width, c.kv_heads * c.head_width
        widths = {"q": q_width, "k": kv_width, "v": kv_width}
        found = {
            name: read(f"{attention}{name}_proj.weight", (width, c.width))
            for name, width in widths.items()
        }
        found["output"] = read(attention + "o_proj.weight", (c.width, q_width))
        for name in ("gate", "up"):
            found[name] = read(f"{feed}{name}_proj.weight", (c.ffn_width, c.width))
        found["down"] = read(feed + "down_proj.weight", (c.width, c.ffn_width))
        if family.qkv_bias:
            for name, width in widths.items():
                found[name + "_bias"] = read(f"{attention}{name}_proj.bias", (width,))
        if family.output_bias:
            found["output_bias"] = read(attention + "o_proj.bias", (c.width,))
        if family.head_norms:
            found["query_norm"] = self._gain(attention + "q_norm.weight", c.head_width)
            found["key_norm"] = self._gain(attention + "k_norm.weight", c.head_width)
        return found | self._read_norms(layer)

    def _read_norms(self, layer: str) -> dict[str, np.ndarray]:
        """The norms of a block: those with post norms call the feed-forward's own one otherwise."""
        names = {"attention_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
        if self._family.post_norms:
            names |= {
                "attention_post_norm": "post_attention_layernorm",
                "ffn_norm": "pre_feedforward_layernorm",
                "ffn_post_norm": "post_feedforward_layernorm",
            }
        return {
            ours: self._gain(f"{layer}{theirs}.weight", self.config.width)
            for ours, theirs in names.items()
        }

    def read_weights(
        self,
        precision: Precision,
        positions: int,
        progress: Callable[[int, int], None],
        devices: Devices | None = None,
    ) -> Weights:
        """All weights on the device in `precision`; `progress(done, total)` after each layer."""
        c, tensors = self.config, self._tensors
        assembler = Assembler(c, precision, devices or Devices(c))
        table = (c.vocabulary, c.width)
        embedding = tensors.read("model.embed_tokens.weight", table)
        head = None if self._family.tied else tensors.read("lm_head.weight", table)
        norm = self._gain("model.norm.weight", c.width)

        def layers() -> Iterator[dict[str, np.ndarray]]:
            for index in range(c.layers):
                yield self._read_layer(index)

        weights = assembler.weights(
            embedding, layers(), norm, head, positions, progress, self._family.local
        )
        self._refuse_untaken()
        return weights

    def _refuse_untaken(self) -> None:
        """A tensor that nothing reads means a part of the network that would be left out."""
        expected = {"lm_head.weight"} if self._family.tied else set()
        left = [
            name
            for name in self._tensors.untaken()
            if name not in expected and not name.endswith(_NOT_NEEDED)
        ]
        if left:
            raise CheckpointError(
                f"{self.path} has {len(left)} tensors that a {self._family.name} model of "
                f"{self.config.layers} layers does not use, such as {left[0]}; it would be "
                "served wrongly."
            )
