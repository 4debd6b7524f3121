"""From a Hugging Face config.json to our `Config`: Llama, Mistral, Qwen2, Qwen3, Gemma 1, 2 and 3.

Whatever changes the arithmetic is either understood or refused by name: a model that is served
slightly wrong is worse than one that is not served. What does not live here: the tensors
(`hf_checkpoint`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from serving.config import Config
from serving.rope import RopeScaling
from serving.vocabulary import CheckpointError

FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text")
_SILU, _GELU = ("silu", "swish"), ("gelu_pytorch_tanh", "gelu_new")


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    """What a checkpoint's layers have beyond the shapes in `Config`."""

    name: str
    tied: bool
    qkv_bias: bool
    output_bias: bool
    head_norms: bool  # q and k are normalised head by head
    post_norms: bool  # attention and feed-forward are normalised once more before they are added
    unit_gain: bool  # norms are stored as gain - 1 (Gemma)
    local: tuple[bool, ...] | None  # which layers see a window only


class _Keys:
    """The keys of a config.json; a missing or unfit one is told by its name."""

    def __init__(self, found: Mapping[str, Any], where: str) -> None:
        self._found, self._where = found, where

    def get(self, name: str, default: Any = None) -> Any:
        value = self._found.get(name)
        return default if value is None else value

    def number(self, name: str, default: float | None = None) -> float:
        value = self.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            given = "is missing" if value is None else f"is {value!r}"
            raise CheckpointError(f"{self._where}: {name} {given}; a positive number is needed.")
        return value

    def count(self, name: str, default: int | None = None) -> int:
        value = self.number(name, default)
        if value != int(value):
            raise CheckpointError(f"{self._where}: {name} is {value!r}; a whole number is needed.")
        return int(value)

    def refuse(self, what: str) -> CheckpointError:
        return CheckpointError(f"{self._where}: {what}; that is not served.")


def _scaling(keys: _Keys, found: Mapping[str, Any], context: int) -> RopeScaling | None:
    kind = found.get("rope_type", found.get("type", "default"))
    inner = _Keys(found, "config.json, rope_scaling")
    if kind == "default":
        return None
    if kind == "linear":
        return RopeScaling("linear", inner.number("factor"))
    if kind == "llama3":
        return RopeScaling(
            "llama3",
            inner.number("factor"),
            inner.count("original_max_position_embeddings"),
            inner.number("low_freq_factor"),
            inner.number("high_freq_factor"),
        )
    if kind == "yarn":
        if found.get("mscale") or found.get("mscale_all_dim") or found.get("truncate") is False:
            raise keys.refuse("its yarn has mscale or truncate")
        factor = inner.number("factor")
        return RopeScaling(
            "yarn",
            factor,
            inner.count("original_max_position_embeddings", context),
            inner.number("beta_slow", 1),
            inner.number("beta_fast", 32),
            inner.number("attention_factor", 0.1 * math.log(factor) + 1 if factor > 1 else 1.0),
        )
    raise keys.refuse(f"its rope_type is {kind!r}")


def _rope(keys: _Keys, family: str, context: int) -> dict[str, Any]:
    """The rotary fields of Config; the newer rope_parameters and the older keys are both read."""
    given = keys.get("rope_parameters")
    local = None
    if given and "full_attention" in given:
        base, scaling = given["full_attention"].get("rope_theta"), given["full_attention"]
        local = given.get("sliding_attention", {}).get("rope_theta")
    elif given:
        base, scaling = given.get("rope_theta"), given
    else:
        base, scaling = keys.get("rope_theta"), keys.get("rope_scaling", {})
    if family == "gemma3_text":
        base = base or 1_000_000.0
        local = local or keys.number("rope_local_base_freq", 10_000)
    if (scaling.get("partial_rotary_factor") or keys.get("partial_rotary_factor", 1.0)) != 1.0:
        raise keys.refuse("it rotates a part of each head only")
    return {
        "rope_base": float(base or 10_000.0),
        "rope_scaling": _scaling(keys, scaling, context),
        "local_rope_base": float(local) if local else None,
    }


