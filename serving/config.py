"""The shape of a checkpoint.

What does not live here: reading it (`hf_config`, `gguf_checkpoint`), how it is served (`settings`).
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from serving.rope import RopeScaling


@dataclasses.dataclass(frozen=True, slots=True)
class Config:
    """The shape of a checkpoint, and nothing about how it is served.

    None means that the family has no such thing. `rope_scaling` stretches the angles of the layers
    that see everything; layers with a window turn by `local_rope_base` where that is given.
    """

    layers: int
    width: int
    ffn_width: int
    query_heads: int
    kv_heads: int
    head_width: int
    vocabulary: int
    context: int
    rope_base: float
    norm_epsilon: float
    activation: Literal["silu", "gelu_tanh"] = "silu"
    rope_scaling: RopeScaling | None = None
    local_rope_base: float | None = None
    window: int | None = None  # positions that local layers see, their own included
    attention_scale: float | None = None  # instead of 1/sqrt(E)
    attention_softcap: float | None = None
    final_softcap: float | None = None
    embedding_scale: float = 1.0

    @property
    def group(self) -> int:
        """Query heads that share one key/value head."""
        return self.query_heads // self.kv_heads
