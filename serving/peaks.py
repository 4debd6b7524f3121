"""What a device can do at most: published peaks of TPUs and GPUs, an upper bound for CPUs.

Pure data and arithmetic, without JAX. A figure above these is a mistake of whoever measured; what
is not known is None and cannot be checked. Sources: `core.tpu` for TPUs; NVIDIA's data sheets of
A100 80 GB, H100 and H200 (SXM, dense, without sparsity) for GPUs.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Literal

from core import tpu

Dtype = Literal["f32", "bf16"]
TERA = 1e12
GIGA = 1e9

# JAX's device_kind, lower case, begins with one of these. The order matters.
_TPUS = (
    ("tpu7x", tpu.TPU7X),
    ("tpu v7x", tpu.TPU7X),
    ("tpu v6 lite", tpu.V6E),
    ("tpu v6e", tpu.V6E),
    ("tpu v5 lite", tpu.V5E),
    ("tpu v5e", tpu.V5E),
    ("tpu v5", tpu.V5P),
)
# f32 without tensor cores, bf16 with them, bytes of memory per second.
_GPUS = {
    "h200": (67 * TERA, 989.5 * TERA, 4800 * GIGA),
    "h100": (67 * TERA, 989.5 * TERA, 3350 * GIGA),
    "a100": (19.5 * TERA, 312 * TERA, 2039 * GIGA),
}
# No processor runs all its cores faster; with it the CPU's figure is a bound, not a peak.
_HIGHEST_CLOCK_HZ = 6e9


@dataclasses.dataclass(frozen=True, slots=True)
class Peak:
    """The most that one JAX device can do per second; None where it is not known."""

    device: str
    published: bool  # False: an upper bound that is reckoned, which no real machine reaches
    f32_flops: float | None
    bf16_flops: float | None
    bytes_per_s: float | None

    def flops(self, dtype: Dtype) -> float | None:
        """Operations per second in that type."""
        return self.f32_flops if dtype == "f32" else self.bf16_flops


def _cpu_peak(kind: str, cpuinfo: str, cores: int) -> Peak:
    """From the instruction sets: two fused multiply-adds per cycle on each of the cores."""
    words = set(cpuinfo.split())
    per_cycle = None
    if "avx512f" in words:
        per_cycle = 64.0
    elif {"avx2", "fma"} <= words:
        per_cycle = 32.0
    if per_cycle is None:
        return Peak(kind, False, None, None, None)
    half = 2048.0 if "amx_bf16" in words else 2 * per_cycle
    if not words & {"amx_bf16", "avx512_bf16", "avx_ne_convert"}:
        half = per_cycle
    clock = cores * _HIGHEST_CLOCK_HZ
    return Peak(kind, False, per_cycle * clock, half * clock, None)


def find_peak(platform: str, kind: str) -> Peak:
    """The peak of a device of JAX, by its platform and `device_kind`."""
    name = kind.lower()
    if platform == "cpu":
        info = Path("/proc/cpuinfo")
        return _cpu_peak(kind, info.read_text() if info.exists() else "", os.cpu_count() or 1)
    for start, generation in _TPUS:
        if platform == "tpu" and name.startswith(start):
            share = generation.devices_per_chip
            flops = generation.bf16_flops / share
            # The matrix unit multiplies bf16; f32 is made of several such passes, so never more.
            return Peak(kind, True, flops, flops, generation.hbm_bytes_per_s / share)
    for part, (f32, bf16, bandwidth) in _GPUS.items():
        if part in name:
            return Peak(kind, True, f32, bf16, bandwidth)
    return Peak(kind, False, None, None, None)
