"""The emulated project as it stands before anybody acts: names, sizes, models; and its story.

One place that every API folder and the world model draw from, so that a node pool, its nodes, its
time series, its backend and its bill carry the same names. The fleets and stories themselves are
files (emulator/scenarios/). Lifecycles and telemetry live elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from core import tpu
from emulator.scenarios.files import ScenarioFile, read_files
from emulator.story import Story

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
    `vertex_most` is how far Vertex scales the replicas out (0: not at all); `spot`: GKE's nodes
    may be taken away at any time. `share` is the tier's part of the project's request arrivals.
    `engine_chips` is the size of one model replica (0: the whole slice), `max_batch` its concurrent
    streams; the scales stretch the lengths of prompts and answers against those of plain chat.
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
    vertex_most: int = 0
    tpu_vms: int = 0
    spot: bool = False
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
    """A named starting state, and what happens to it.

    `project_budget_usd`: a budget a month for all tiers together; `story` None: nothing beside the
    seldom incidents that every fleet has.
    """

    name: str
    title: str
    project: Project
    tiers: tuple[TierSeed, ...]
    project_budget_usd: int | None = None
    story: Story | None = None

    def tier(self, name: str) -> TierSeed:
        """The tier of that name; KeyError when there is none."""
        for seed in self.tiers:
            if seed.name == name:
                return seed
        raise KeyError(name)


# KV bytes per token = 2 (K and V) × layers × KV heads × head size × 2 bytes, from each model's
# published config.json.
MODELS: Final = {
    model.name: model
    for model in (
        Model("Llama-3.1-8B-Instruct", 8.03e9, 8.03e9, 2.0, 2 * 32 * 8 * 128 * 2),
        Model("Llama-3.3-70B-Instruct", 70.6e9, 70.6e9, 2.0, 2 * 80 * 8 * 128 * 2),
        Model("Qwen3-235B-A22B", 235e9, 22e9, 2.0, 2 * 94 * 4 * 128 * 2),
        Model("Qwen3-8B", 8.19e9, 8.19e9, 2.0, 2 * 36 * 8 * 128 * 2),
    )
}


class Scenarios(Mapping[str, Scenario]):
    """All scenarios by name, read from their files when first asked for.

    Raises:
        ScenarioError: from whichever question comes first, when a file cannot be taken.
    """

    def __getitem__(self, name: str) -> Scenario:
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    @cached_property
    def _all(self) -> dict[str, Scenario]:
        return {name: _scenario(name, file) for name, file in read_files(list(MODELS)).items()}


def _scenario(name: str, file: ScenarioFile) -> Scenario:
    seeds = (TierSeed(**{**tier.model_dump(), "model": MODELS[tier.model]}) for tier in file.tiers)
    return Scenario(name, file.title, Project(), tuple(seeds), file.project_budget_usd, file.story)


SCENARIOS: Final = Scenarios()
