"""What the heartbeat's product costs a device at least, and which claims cannot be."""

from __future__ import annotations

import pytest

from core import roofline, tpu


def test_the_handbooks_warm_figure_is_impossible() -> None:
    """0.0056 ms on v6e is 3.3 times its peak and 30 times its memory: told, with the mistake."""
    (claim,) = [c for c in roofline.CLAIMS if c.ms == 0.0056]
    told = roofline.why_impossible(claim)
    assert told is not None
    assert "3,068 TFLOP/s would be 3.3 times the chip's peak of 918" in told
    assert "48.7 TB/s for operands in f32 30 times" in told
    assert "the clock was stopped when the call came back" in told


def test_the_other_claims_are_possible() -> None:
    """A laptop's and the unwarmed figure are slow, and nothing forbids that."""
    others = [c for c in roofline.CLAIMS if c.ms > 1]
    assert [roofline.why_impossible(c) for c in others] == [None, None]


@pytest.mark.parametrize(
    ("name", "dtype", "least_ms", "bound"),
    [("v6e", "f32", 0.16644, "memory"), ("TPU7x", "bf16", 0.01847, "memory")],
)
def test_memory_bounds_this_product(
    name: str, dtype: roofline.Dtype, least_ms: float, bound: str
) -> None:
    """With 128 rows the weights' way from memory takes longer than their multiplication."""
    chip = tpu.generation(name)
    assert roofline.least_ms(chip, dtype) == pytest.approx(least_ms, rel=1e-3)
    assert roofline.intensity(dtype) < chip.bf16_flops / chip.hbm_bytes_per_s, bound
    roof = roofline.roof_tflops(chip, roofline.intensity(dtype))
    assert roof == pytest.approx(roofline.FLOPS / least_ms / 1e9, rel=1e-3)
