"""Hugging Face folders: every family's arithmetic, and what is refused with which words."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from serving import kv_cache, model
from serving.checkpoint_path import find_model, name_model
from serving.hf_checkpoint import HfCheckpoint
from serving.vocabulary import CheckpointError
from tests.serving.numpy_families import NumpyFamily
from tests.serving.small_checkpoints import (
    CONFIGS,
    make_config,
    make_tensors,
    write_checkpoint,
    write_safetensors,
)

TOKENS = [int(token) for token in np.random.default_rng(5).integers(0, 320, 45)]
SLOTS, LENGTH = 3, 256
# What attention itself differs in: windows in all layers and in some, caps, few heads and one.
PAGED = ("mistral", "qwen3", "gemma", "gemma2", "gemma3")


def ignore_progress(_done: int, _total: int) -> None:
    """Loading reports; these tests do not listen."""


def run_in_chunks(
    checkpoint: HfCheckpoint,
    precision: model.Precision,
    kind: type[kv_cache.AnyCache] = kv_cache.KVCache,
) -> dict[int, np.ndarray]:
    """Logits by position: a padded prefill of 20, one of 20 more, then single steps beside it."""
    config = checkpoint.config
    weights = checkpoint.read_weights(precision, LENGTH, ignore_progress)
    dtype = jnp.dtype(jnp.bfloat16 if precision == "bf16" else jnp.float32)
    specs = kv_cache.cache_specs(config, config.layers, SLOTS, LENGTH, dtype, kind)
    cache = kv_cache.make_cache(specs)
    forward = jax.jit(functools.partial(model.forward, config), donate_argnums=1)
    found = {}
    for slot, start in ((2, 0), (2, 20), (0, 0)):
        padded = np.zeros((1, 24), np.int32)
        padded[0, :20] = TOKENS[start : start + 20]
        place = [np.array([value], np.int32) for value in (slot, start, 19)]
        logits, cache = forward(weights, cache, padded, *place)
        found[start + 19] = np.asarray(logits)[0]
    for step in range(5):
        at = np.array([40 + step, 20 + step], np.int32)
        newest = np.array(TOKENS, np.int32)[at][:, None]
        slots = np.array([2, 0], np.int32)
        logits, cache = forward(weights, cache, newest, slots, at, np.zeros(2, np.int32))
        found[40 + step], found[20 + step] = np.asarray(logits)
    return found


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((name, kv_cache.KVCache) for name in CONFIGS),
        *((name, kv_cache.PagedCache) for name in PAGED),
    ],
)
def test_family_agrees_with_float64(
    tmp_path: Path, name: str, kind: type[kv_cache.AnyCache]
) -> None:
    """Chunks and steps in f32 give the reference's logits, whatever the family's variants.

    Also where keys and values lie in pages, padded for the TPU's kernel.
    """
    tensors = write_checkpoint(tmp_path, name, shards=3)
    expected = NumpyFamily(make_config(name), tensors).logits(TOKENS)
    found = run_in_chunks(HfCheckpoint(tmp_path), "f32", kind)
    assert len(found) == 12
    for position, logits in found.items():
        np.testing.assert_allclose(logits, expected[position], atol=2e-4, rtol=0)


@pytest.mark.parametrize(
    ("precision", "kind"),
    [
        ("bf16", kv_cache.KVCache),
        ("bf16", kv_cache.PagedCache),
        ("w8a8", kv_cache.KVCache),
    ],
)
def test_smaller_precisions_stay_close(
    tmp_path: Path, precision: model.Precision, kind: type[kv_cache.AnyCache]
) -> None:
    """A whole family's path in bf16 and W8A8 keeps its logits' direction (cosine above 0.99)."""
    tensors = write_checkpoint(tmp_path, "qwen2")
    expected = NumpyFamily(make_config("qwen2"), tensors).logits(TOKENS)
    for position, logits in run_in_chunks(HfCheckpoint(tmp_path), precision, kind).items():
        sizes = np.linalg.norm(logits) * np.linalg.norm(expected[position])
        assert logits @ expected[position] / sizes > 0.99


@pytest.mark.parametrize(
    ("key", "part"),
    [
        ("rope_scaling", "llama"),
        ("sliding_window", "mistral"),
        ("attn_logit_softcapping", "gemma2"),
        ("rope_local_base_freq", "gemma3"),
    ],
)
def test_reference_notices_each_variant(key: str, part: str) -> None:
    """The comparison has teeth: without a variant the reference's own logits move visibly."""
    config = make_config(part)
    tensors = make_tensors(config)
    whole = NumpyFamily(config, tensors).logits(TOKENS)
    plain: dict[str, Any] = {
        "rope_scaling": None,
        "sliding_window": 10_000,
        "attn_logit_softcapping": 1e9,
    }
    reference = NumpyFamily(config | {key: plain.get(key)}, tensors)
    if key == "rope_local_base_freq":
        reference._sees_window = lambda layer: False  # type: ignore[method-assign]
    assert np.abs(reference.logits(TOKENS) - whole).max() > 1e-2


