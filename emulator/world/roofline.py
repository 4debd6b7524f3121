"""What one inference engine can do: a roofline over weights, KV cache and prompt operations.

Closed forms only; who asks for how much stands in load.py. The stated efficiencies are those of a
well-tuned engine on real chips (published runs on TPU7x reach 40–65% of either roof).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from emulator.scenario import TierSeed

HBM_EFFICIENCY: Final = 0.6
MXU_EFFICIENCY: Final = 0.4
STEP_OVERHEAD_S: Final = 1.2e-3
COLLECTIVE_S: Final = 0.35e-3
POOL_SHARE: Final = 0.92

# Azure's public chat trace of 2023 (CC-BY 4.0; Patel et al., ISCA 2024): log-normal fits.
PROMPT_MU: Final = 6.63
PROMPT_SIGMA: Final = 0.99
OUTPUT_MU: Final = 5.02
OUTPUT_SIGMA: Final = 0.86


@dataclass(frozen=True, slots=True)
class Engine:
    """One model replica of a tier, with the tier's mean request.

    A decode step over n streams takes `step_base_s + n × step_per_stream_s`; prompts take their
    time out of the same chips. All times in seconds, sizes in bytes, lengths in tokens.
    """

    per_slice: int
    chips: int
    max_batch: int
    prompt_tokens: float
    output_tokens: float
    prefill_s: float
    step_overhead_s: float
    step_base_s: float
    step_per_stream_s: float
    weight_bytes: float
    kv_bytes_per_token: float
    hbm_bytes: float
    hbm_bytes_per_s: float

    @property
    def capacity_rps(self) -> float:
        """Most requests per second that one engine sustains.

        With λ requests/s, λ·prefill of each second goes to prompts and n = λ·L·step(n)/(1 − λ·p)
        streams decode (Little's law). At n = max_batch: λ = B / (L·a + B·(p + L·b)).
        """
        decode_s = self.output_tokens * self.step_base_s
        per_stream_s = self.prefill_s + self.output_tokens * self.step_per_stream_s
        return self.max_batch / (decode_s + self.max_batch * per_stream_s)

    @property
    def kv_pool_bytes(self) -> float:
        """HBM that is left for KV pages and retained prefixes."""
        return POOL_SHARE * self.hbm_bytes - self.weight_bytes


def engine_of(seed: TierSeed) -> Engine:
    """The engine that the tier runs, `per_slice` times on each slice."""
    chips = seed.engine_chips or seed.chips_per_slice
    bandwidth = chips * seed.gen.hbm_bytes_per_s * HBM_EFFICIENCY
    flops = chips * seed.gen.bf16_flops * MXU_EFFICIENCY
    prompt = seed.prompt_scale * math.exp(PROMPT_MU + PROMPT_SIGMA**2 / 2)
    output = seed.output_scale * math.exp(OUTPUT_MU + OUTPUT_SIGMA**2 / 2)
    weights = seed.model.parameters * seed.model.bytes_per_parameter
    overhead = STEP_OVERHEAD_S + COLLECTIVE_S * math.log2(chips)
    return Engine(
        per_slice=max(1, seed.chips_per_slice // chips),
        chips=chips,
        max_batch=seed.max_batch,
        prompt_tokens=prompt,
        output_tokens=output,
        prefill_s=2 * seed.model.active_parameters * prompt / flops,
        step_overhead_s=overhead,
        step_base_s=overhead + weights / bandwidth,
        step_per_stream_s=(prompt + output / 2) * seed.model.kv_bytes_per_token / bandwidth,
        weight_bytes=weights,
        kv_bytes_per_token=seed.model.kv_bytes_per_token,
        hbm_bytes=chips * float(seed.gen.hbm_bytes),
        hbm_bytes_per_s=chips * seed.gen.hbm_bytes_per_s,
    )
