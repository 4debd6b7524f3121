"""Writes small random checkpoints: each family in Hugging Face's layout, and a Llama as GGUF."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from gguf import GGUFWriter
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

VOCABULARY = 320
_COMMON: dict[str, Any] = {
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "head_dim": 8,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 1024,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10_000.0,
    "bos_token_id": 256,
    "eos_token_id": [257, 258],
}
_LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
_YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}
# Every family, and between them every variant that the configs of real models have.
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", "rope_scaling": _LLAMA3, "tie_word_embeddings": False},
    "llama-biased": {
        "model_type": "llama",
        "attention_bias": True,
        "tie_word_embeddings": True,
        "rope_scaling": {"type": "linear", "factor": 2.0},
    },
    "mistral": {"model_type": "mistral", "num_key_value_heads": 2, "sliding_window": 9},
    "qwen2": {"model_type": "qwen2", "num_key_value_heads": 2, "tie_word_embeddings": True},
    "qwen2-window": {
        "model_type": "qwen2",
        "num_hidden_layers": 3,
        "use_sliding_window": True,
        "sliding_window": 7,
        "max_window_layers": 2,
        "rope_scaling": _YARN,
    },
    "qwen3": {
        "model_type": "qwen3",
        "num_key_value_heads": 4,
        "head_dim": 16,
        "rope_theta": None,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
    },
    "gemma": {
        "model_type": "gemma",
        "num_key_value_heads": 1,
        "head_dim": 16,
        "hidden_act": "gelu",
    },
    "gemma2": {
        "model_type": "gemma2",
        "num_key_value_heads": 4,
        "hidden_activation": "gelu_pytorch_tanh",
        "sliding_window": 8,
        "query_pre_attn_scalar": 24,
        "attn_logit_softcapping": 2.0,
        "final_logit_softcapping": 3.0,
    },
    "gemma3": {
        "model_type": "gemma3_text",
        "num_key_value_heads": 2,
        "num_hidden_layers": 3,
        "hidden_activation": "gelu_pytorch_tanh",
        "sliding_window": 8,
        "sliding_window_pattern": 3,
        "query_pre_attn_scalar": 16,
        "rope_theta": 1_000_000.0,
        "rope_local_base_freq": 10_000.0,
        "rope_scaling": {"rope_type": "linear", "factor": 8.0},
    },
}


def make_config(name: str) -> dict[str, Any]:
    """The config.json of one variant."""
    return _COMMON | CONFIGS[name]


def is_tied(config: dict[str, Any]) -> bool:
    """Gemma's configs leave the key out and mean yes."""
    return config.get("tie_word_embeddings", config["model_type"].startswith("gemma"))


def tensor_shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names and shapes as Hugging Face's implementation of the family saves them."""
    kind, width, ffn = config["model_type"], config["hidden_size"], config["intermediate_size"]
    q = config["num_attention_heads"] * config["head_dim"]
    kv = config["num_key_value_heads"] * config["head_dim"]
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (VOCABULARY, width),
        "model.norm.weight": (width,),
    }
    if not is_tied(config):
        shapes["lm_head.weight"] = (VOCABULARY, width)
    norms = ["input_layernorm", "post_attention_layernorm"]
    if kind in ("gemma2", "gemma3_text"):
        norms += ["pre_feedforward_layernorm", "post_feedforward_layernorm"]
    for index in range(config["num_hidden_layers"]):
        layer, attention = f"model.layers.{index}.", f"model.layers.{index}.self_attn."
        for name, size in (("q", q), ("k", kv), ("v", kv)):
            shapes[f"{attention}{name}_proj.weight"] = (size, width)
            if kind == "qwen2" or config.get("attention_bias"):
                shapes[f"{attention}{name}_proj.bias"] = (size,)
        shapes[attention + "o_proj.weight"] = (width, q)
        if config.get("attention_bias"):
            shapes[attention + "o_proj.bias"] = (width,)
        if kind in ("qwen3", "gemma3_text"):
            shapes[attention + "q_norm.weight"] = (config["head_dim"],)
            shapes[attention + "k_norm.weight"] = (config["head_dim"],)
        for name in ("gate", "up"):
            shapes[f"{layer}mlp.{name}_proj.weight"] = (ffn, width)
        shapes[layer + "mlp.down_proj.weight"] = (width, ffn)
        shapes |= {f"{layer}{norm}.weight": (width,) for norm in norms}
    return shapes


def make_tensors(config: dict[str, Any], seed: int = 3) -> dict[str, np.ndarray]:
    """Random tensors, large enough that every part of the network shows in the logits."""
    random = np.random.default_rng(seed)
    made = {}
    for name, shape in tensor_shapes(config).items():
        spread = 0.5 if len(shape) == 1 else 1.5 * shape[-1] ** -0.5
        made[name] = random.normal(scale=spread, size=shape).astype(ml_dtypes.bfloat16)
    return made


def write_safetensors(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """One file in the format, with bfloat16 as BF16 and float32 as F32."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, array in tensors.items():
        dtype = "F32" if array.dtype == np.float32 else "BF16"
        place = [offset, offset + array.nbytes]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": place}
        offset += array.nbytes
    text = json.dumps(header).encode()
    data = b"".join(array.tobytes() for array in tensors.values())
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def write_tokenizer(folder: Path) -> None:
    """A byte-level tokenizer of 256 bytes and four special tokens, with a chat template."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(letters)}, merges=[]))
    bpe.add_special_tokens(["<bos>", "<eos>", "<end_of_turn>", "<start_of_turn>"])
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.post_processor = processors.TemplateProcessing("<bos> $A", None, [("<bos>", 256)])
    bpe.save(str(folder / "tokenizer.json"))
    settings = {
        "bos_token": {"content": "<bos>"},
        "eos_token": "<eos>",
        "chat_template": "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ m.role }}\n"
        "{{ m.content }}<end_of_turn>\n{% endfor %}{{ '<start_of_turn>model\n' }}",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def write_checkpoint(folder: Path, name: str, shards: int = 1) -> dict[str, np.ndarray]:
    """A whole folder of one variant; returns its tensors."""
    config = make_config(name)
    tensors = make_tensors(config)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    write_tokenizer(folder)
    if shards == 1:
        write_safetensors(folder / "model.safetensors", tensors)
        return tensors
    where = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = dict(list(tensors.items())[shard::shards])
        write_safetensors(folder / file, part)
        where |= dict.fromkeys(part, file)
    index = {"metadata": {}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return tensors


def write_gguf(path: Path, seed: int) -> None:
    """A random Llama of two layers with a byte-level tokenizer; always of the same size."""
    width, ffn, vocabulary = 32, 48, 96
    random = np.random.default_rng(seed)
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(ffn)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_context_length(256)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["a", "b", "ab", *(f"word{number}" for number in range(3, vocabulary))])
    writer.add_token_merges(["a b"])
    writer.add_token_types([1] * vocabulary)
    writer.add_eos_token_id(0)
    shapes = {"token_embd": (vocabulary, width), "output_norm": (width,)}
    for layer in ("blk.0.", "blk.1."):
        shapes |= {layer + name: (width,) for name in ("attn_norm", "ffn_norm")}
        shapes |= {layer + name: (width, width) for name in ("attn_q", "attn_output")}
        shapes |= {layer + name: (width // 2, width) for name in ("attn_k", "attn_v")}
        shapes |= {layer + name: (ffn, width) for name in ("ffn_gate", "ffn_up")}
        shapes[layer + "ffn_down"] = (width, ffn)
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", random.normal(size=shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