def test_tokenizer_of_a_folder(tmp_path: Path) -> None:
    """BOS as tokenizer.json puts it, every end token, and the folder's chat template."""
    write_checkpoint(tmp_path / "Small-Qwen", "qwen2")
    assert name_model(find_model(tmp_path / "Small-Qwen")) == "Small-Qwen"
    tokenizer = HfCheckpoint(tmp_path / "Small-Qwen").read_tokenizer()
    assert tokenizer.encode("ab")[0] == 256
    assert tokenizer.eos_tokens == {257, 258}
    assert tokenizer.decode(tokenizer.encode("Grüße 日本")) == "Grüße 日本"
    assert tokenizer.render_chat([{"role": "user", "content": "Hi"}]) == (
        "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n"
    )


def load_all(folder: Path) -> None:
    """Everything that starting a server reads."""
    checkpoint = HfCheckpoint(folder)
    checkpoint.read_tokenizer()
    checkpoint.read_weights("f32", LENGTH, ignore_progress)


def _break_shape(folder: Path) -> None:
    tensors = make_tensors(make_config("llama"))
    name = "model.layers.1.mlp.down_proj.weight"
    write_safetensors(folder / "model.safetensors", tensors | {name: tensors[name].T.copy()})


def _break_name(folder: Path) -> None:
    tensors = make_tensors(make_config("llama"))
    tensors.pop("lm_head.weight")
    write_safetensors(folder / "model.safetensors", tensors)


def _break_extra(folder: Path) -> None:
    tensors = make_tensors(make_config("llama"))
    bias = {"model.layers.0.self_attn.q_proj.bias": np.zeros(64, np.float32)}
    write_safetensors(folder / "model.safetensors", tensors | bias)


def _break_size(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def _break_header(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:700])


def _break_index(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    where = {"model.norm.weight": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))


def _set(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (
            _break_shape,
            r"layers\.1\.mlp\.down_proj\.weight has shape \(80, 48\), expected \(48, 80",
        ),
        (_break_name, r"lacks the tensor lm_head\.weight, expected \(320, 48\)"),
        (
            _break_extra,
            r"1 tensors .* does not use, such as model\.layers\.0\.self_attn\.q_proj\.b",
        ),
        (_break_size, r"is truncated: .* needs the bytes \d+ to \d+, the file has \d+"),
        (_break_header, r"header of \d+ bytes does not fit into 700 bytes"),
        (_break_index, r"lacks model-00002-of-00002\.safetensors, which holds model\.norm\.weight"),
        (lambda folder: (folder / "tokenizer.json").unlink(), r"no tokenizer\.json in"),
        (lambda folder: _set(folder, model_type="mamba"), r"model_type is 'mamba'; served are"),
        (lambda folder: _set(folder, vocab_size=100), r"vocab_size is 100"),
        (lambda folder: _set(folder, hidden_size="wide"), r"hidden_size is 'wide'; a positive"),
        (lambda folder: _set(folder, rope_scaling={"type": "su"}), r"rope_type is 'su'; that is"),
        (lambda folder: _set(folder, quantization_config={"bits": 4}), r"weights are quantised"),
    ],
)
def test_damage_is_told(tmp_path: Path, damage: Any, words: str) -> None:
    """A wrong or truncated checkpoint is refused with the tensor or key, expected and found."""
    write_checkpoint(tmp_path, "llama")
    damage(tmp_path)
    with pytest.raises(CheckpointError, match=words):
        load_all(tmp_path)


def test_folder_without_config_is_told(tmp_path: Path) -> None:
    """A folder that is no checkpoint is refused before anything is loaded."""
    with pytest.raises(CheckpointError, match=r"folder without config\.json"):
        find_model(tmp_path)
