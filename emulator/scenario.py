"""The emulated project as it stands before anybody acts: names, sizes, models, prices' SKUs.

One place that every API folder and the world model draw from, so that a node pool, its nodes, its
time series, its backend and its bill carry the same names. Lifecycles and telemetry live elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from core import tpu

TIER_LABEL: Final = "heartwood-tier"


@dataclass(frozen=True, slots=True)
class Project:
    """Identity of the emulated project."""

    id: str = "heartwood-demo"
    number: str = "482910573316"
    billing_account: str = "01A2B3-C4D5E6-F7A8B9"
    region: str = "us-central1"
    cluster: str = "hw-serving"
    cluster_location: str = "us-central1"
    cluster_version: str = "1.34.1-gke.3084001"
    dataset: str = "billing_export"

    @property
    def export_table(self) -> str:
        """The detailed export's table, as project.dataset.table."""
        account = self.billing_account.replace("-", "_")
        return f"{self.id}.{self.dataset}.gcp_billing_export_resource_v1_{account}"


@dataclass(frozen=True, slots=True)
class Model:
    """What a tier serves; the world's prefill and decode times follow from it."""

    name: str
    parameters: float
    active_parameters: float
    bytes_per_parameter: float
    kv_bytes_per_token: float


@dataclass(frozen=True, slots=True)
class TierSeed:
    """One emulated tier.

    `gke_slices` run as GKE nodes (single-host topologies: `pools` resizable pools that share them
    evenly) or atomic pools (multi-host: one per slice); `vertex_replicas` and `tpu_vms` likewise.
    `share` is the tier's part of the project's request arrivals. `engine_chips` is the size of one
    model replica (0: the whole slice), `max_batch` its concurrent streams; the scales stretch the
    lengths of prompts and answers against those of plain chat.
    """

    name: str
    generation: str
    topology: str
    zone: str
    model: Model
    share: float
    gke_slices: int = 0
    pools: int = 0
    vertex_replicas: int = 0
    tpu_vms: int = 0
    behind_load_balancer: bool = True
    engine_chips: int = 0
    max_batch: int = 256
    prompt_scale: float = 1.0
    output_scale: float = 1.0

    @property
    def gen(self) -> tpu.Generation:
        """The TPU generation."""
        return tpu.generation(self.generation)

    @property
    def chips_per_slice(self) -> int:
        """Chips in one slice."""
        return tpu.chips(self.topology)

    @property
    def hosts_per_slice(self) -> int:
        """Hosts in one slice."""
        return tpu.hosts_per_slice(self.gen, self.topology)

    @property
    def multi_host(self) -> bool:
        """Whether a GKE pool of this tier is one atomic slice."""
        return self.hosts_per_slice > 1

    def pool_names(self) -> dict[str, int]:
        """Initial GKE node pools → nodes in each."""
        if self.multi_host:
            return {f"hw-{self.name}-{i:02d}": self.hosts_per_slice for i in range(self.gke_slices)}
        per_pool = self.gke_slices // self.pools if self.pools else 0
        return {f"hw-{self.name}-{i:02d}": per_pool for i in range(self.pools)}


@dataclass(frozen=True, slots=True)
class Scenario:
    """A named starting state; `project_budget_usd`: a budget a month for all tiers together."""

    name: str
    title: str
    project: Project
    tiers: tuple[TierSeed, ...]
    project_budget_usd: int | None = None

    def tier(self, name: str) -> TierSeed:
        """The tier of that name; KeyError when there is none."""
        for seed in self.tiers:
            if seed.name == name:
                return seed
        raise KeyError(name)


# KV bytes per token = 2 (K and V) × layers × KV heads × head size × 2 bytes, from each model's
# published config.json.
LLAMA_8B: Final = Model("Llama-3.1-8B-Instruct", 8.03e9, 8.03e9, 2.0, 2 * 32 * 8 * 128 * 2)
LLAMA_70B: Final = Model("Llama-3.3-70B-Instruct", 70.6e9, 70.6e9, 2.0, 2 * 80 * 8 * 128 * 2)
QWEN_235B: Final = Model("Qwen3-235B-A22B", 235e9, 22e9, 2.0, 2 * 94 * 4 * 128 * 2)
QWEN_8B: Final = Model("Qwen3-8B", 8.19e9, 8.19e9, 2.0, 2 * 36 * 8 * 128 * 2)

_SMALL: Final = TierSeed(
    "small", "TPU7x", "2x2x1", "us-central1-c", LLAMA_8B, 0.624,
    gke_slices=48, pools=3, vertex_replicas=16,
)  # fmt: skip
_MEDIUM: Final = TierSeed(
    "medium", "TPU7x", "2x2x4", "us-central1-c", LLAMA_70B, 0.37, gke_slices=64
)
_LARGE_OFF: Final = TierSeed(
    "large", "TPU7x", "4x8x8", "us-central1-c", QWEN_235B, 0.0,
    engine_chips=64, max_batch=128, prompt_scale=8.0, output_scale=3.0,
)  # fmt: skip
_LARGE: Final = TierSeed(
    "large", "TPU7x", "4x8x8", "us-central1-c", QWEN_235B, 0.3,
    gke_slices=36, engine_chips=64, max_batch=128, prompt_scale=8.0, output_scale=3.0,
)  # fmt: skip
_DEV: Final = TierSeed(
    "dev", "v6e", "2x4", "us-central1-b", QWEN_8B, 0.006, tpu_vms=1, behind_load_balancer=False
)
_PROJECT: Final = Project()

SCENARIOS: Final = {
    s.name: s
    for s in (
        Scenario("normal", "small, medium and dev run; large is off", _PROJECT,
                 (_SMALL, _MEDIUM, _LARGE_OFF, _DEV)),
        Scenario("full-fleet", "all tiers run, 10,504 chips", _PROJECT,
                 (_SMALL, _MEDIUM, _LARGE, _DEV)),
        Scenario("empty-project", "a project with APIs enabled and nothing in it", _PROJECT, ()),
        Scenario("recipe-budget", "the same with one budget of $10,000 a month for all of it",
                 _PROJECT, (), project_budget_usd=10_000),
    )
}  # fmt: skip
