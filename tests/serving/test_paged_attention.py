"""Attention over pages: what JAX's kernel computes, and programs that can be lowered for a TPU.

The kernel itself runs on TPUs alone. Whole models over pages are held against float64 in
`test_checkpoints`, on several devices in `test_sharding`.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas.ops.tpu.ragged_paged_attention import ref_ragged_paged_attention

from serving.kv_cache import AnyCache, KVCache, PagedCache, pad_heads
from serving.loading import pick_cache
from serving.paged_attention import PAGE, attend_plainly
from serving.vocabulary import CheckpointError
from tests.serving.tpu_programs import MODELS, LoweredPrograms, make_programs

ROWS, TOKENS, HEADS, GROUP, WIDTH, EACH = 3, 4, 2, 3, 128, 3


@pytest.mark.parametrize(("window", "cap"), [(None, None), (130, 2.0)])
def test_plain_jax_computes_what_the_kernel_does(window: int | None, cap: float | None) -> None:
    """The kernel's own reference gives the same, for rows of any length in any pages."""
    random = np.random.default_rng(1)
    query = random.standard_normal((ROWS * TOKENS, HEADS * GROUP, WIDTH), np.float32)
    pages = random.standard_normal((ROWS * EACH + 2, PAGE, 2 * HEADS, WIDTH), np.float32)
    table = random.permutation(len(pages))[: ROWS * EACH].reshape(ROWS, EACH)
    arguments = (
        jnp.asarray(query),
        jnp.asarray(pages),
        jnp.array([TOKENS, 200, EACH * PAGE], jnp.int32),
        jnp.asarray(table, jnp.int32),
        jnp.arange(ROWS + 1, dtype=jnp.int32) * TOKENS,
        jnp.array([ROWS], jnp.int32),
    )
    options = {"sm_scale": 0.2, "sliding_window": window, "soft_cap": cap}
    found = jax.jit(functools.partial(attend_plainly, **options))(*arguments)
    expected = ref_ragged_paged_attention(*arguments, **options)
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize(("heads", "padded"), [(1, 1), (3, 4), (4, 4), (5, 8), (8, 8), (10, 16)])
def test_heads_are_padded_to_what_the_kernel_takes(heads: int, padded: int) -> None:
    """Key/value heads of any number fill whole tiles of bf16."""
    assert pad_heads(heads) == padded


@pytest.mark.parametrize(
    ("wanted", "backend", "width", "kind"),
    [
        ("auto", "tpu", 128, PagedCache),
        ("auto", "tpu", 256, KVCache),
        ("auto", "cpu", 64, KVCache),
        ("auto", "gpu", 64, KVCache),
        ("spans", "tpu", 64, KVCache),
        ("paged", "cpu", 256, PagedCache),
    ],
)
def test_pages_are_taken_where_their_kernel_runs(
    wanted: str, backend: str, width: int, kind: type[AnyCache]
) -> None:
    """By itself on TPUs alone, for heads that the kernel takes; the flag decides otherwise."""
    assert pick_cache(wanted, backend, width) is kind


def test_heads_too_wide_for_the_kernel_are_refused() -> None:
    """Asking a TPU for pages of wider heads ends the start, with what to do instead."""
    with pytest.raises(CheckpointError, match=r"at most 128 numbers.* 256; use --attention spans"):
        pick_cache("paged", "tpu", 256)


@pytest.mark.parametrize(
    ("name", "dtype"), [("Gemma-2-27B", jnp.bfloat16), ("SmolLM2-135M", jnp.float32)]
)
def test_every_program_can_be_lowered_for_a_tpu(name: str, dtype: type) -> None:
    """Prefill, decode, heads and copies become a TPU's programs; layers call the kernel.

    A model with a window calls it in two ways.
    """
    programs = make_programs(MODELS[name], LoweredPrograms, dtype=dtype)
    programs.compile(lambda *_: None)
    kinds = 1 if MODELS[name].window is None else 2
    told = 'kernel_name = "ragged_paged_attention_kernel"'
    calls = {key: text.count(told) for key, text in programs.lowered.items()}
    assert len(calls) > 10
    assert [calls[key] for key in calls if key[0] == "layers"] == [kinds] * 3
    assert not any(calls[key] for key in calls if key[0] != "layers")