def _local_layers(keys: _Keys, family: str, layers: int) -> tuple[bool, ...] | None:
    """Which layers see a window only; None when there is no window at all."""
    if keys.get("sliding_window") is None or family in ("llama", "gemma"):
        return None
    if family.startswith("qwen") and not keys.get("use_sliding_window", False):
        return None
    kinds = keys.get("layer_types")
    if kinds is not None:
        unknown = set(kinds) - {"full_attention", "sliding_attention"}
        if unknown or len(kinds) != layers:
            raise keys.refuse(f"its {len(kinds)} layer_types {sorted(set(kinds))}")
        local = tuple(kind == "sliding_attention" for kind in kinds)
    elif family.startswith("qwen"):
        first = keys.get("max_window_layers", 28)
        local = tuple(index >= first for index in range(layers))
    elif family.startswith("gemma"):
        period = 2 if family == "gemma2" else keys.count("sliding_window_pattern", 6)
        local = tuple((index + 1) % period != 0 for index in range(layers))
    else:
        local = (True,) * layers
    return local if any(local) else None


def _activation(keys: _Keys, family: str) -> str:
    if family.startswith("gemma"):
        # The first Gemma's hidden_act says "gelu", but the tanh form is meant: its own release
        # and hidden_activation say so.
        name = keys.get("hidden_activation", "gelu_pytorch_tanh")
    else:
        name = keys.get("hidden_act", "silu")
    if name in _SILU:
        return "silu"
    if name in _GELU:
        return "gelu_tanh"
    raise keys.refuse(f"its activation is {name!r}")


def read_config(found: Mapping[str, Any], where: str) -> tuple[Config, Family]:
    """The shapes and the family of a config.json at `where`; CheckpointError when not served."""
    keys = _Keys(found, where)
    family = keys.get("model_type")
    if family not in FAMILIES:
        raise CheckpointError(
            f"{where}: model_type is {family!r}; served are {', '.join(FAMILIES)}."
        )
    if keys.get("quantization_config"):
        raise keys.refuse("its weights are quantised")
    if keys.get("mlp_bias", False):
        raise keys.refuse("its feed-forward layers have biases")
    gemma = family.startswith("gemma")
    capped = family == "gemma2"
    width, heads = keys.count("hidden_size"), keys.count("num_attention_heads")
    layers, context = keys.count("num_hidden_layers"), keys.count("max_position_embeddings")
    local = _local_layers(keys, family, layers)
    config = Config(
        layers=layers,
        width=width,
        ffn_width=keys.count("intermediate_size"),
        query_heads=heads,
        kv_heads=keys.count("num_key_value_heads", heads),
        head_width=keys.count("head_dim", 256 if gemma else width // heads),
        vocabulary=keys.count("vocab_size"),
        context=context,
        norm_epsilon=float(keys.number("rms_norm_eps", 1e-6)),
        activation=_activation(keys, family),  # type: ignore[arg-type]  # one of the two words
        window=keys.count("sliding_window") if local else None,
        attention_scale=_attention_scale(keys, family),
        attention_softcap=keys.get("attn_logit_softcapping", 50.0) if capped else None,
        final_softcap=keys.get("final_logit_softcapping", 30.0) if capped else None,
        embedding_scale=math.sqrt(width) if gemma else 1.0,
        **_rope(keys, family, context),
    )
    if config.query_heads % config.kv_heads:
        raise keys.refuse(f"{config.query_heads} query heads on {config.kv_heads} key heads")
    biased = bool(keys.get("attention_bias", family == "qwen2"))
    return config, Family(
        name=family,
        tied=bool(keys.get("tie_word_embeddings", gemma)),
        qkv_bias=biased,
        output_bias=biased and family != "qwen2",
        head_norms=family in ("qwen3", "gemma3_text"),
        post_norms=family in ("gemma2", "gemma3_text"),
        unit_gain=gemma,
        local=local,
    )


def _attention_scale(keys: _Keys, family: str) -> float | None:
    if family not in ("gemma2", "gemma3_text"):
        return None
    return keys.number("query_pre_attn_scalar", 256) ** -0.5
