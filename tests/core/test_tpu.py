"""TPU generations, topologies and hosts against the published tables."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import tpu

# generation, BF16 and FP8 TFLOP/s, HBM GiB and GB/s, ICI GB/s, cores, pod chips, TPU API type
PUBLISHED = [
    ("TPU7x", 2307, 4614, 192, 7380, 1200, 2, 9216, None),
    ("v6e", 918, 918, 32, 1638, 800, 1, 256, "V6E"),
    ("v5p", 459, 459, 95, 2765, 1200, 2, 8960, "V5P"),
]


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: row[0])
def test_rates_are_the_published_ones(row: tuple) -> None:
    """Per-chip figures equal Google's table for the generation, each in its own unit."""
    name, bf16, fp8, hbm_gib, hbm_gb_s, ici_gb_s, cores, pod, api_type = row
    gen = tpu.generation(name)
    assert gen.bf16_flops == bf16 * 1e12
    assert gen.fp8_flops == fp8 * 1e12
    assert gen.hbm_bytes == hbm_gib * 2**30
    assert gen.hbm_bytes_per_s == hbm_gb_s * 1e9
    assert gen.ici_bytes_per_s == ici_gb_s * 1e9
    assert (gen.tensor_cores, gen.pod_chips, gen.tpu_api_type) == (cores, pod, api_type)


@pytest.mark.parametrize(
    ("gen", "topology", "chips", "hosts", "machine"),
    [
        ("TPU7x", "1x1x1", 1, 1, "tpu7x-standard-1t"),
        ("TPU7x", "2x2x1", 4, 1, "tpu7x-standard-4t"),
        ("TPU7x", "2x2x4", 16, 4, "tpu7x-standard-4t"),
        ("TPU7x", "4x8x8", 256, 64, "tpu7x-standard-4t"),
        ("TPU7x", "8x8x16", 1024, 256, "tpu7x-standard-4t"),
        ("TPU7x", "16x24x24", 9216, 2304, "tpu7x-standard-4t"),
        ("v6e", "2x4", 8, 1, "ct6e-standard-8t"),
        ("v6e", "4x4", 16, 4, "ct6e-standard-4t"),
        ("v5p", "2x2x1", 4, 1, "ct5p-hightpu-4t"),
    ],
)
def test_slices_have_their_hosts(
    gen: str, topology: str, chips: int, hosts: int, machine: str
) -> None:
    """Chips, hosts and machine type of a slice follow from its topology."""
    generation = tpu.generation(gen)
    tpu.check_topology(generation, topology)
    assert tpu.chips(topology) == chips
    assert tpu.hosts_per_slice(generation, topology) == hosts
    assert tpu.machine_type(generation, topology) == machine


@pytest.mark.parametrize(
    ("topology", "near"), [("2x2x3", "2x2x2"), ("4x8x7", "4x4x12"), ("3x3x3", "2x4x4")]
)
def test_an_illegal_topology_names_the_nearest_legal_ones(topology: str, near: str) -> None:
    """The refusal carries what would be accepted."""
    with pytest.raises(ValueError, match="nearest legal") as refused:
        tpu.check_topology(tpu.TPU7X, topology)
    assert near in str(refused.value)


def test_order_of_dimensions_matters() -> None:
    """Google writes dimensions in ascending order; 8x8x4 is refused and 4x8x8 offered."""
    with pytest.raises(ValueError, match="4x8x8"):
        tpu.check_topology(tpu.TPU7X, "8x8x4")


@pytest.mark.parametrize("text", ["", "x", "4x", "0x2", "-1x2", "2x2x2x2", "axb", "４x４", "2.0x2"])
def test_malformed_topologies_are_refused(text: str) -> None:
    """Nothing but whole positive numbers joined by x is a topology."""
    with pytest.raises(ValueError, match="not of the form"):
        tpu.parse_topology(text)


@given(st.sampled_from(sorted(tpu.GENERATIONS)).map(tpu.generation), st.data())
def test_every_legal_topology_divides_into_whole_hosts(
    gen: tpu.Generation, data: st.DataObject
) -> None:
    """hosts × chips per host = chips, none exceeds the largest slice, and each stays legal."""
    topology = data.draw(st.sampled_from(tpu.legal_topologies(gen)))
    assert tpu.hosts_per_slice(gen, topology) * tpu.chips_per_host(gen, topology) == tpu.chips(
        topology
    )
    assert tpu.chips(topology) <= gen.max_slice_chips
    assert tpu.format_topology(tpu.parse_topology(topology)) == topology
    assert tpu.machine_type(gen, topology) in gen.machine_types.values()


@given(st.lists(st.integers(1, 40), min_size=3, max_size=3))
def test_nearest_legal_is_legal_and_as_near_as_any(dims: list[int]) -> None:
    """The first suggestion is never farther in chips than any other legal topology."""
    topology = tpu.format_topology(tuple(dims))
    nearest = tpu.nearest_legal(tpu.TPU7X, topology)[0]
    distances = [abs(tpu.chips(t) - math.prod(dims)) for t in tpu.legal_topologies(tpu.TPU7X)]
    assert abs(tpu.chips(nearest) - math.prod(dims)) == min(distances)


def test_zones() -> None:
    """A zone is refused only where the list of zones is known to be whole."""
    tpu.check_zone(tpu.TPU7X, "us-central1-c")
    with pytest.raises(ValueError, match="us-central1-c"):
        tpu.check_zone(tpu.TPU7X, "us-central1-a")
    tpu.check_zone(tpu.V6E, "asia-northeast1-b")


def test_roofline_bounds() -> None:
    """Low intensity is bound by HBM, high intensity by the peak."""
    assert tpu.roofline_flops(tpu.V6E, 1.0, 1.0) == pytest.approx(1638e9)
    assert tpu.roofline_flops(tpu.V6E, 1e9, 1.0) == pytest.approx(918e12)


def test_unknown_generation_lists_the_known() -> None:
    """The error says what is allowed."""
    with pytest.raises(ValueError, match="TPU7x, v6e, v5p, v5e"):
        tpu.generation("v7")
