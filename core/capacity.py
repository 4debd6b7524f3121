"""How many tokens per second one slice of a tier can generate.

Measured where the configuration says so, else a roofline over a saturated continuous-batching
server: every decode step reads all weights and the KV cache of every running sequence, prompts take
their time out of the same chips. It assumes the chips' peak rates, so it is an upper bound that no
server reaches; every use of it says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from core import tpu
from core.records import TierLoad
from core.specs import TierSpec

MEASURED = "measured"
HBM_SHARE = 0.9  # of the HBM that servers give to weights and KV cache (vLLM's default)


@dataclass(frozen=True, slots=True)
class SliceCapacity:
    """Generated tokens/s of one slice at saturation.

    `tokens_per_s` None: cannot be told; `source` says why. `arithmetic` shows the calculation.
    """

    tokens_per_s: float | None
    source: str  # MEASURED, "roofline" or "unknown: …"
    arithmetic: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MeanRequest:
    """The mean request of a tier, in tokens."""

    prompt_tokens: float
    generated_tokens: float

    @property
    def context_tokens(self) -> float:
        """Mean tokens of a running sequence: its prompt and half of what it generates."""
        return self.prompt_tokens + self.generated_tokens / 2


def slice_capacity(
    spec: TierSpec, load: TierLoad | None = None, metered_share: float | None = 1.0
) -> SliceCapacity:
    """Capacity of one slice.

    `load` tells how long requests are; `metered_share` which share of the tier's requests goes to
    servers that report their tokens (Vertex reports none).
    """
    return capacity_for(spec, mean_request(load, metered_share))


def capacity_for(spec: TierSpec, request: MeanRequest | None) -> SliceCapacity:
    """Capacity of one slice for requests of that length; None: their length is not known."""
    measured = spec.measured_tokens_per_s_per_slice
    if measured is not None:
        line = f"{measured:,.0f} generated tokens/s per slice, as measured (configured)"
        return SliceCapacity(measured, MEASURED, (line,))
    if spec.generation is None or not spec.model_parameters:
        return SliceCapacity(None, "unknown: neither measured nor a TPU with a known model", ())
    if not spec.kv_bytes_per_token:
        return SliceCapacity(None, "unknown: neither measured nor is the KV cache size known", ())
    if request is None:
        return SliceCapacity(None, "unknown: no requests yet that tell how long they are", ())
    return _roofline(spec, tpu.generation(spec.generation), spec.kv_bytes_per_token, request)


def mean_request(load: TierLoad | None, metered_share: float | None) -> MeanRequest | None:
    """The mean request now; None: no load, or nothing is generated."""
    if load is None or not load.requests_per_s or not metered_share:
        return None
    if load.prompt_tokens_per_s is None or not load.generation_tokens_per_s:
        return None
    metered = load.requests_per_s * metered_share
    return MeanRequest(load.prompt_tokens_per_s / metered, load.generation_tokens_per_s / metered)


def _roofline(
    spec: TierSpec, gen: tpu.Generation, kv_bytes_per_token: float, request: MeanRequest
) -> SliceCapacity:
    """tokens/s = sequences ÷ (decode step + their prompts' time per generated token) × servers.

    Williams, Waterman, Patterson: Roofline (CACM 2009), applied to one decode step; the prompts'
    operations are added by Little's law.
    """
    chips = spec.server_chips or tpu.chips(spec.topology)
    servers = max(1, tpu.chips(spec.topology) // chips)
    parameters = spec.model_parameters or 0.0
    flops_per_token = 2 * (spec.model_active_parameters or parameters)
    flops_per_s, bytes_per_s = gen.bf16_flops * chips, gen.hbm_bytes_per_s * chips
    weight_bytes = parameters * spec.weight_bytes_per_parameter
    room_bytes = gen.hbm_bytes * chips * HBM_SHARE - weight_bytes
    sequence_bytes = kv_bytes_per_token * request.context_tokens
    fit = int(room_bytes // sequence_bytes)
    sequences = fit if spec.max_sequences is None else min(fit, spec.max_sequences)
    if sequences < 1:
        why = f"unknown: {spec.model} does not fit into {chips} chips with one sequence"
        return SliceCapacity(None, why, ())
    step_bytes = weight_bytes + sequences * sequence_bytes
    hbm_s, compute_s = step_bytes / bytes_per_s, flops_per_token * sequences / flops_per_s
    step_s = max(hbm_s, compute_s)
    prompt_s = flops_per_token * request.prompt_tokens / flops_per_s / request.generated_tokens
    tokens_per_s = servers * sequences / (step_s + sequences * prompt_s)
    limit = "" if spec.max_sequences is None else f", of which {spec.max_sequences:,} may run"
    lines = (
        f"a server of {chips} chips has {room_bytes / 1e9:,.0f} GB for the KV cache"
        f" ({HBM_SHARE:.0%} of HBM − {weight_bytes / 1e9:,.0f} GB weights)"
        f" ÷ {sequence_bytes / 1e6:,.0f} MB per sequence = {fit:,} sequences{limit}",
        f"a decode step reads {step_bytes / 1e9:,.0f} GB at {bytes_per_s / 1e12:,.2f} TB/s in"
        f" {hbm_s * 1e3:,.2f} ms and computes {compute_s * 1e3:,.2f} ms: bound by"
        f" {'HBM bandwidth' if hbm_s >= compute_s else 'compute'}",
        f"prompts of {request.prompt_tokens:,.0f} tokens take {sequences * prompt_s * 1e3:,.2f} ms"
        f" per step ({request.generated_tokens:,.0f} tokens are generated per request)",
        f"{servers} × {sequences:,} sequences ÷ {(step_s + sequences * prompt_s) * 1e3:,.2f} ms"
        f" = {tokens_per_s:,.0f} tokens/s per slice (upper bound)",
    )
    return SliceCapacity(tokens_per_s, "roofline", lines)
