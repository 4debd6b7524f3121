"""How many tokens per second one slice of a tier can generate.

Measured where the configuration says so, else a roofline: decode reads all weights and the KV cache
of every running sequence once per step, so with the HBM full of sequences it is bound by HBM
bandwidth (or by compute, whichever is less). The roofline is an upper bound that no server
reaches; every use of it says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from core import tpu
from core.records import TierLoad
from core.specs import TierSpec

HBM_SHARE = 0.9  # of the HBM that servers give to weights and KV cache (vLLM's default)


@dataclass(frozen=True, slots=True)
class SliceCapacity:
    """Generated tokens/s of one slice at saturation.

    `tokens_per_s` None: cannot be told; `source` says why. `arithmetic` shows the calculation.
    """

    tokens_per_s: float | None
    source: str  # "measured", "roofline" or "unknown: …"
    arithmetic: tuple[str, ...]


def slice_capacity(
    spec: TierSpec, load: TierLoad | None = None, metered_share: float | None = 1.0
) -> SliceCapacity:
    """Capacity of one slice.

    `load` tells how long sequences are (for the KV cache); `metered_share` which share of the
    tier's requests goes to servers that report their tokens (Vertex reports none).
    """
    measured = spec.measured_tokens_per_s_per_slice
    if measured is not None:
        line = f"{measured:,.0f} generated tokens/s per slice, as measured (configured)"
        return SliceCapacity(measured, "measured", (line,))
    if spec.generation is None or not spec.model_parameters:
        return SliceCapacity(None, "unknown: neither measured nor a TPU with a known model", ())
    if not spec.kv_bytes_per_token:
        return SliceCapacity(None, "unknown: neither measured nor is the KV cache size known", ())
    context = mean_context_tokens(load, metered_share)
    if context is None:
        return SliceCapacity(None, "unknown: no requests yet that tell how long sequences are", ())
    return _roofline(spec, tpu.generation(spec.generation), spec.kv_bytes_per_token, context)


def mean_context_tokens(load: TierLoad | None, metered_share: float | None) -> float | None:
    """Mean tokens of a running sequence: prompt and half of what it generates; None: no load."""
    if load is None or not load.requests_per_s or not metered_share:
        return None
    if load.prompt_tokens_per_s is None or load.generation_tokens_per_s is None:
        return None
    tokens = load.prompt_tokens_per_s + load.generation_tokens_per_s / 2
    return tokens / (load.requests_per_s * metered_share)


def _roofline(
    spec: TierSpec, gen: tpu.Generation, kv_bytes_per_token: float, context: float
) -> SliceCapacity:
    """tokens/s = sequences ÷ time of a step, the step bound by HBM or by compute.

    Williams, Waterman, Patterson: Roofline (CACM 2009), applied to one decode step.
    """
    chips = tpu.chips(spec.topology)
    parameters = spec.model_parameters or 0.0
    active = spec.model_active_parameters or parameters
    weight_bytes = parameters * spec.weight_bytes_per_parameter
    room_bytes = gen.hbm_bytes * chips * HBM_SHARE - weight_bytes
    sequences = int(room_bytes // (kv_bytes_per_token * context))
    if sequences < 1:
        why = f"unknown: {spec.model} does not fit into a {spec.topology} slice with one sequence"
        return SliceCapacity(None, why, ())
    step_bytes = weight_bytes + sequences * kv_bytes_per_token * context
    hbm_s = step_bytes / (gen.hbm_bytes_per_s * chips)
    compute_s = 2 * active * sequences / (gen.bf16_flops * chips)
    tokens_per_s = sequences / max(hbm_s, compute_s)
    bound = "HBM bandwidth" if hbm_s >= compute_s else "compute (bf16)"
    lines = (
        f"{chips} chips × {gen.hbm_bytes / tpu.GIB:,.0f} GiB × {HBM_SHARE:.0%}"
        f" − {weight_bytes / 1e9:,.0f} GB weights = {room_bytes / 1e9:,.0f} GB for the KV cache",
        f"÷ ({kv_bytes_per_token:,.0f} bytes/token × {context:,.0f} tokens)"
        f" = {sequences:,} sequences",
        f"a step reads {step_bytes / 1e9:,.0f} GB at {gen.hbm_bytes_per_s * chips / 1e12:,.2f} TB/s"
        f" = {hbm_s * 1e3:,.1f} ms; compute needs {compute_s * 1e3:,.1f} ms; bound by {bound}",
        f"{sequences:,} sequences ÷ {max(hbm_s, compute_s) * 1e3:,.1f} ms"
        f" = {tokens_per_s:,.0f} tokens/s per slice (upper bound)",
    )
    return SliceCapacity(tokens_per_s, "roofline", lines)
