"""Tokens/s of one slice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core import tpu
from core.capacity import mean_request, slice_capacity
from tests.make import make_loads, make_specs

SPECS = {s.name: s for s in make_specs()}
LOAD = replace(
    make_loads()["small"],
    requests_per_s=100.0,
    prompt_tokens_per_s=90_000.0,
    generation_tokens_per_s=20_000.0,
)


def test_measured_beats_the_roofline() -> None:
    """A measured figure is used as it is."""
    spec = replace(SPECS["small"], measured_tokens_per_s_per_slice=4321.0)
    found = slice_capacity(spec, LOAD)
    assert (found.tokens_per_s, found.source) == (4321.0, "measured")


def test_the_roofline_by_hand() -> None:
    """8B in bf16 on 2x2x1 TPU7x with 256 sequences: HBM-bound, prompts added, checked by hand."""
    found = slice_capacity(SPECS["small"], LOAD)
    step_s = (8.03e9 * 2 + 256 * 131072 * 1000) / (4 * 7380e9)
    prompt_s = 2 * 8.03e9 * 900 / (4 * 2307e12) / 200
    assert found.tokens_per_s == pytest.approx(256 / (step_s + 256 * prompt_s))
    assert found.source == "roofline"
    assert "HBM bandwidth" in found.arithmetic[1]


def test_without_a_limit_the_hbm_is_filled() -> None:
    """No --max-num-seqs: as many sequences as fit, and more tokens/s than with a limit."""
    free = slice_capacity(replace(SPECS["small"], max_sequences=None), LOAD)
    room = 4 * 192 * tpu.GIB * 0.9 - 8.03e9 * 2
    assert f"= {int(room // (131072 * 1000)):,} sequences" in free.arithmetic[0]
    assert (free.tokens_per_s or 0) > (slice_capacity(SPECS["small"], LOAD).tokens_per_s or 0)


def test_servers_on_one_slice_add_up() -> None:
    """Two servers of two chips each are counted twice."""
    half = replace(SPECS["small"], server_chips=2)
    alone = replace(half, topology="1x1x1", server_chips=1)
    assert (slice_capacity(half, LOAD).tokens_per_s or 0) > (
        slice_capacity(alone, LOAD).tokens_per_s or 0
    )
    assert slice_capacity(half, LOAD).arithmetic[-1].startswith("2 × 256")


def test_active_parameters_set_the_compute() -> None:
    """Of a mixture of experts only the active weights compute: fewer of them is never slower."""
    load = replace(LOAD, prompt_tokens_per_s=1000.0, generation_tokens_per_s=200.0)
    sparse = slice_capacity(SPECS["large"], load).tokens_per_s
    dense = slice_capacity(replace(SPECS["large"], model_active_parameters=None), load).tokens_per_s
    assert sparse is not None
    assert dense is not None
    assert dense < sparse


@pytest.mark.parametrize("tier", ["local", "small"])
def test_unknown_is_said(tier: str) -> None:
    """No TPU, no KV size or no load: None with the reason."""
    spec = replace(SPECS[tier], kv_bytes_per_token=None)
    found = slice_capacity(spec, LOAD)
    assert found.tokens_per_s is None
    assert found.source.startswith("unknown: ")
    assert slice_capacity(SPECS["small"], None).tokens_per_s is None


def test_a_model_that_does_not_fit_has_no_capacity() -> None:
    """235B on one v6e slice of 8 chips leaves no room for a sequence."""
    spec = replace(SPECS["dev"], model_parameters=235e9)
    assert "does not fit" in slice_capacity(spec, LOAD).source


def test_context_counts_only_metered_requests() -> None:
    """Tokens come from three quarters of the requests: the mean is over those alone."""
    whole, half = mean_request(LOAD, 1.0), mean_request(LOAD, 0.5)
    assert whole is not None
    assert half is not None
    assert (whole.prompt_tokens, whole.generated_tokens, whole.context_tokens) == (900, 200, 1000)
    assert half.context_tokens == 2000
    assert mean_request(LOAD, None) is None
    assert mean_request(replace(LOAD, generation_tokens_per_s=0.0), 1.0) is None
