"""The handbook's "heartbeat" against the roofline: what devices can do at most, what was claimed.

One product of 128 x 4096 and 4096 x 16384. A device needs at least as long as its peak rate takes
for the operations, and as its memory takes to hand over the operands; the slower of both is its
roof (Williams, Waterman & Patterson 2009). Pure arithmetic; measuring is the inference server's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from core import tpu

Dtype = Literal["f32", "bf16"]
DTYPES: Final[tuple[Dtype, ...]] = ("f32", "bf16")
ROWS, INNER, OUTER = 128, 4096, 16384
FLOPS: Final = 2 * ROWS * INNER * OUTER
_BYTES: Final = {"f32": 4, "bf16": 2}


def bytes_moved(dtype: Dtype) -> int:
    """The least that a product must move: the weights once, the activations in, as many out."""
    return (INNER * OUTER + 2 * ROWS * INNER) * _BYTES[dtype]


def intensity(dtype: Dtype) -> float:
    """Operations per byte moved."""
    return FLOPS / bytes_moved(dtype)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One measurement of a server's device, or why the server refuses it.

    Attributes:
        ms: median of one product; `spread_ms` from the quickest to the slowest piece.
        peak_tflops, peak_gb_per_s: None where nobody knows them.
        peak_published: False: an upper bound that was reckoned, which no real machine reaches.
        refused: the likely mistake behind an impossible figure; None: it is possible.
    """

    device: str
    dtype: Dtype
    iterations: int
    ms: float
    spread_ms: float
    tflops: float
    gb_per_s: float
    peak_tflops: float | None
    peak_gb_per_s: float | None
    peak_published: bool
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A time that the handbook gives for one product in f32; `device` "": no TPU."""

    device: str
    told: str
    ms: float

    @property
    def tflops(self) -> float:
        """The rate that this would be."""
        return FLOPS / self.ms / 1e9

    @property
    def gb_per_s(self) -> float:
        """What memory would have to hand over."""
        return bytes_moved("f32") / self.ms / 1e6


CLAIMS: Final = (
    Claim("", "a laptop's processor, 30 to 50 ms", 40.0),
    Claim("v6e", "v6e with its compilation timed, 3.8308 ms", 3.8308),
    Claim("v6e", "v6e after warming up, 0.0056 ms", 0.0056),
)


def least_ms(generation: tpu.Generation, dtype: Dtype) -> float:
    """The shortest time of one product on one chip.

    The matrix unit multiplies bf16; f32 is made of several such passes, so never quicker.
    """
    compute_s = FLOPS / generation.bf16_flops
    memory_s = bytes_moved(dtype) / generation.hbm_bytes_per_s
    return max(compute_s, memory_s) * 1e3


def roof_tflops(generation: tpu.Generation, flops_per_byte: float) -> float:
    """What a chip reaches at most with that many operations for each byte."""
    return min(generation.bf16_flops, generation.hbm_bytes_per_s * flops_per_byte) / tpu.TERA


def why_impossible(claim: Claim) -> str | None:
    """By how much a claim is above what its chip can do; None where it is possible or unknown."""
    if not claim.device:
        return None
    chip = tpu.generation(claim.device)
    if claim.ms >= least_ms(chip, "f32"):
        return None
    compute = claim.tflops * tpu.TERA / chip.bf16_flops
    memory = claim.gb_per_s * tpu.GB / chip.hbm_bytes_per_s
    peak, rate = chip.bf16_flops / tpu.TERA, claim.gb_per_s / 1e3
    return (
        f"{claim.tflops:,.0f} TFLOP/s would be {compute:.1f} times the chip's peak of {peak:,.0f} "
        f"in bf16, and {rate:.1f} TB/s for operands in f32 {memory:.0f} times its memory's "
        "bandwidth. JAX and PyTorch/XLA return before the chip has computed: the clock was stopped "
        "when the call came back, not when the result was there. "
        f"One product takes at least {least_ms(chip, 'f32'):.3f} ms."
    )
