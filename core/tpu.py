"""What Google's TPU generations are: rates, memory, legal topologies, hosts, machine types, zones.

Pure data and arithmetic, shared with the emulator and the inference server. No prices (those come
from the billing catalogue) and no API calls.

Sources: Google's generation pages (docs.cloud.google.com/tpu/docs/{tpu7x,v6e,v5p,v5e}), its
regions-and-zones page, and xpk 1.16.0 `core/system_characteristics.py` for topologies and machine
types. Fields that no such page confirms are named in `Generation.unconfirmed`.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

GIB: Final = 1024**3
GB: Final = 10**9
TERA: Final = 10**12


@dataclass(frozen=True, slots=True)
class Generation:
    """One TPU generation; every rate is per chip.

    Attributes:
        name: the field's usual name, for example "TPU7x".
        bf16_flops, fp8_flops, int8_ops: peak operations per second; None where there is no such
            unit or no published figure.
        hbm_bytes: HBM per chip in bytes.
        hbm_bytes_per_s: HBM bandwidth in bytes per second.
        ici_bytes_per_s: bidirectional inter-chip bandwidth in bytes (not bits) per second.
        tensor_cores: TensorCores per chip.
        devices_per_chip: how many devices JAX shows per chip.
        pod_chips: chips in a whole pod.
        max_slice_chips: chips in the largest slice that one job may use.
        dimensions: 2 (torus of v5e, v6e) or 3 (v5p, TPU7x).
        gke_accelerator: value of the node label `cloud.google.com/gke-tpu-accelerator`.
        machine_types: GKE machine type by chips on one VM.
        tpu_api_type: value of the Cloud TPU API's AcceleratorConfig.Type; None where the API
            does not support the generation (TPU7x and later).
        tpu_api_runtime: runtime version for the Cloud TPU API; None likewise.
        zones: zones known to have it.
        zones_complete: whether `zones` is the whole list, so that another zone may be refused.
        unconfirmed: names of fields whose figure comes from no page of Google's.
    """

    name: str
    bf16_flops: float
    fp8_flops: float | None
    int8_ops: float | None
    hbm_bytes: int
    hbm_bytes_per_s: float
    ici_bytes_per_s: float | None
    tensor_cores: int
    devices_per_chip: int
    pod_chips: int
    max_slice_chips: int
    dimensions: int
    gke_accelerator: str
    machine_types: MappingProxyType[int, str]
    tpu_api_type: str | None
    tpu_api_runtime: str | None
    zones: tuple[str, ...]
    zones_complete: bool
    unconfirmed: tuple[str, ...] = ()


TPU7X: Final = Generation(
    name="TPU7x",
    bf16_flops=2307 * TERA,
    fp8_flops=4614 * TERA,
    int8_ops=None,
    hbm_bytes=192 * GIB,
    hbm_bytes_per_s=7380 * GB,
    ici_bytes_per_s=1200 * GB,
    tensor_cores=2,
    devices_per_chip=2,
    pod_chips=9216,
    max_slice_chips=9216,
    dimensions=3,
    gke_accelerator="tpu7x",
    machine_types=MappingProxyType({1: "tpu7x-standard-1t", 4: "tpu7x-standard-4t"}),
    tpu_api_type=None,
    tpu_api_runtime=None,
    zones=("us-central1-c", "us-central1-ai1a"),
    zones_complete=True,
)
V6E: Final = Generation(
    name="v6e",
    bf16_flops=918 * TERA,
    fp8_flops=918 * TERA,
    int8_ops=None,
    hbm_bytes=32 * GIB,
    hbm_bytes_per_s=1638 * GB,
    ici_bytes_per_s=800 * GB,
    tensor_cores=1,
    devices_per_chip=1,
    pod_chips=256,
    max_slice_chips=256,
    dimensions=2,
    gke_accelerator="tpu-v6e-slice",
    machine_types=MappingProxyType(
        {1: "ct6e-standard-1t", 4: "ct6e-standard-4t", 8: "ct6e-standard-8t"}
    ),
    tpu_api_type="V6E",
    tpu_api_runtime="v2-alpha-tpuv6e",
    zones=("us-central1-b", "us-east1-d", "us-east5-a", "us-east5-b", "europe-west4-a"),
    zones_complete=False,
    unconfirmed=("machine_types[8]",),
)
V5P: Final = Generation(
    name="v5p",
    bf16_flops=459 * TERA,
    fp8_flops=459 * TERA,
    int8_ops=None,
    hbm_bytes=95 * GIB,
    hbm_bytes_per_s=2765 * GB,
    ici_bytes_per_s=1200 * GB,
    tensor_cores=2,
    devices_per_chip=1,
    pod_chips=8960,
    max_slice_chips=6144,
    dimensions=3,
    gke_accelerator="tpu-v5p-slice",
    machine_types=MappingProxyType({4: "ct5p-hightpu-4t"}),
    tpu_api_type="V5P",
    tpu_api_runtime="v2-alpha-tpuv5",
    zones=("us-central1-a", "us-east5-a"),
    zones_complete=False,
)
V5E: Final = Generation(
    name="v5e",
    bf16_flops=197 * TERA,
    fp8_flops=None,
    int8_ops=None,
    hbm_bytes=16 * GB,
    hbm_bytes_per_s=819 * GB,
    ici_bytes_per_s=None,
    tensor_cores=1,
    devices_per_chip=1,
    pod_chips=256,
    max_slice_chips=256,
    dimensions=2,
    gke_accelerator="tpu-v5-lite-podslice",
    machine_types=MappingProxyType(
        {1: "ct5lp-hightpu-1t", 4: "ct5lp-hightpu-4t", 8: "ct5lp-hightpu-8t"}
    ),
    tpu_api_type="V5LITE_POD",
    tpu_api_runtime="v2-alpha-tpuv5-lite",
    zones=(),
    zones_complete=False,
    unconfirmed=("bf16_flops", "hbm_bytes", "hbm_bytes_per_s"),
)
GENERATIONS: Final = MappingProxyType({g.name: g for g in (TPU7X, V6E, V5P, V5E)})

_SMALL_3D: Final = ((1, 1, 1), (2, 2, 1), (2, 2, 2), (2, 2, 4), (2, 4, 4))
_ALL_2D: Final = ((1, 1), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16))
_CUBE_CHIPS: Final = 64
_LARGEST_3D: Final = MappingProxyType({"TPU7x": (16, 24, 24), "v5p": (16, 16, 24)})


def generation(name: str) -> Generation:
    """The generation of that name, in any case of letters.

    Raises:
        ValueError: there is no such generation; the message lists those there are.
    """
    for known in GENERATIONS.values():
        if known.name.lower() == name.strip().lower():
            return known
    raise ValueError(f"unknown TPU generation {name!r}; known: {', '.join(GENERATIONS)}")


def parse_topology(text: str) -> tuple[int, ...]:
    """ "4x8x8" → (4, 8, 8).

    Raises:
        ValueError: not two or three positive whole numbers joined by "x".
    """
    parts = text.strip().lower().split("x")
    if len(parts) not in (2, 3) or not all(
        p.isascii() and p.isdigit() and int(p) > 0 for p in parts
    ):
        raise ValueError(f"topology {text!r} is not of the form 2x4 or 4x8x8")
    return tuple(int(p) for p in parts)


def format_topology(dims: tuple[int, ...]) -> str:
    """(4, 8, 8) → "4x8x8"."""
    return "x".join(str(d) for d in dims)


def legal_topologies(gen: Generation) -> tuple[str, ...]:
    """Every topology that one slice of the generation may have, smallest first."""
    if gen.dimensions == 2:
        return tuple(format_topology(dims) for dims in _ALL_2D)
    largest = _LARGEST_3D[gen.name]
    multiples = range(4, max(largest) + 1, 4)
    cubes = [
        dims
        for dims in itertools.combinations_with_replacement(multiples, 3)
        if all(d <= top for d, top in zip(dims, largest, strict=True))
        and math.prod(dims) <= gen.max_slice_chips
    ]
    small = [d for d in _SMALL_3D if math.prod(d) in gen.machine_types or math.prod(d) >= 4]
    return tuple(format_topology(d) for d in sorted([*small, *cubes], key=_by_size))


def _by_size(dims: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    return math.prod(dims), dims


def chips(topology: str) -> int:
    """Chips in a slice of that topology."""
    return math.prod(parse_topology(topology))


def nearest_legal(gen: Generation, topology: str, count: int = 3) -> tuple[str, ...]:
    """Up to `count` legal topologies, nearest in number of chips first (ties: smaller first)."""
    wanted = chips(topology)
    ordered = sorted(legal_topologies(gen), key=lambda t: (abs(chips(t) - wanted), chips(t)))
    return tuple(ordered[:count])


def check_topology(gen: Generation, topology: str) -> None:
    """Pass a legal topology.

    Raises:
        ValueError: it is malformed or not legal; the message names the nearest legal ones.
    """
    if format_topology(parse_topology(topology)) not in legal_topologies(gen):
        near = ", ".join(nearest_legal(gen, topology))
        raise ValueError(f"{gen.name} has no topology {topology}; nearest legal: {near}")


def check_zone(gen: Generation, zone: str) -> None:
    """Pass a zone that has the generation, or of which we cannot tell.

    Raises:
        ValueError: the list of zones is known to be whole and the zone is not in it.
    """
    if gen.zones_complete and zone not in gen.zones:
        raise ValueError(f"{gen.name} is not in zone {zone}; it is in: {', '.join(gen.zones)}")


def chips_per_host(gen: Generation, topology: str) -> int:
    """Chips on each host (VM) of a slice of that topology.

    A slice that fits the largest VM of the generation has one host; a larger one is made of
    4-chip hosts, on every generation.
    """
    total = chips(topology)
    return total if total in gen.machine_types else 4


def hosts_per_slice(gen: Generation, topology: str) -> int:
    """Hosts (VMs) in one slice of that topology."""
    return chips(topology) // chips_per_host(gen, topology)


def is_multi_host(gen: Generation, topology: str) -> bool:
    """Whether a slice spans hosts: then GKE makes its node pool atomic and immutable."""
    return hosts_per_slice(gen, topology) > 1


def machine_type(gen: Generation, topology: str) -> str:
    """GKE machine type of each host of the slice."""
    return gen.machine_types[chips_per_host(gen, topology)]


def roofline_flops(gen: Generation, flops: float, bytes_moved: float) -> float:
    """Upper bound in FLOP/s for work of that many operations and bytes on one chip, in bf16.

    The roofline of Williams, Waterman, Patterson (CACM 2009): min(peak, intensity × bandwidth).
    """
    return min(gen.bf16_flops, gen.hbm_bytes_per_s * flops / bytes_moved)
