"""What a tier is, as configured: its parts, where they run, its objectives and its budget.

A tier is a *selector*: names and labels by which its resources are recognised in any project.
Sizes are data. The file format and its validation live in `control/settings.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

TIER_LABEL = "heartwood-tier"  # on GKE nodes, TPU VMs, endpoints, budgets and billing rows


class PartKind(StrEnum):
    """How a part of a tier runs, which decides the API that shows and changes it."""

    GKE_SINGLE_HOST = "gke_single_host"  # one node = one slice; pools resize
    GKE_MULTI_HOST = "gke_multi_host"  # one atomic pool = one slice
    VERTEX = "vertex"  # one replica = one slice, on Vertex's own nodes
    TPU_VM = "tpu_vm"  # one Cloud TPU API node = one slice
    LOCAL = "local"  # the JAX server on this machine


@dataclass(frozen=True, slots=True)
class PartSpec:
    """One homogeneous part of a tier.

    Attributes:
        kind: decides the API.
        slices: how many slices the tier is meant to have here (the running number is observed).
        name_prefix: of node pools, TPU nodes or the Vertex endpoint's display name.
        cluster, cluster_location: of a GKE part.
        location: zone of the chips (GKE, TPU API) or region of the Vertex endpoint.
    """

    kind: PartKind
    slices: int
    name_prefix: str = ""
    cluster: str = ""
    cluster_location: str = ""
    location: str = ""


@dataclass(frozen=True, slots=True)
class Objectives:
    """Service level objectives; None: none set for that signal.

    `availability_ratio` is the share of requests without a server error, over `window_days`;
    the latency objectives are thresholds that the 95th percentile stays under.
    """

    availability_ratio: float | None = None
    ttft_p95_ms: float | None = None
    latency_p95_ms: float | None = None
    window_days: int = 28


@dataclass(frozen=True, slots=True)
class TierSpec:
    """One tier as configured.

    Attributes:
        name: unique, lower case, as in labels and in the Kubernetes namespace.
        title: what people call it.
        generation: name in `core.tpu.GENERATIONS`; None for `local`.
        topology: of one slice; "" for `local`.
        zone: of the chips; "" for `local`.
        parts: where it runs.
        namespace: Kubernetes namespace and Prometheus `namespace` label of its servers.
        backend_service: the load balancer's backend service; "" when it has none.
        endpoint_url: base URL of an OpenAI-compatible server to try prompts on; "" when none.
        monthly_budget_usd: None: no budget.
        usd_per_hour: the user's own price for hardware that no catalogue prices; None: not priced.
        measured_tokens_per_s_per_slice: generation tokens/s that one slice was measured to reach
            at saturation; None: use the roofline.
        model: name of the model that it serves.
        model_parameters: number of weights; model_active_parameters: used per token (differs for
            mixture-of-experts); weight_bytes_per_parameter: 2 for bf16, 1 for fp8.
        kv_bytes_per_token: KV cache bytes of one token: 2 × layers × KV heads × head size × bytes
            per value, from the model's config.json; None: no roofline of the tier's capacity.
        server_chips: chips that one model server spans (its tensor parallelism); None: the slice.
        max_sequences: most sequences that one server runs at once (vLLM's --max-num-seqs); None:
            as many as the HBM holds.
    """

    name: str
    title: str
    parts: tuple[PartSpec, ...]
    generation: str | None = None
    topology: str = ""
    zone: str = ""
    namespace: str = ""
    backend_service: str = ""
    endpoint_url: str = ""
    objectives: Objectives = Objectives()
    monthly_budget_usd: float | None = None
    usd_per_hour: float | None = None
    measured_tokens_per_s_per_slice: float | None = None
    model: str = ""
    model_parameters: float | None = None
    model_active_parameters: float | None = None
    weight_bytes_per_parameter: float = 2.0
    kv_bytes_per_token: float | None = None
    server_chips: int | None = None
    max_sequences: int | None = None
    description: str = ""
    production: bool = True

    @property
    def slices(self) -> int:
        """Slices that the tier is meant to have, over all parts."""
        return sum(part.slices for part in self.parts)

    @property
    def is_local(self) -> bool:
        """Whether it is served by this machine."""
        return all(part.kind is PartKind.LOCAL for part in self.parts)
