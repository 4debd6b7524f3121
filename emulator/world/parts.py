"""The parts of a tier: one homogeneous fleet each (GKE, Vertex, TPU VMs) with its own queue."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from emulator.scenario import Scenario, TierSeed


class PartKind(StrEnum):
    """Which API runs the part's slices."""

    GKE = "gke"
    VERTEX = "vertex"
    TPU_VM = "tpu_vm"


@dataclass(frozen=True, slots=True)
class Part:
    """One part: `slices` as the scenario starts it; `share` of the project's arrivals."""

    seed: TierSeed
    kind: PartKind
    slices: int
    share: float

    @property
    def tier(self) -> str:
        """Name of its tier."""
        return self.seed.name

    @property
    def key(self) -> str:
        """Unique name, e.g. "small/gke"."""
        return f"{self.seed.name}/{self.kind}"

    @property
    def chips_per_slice(self) -> int:
        """Chips in each of its slices."""
        return self.seed.chips_per_slice


def parts_of(scenario: Scenario) -> tuple[Part, ...]:
    """All parts, in the tiers' order.

    A tier's arrivals are split between its parts by their sizes at the start and stay so: the
    client's split does not follow a scaling action, so that one changes its own part's load alone.
    A tier without any slice keeps its GKE part, which somebody may fill later.
    """
    found: list[Part] = []
    for seed in scenario.tiers:
        sizes = {
            PartKind.GKE: seed.gke_slices,
            PartKind.VERTEX: seed.vertex_replicas,
            PartKind.TPU_VM: seed.tpu_vms,
        }
        total = sum(sizes.values())
        if not total:
            found.append(Part(seed, PartKind.GKE, 0, seed.share))
        found.extend(
            Part(seed, kind, size, seed.share * size / total)
            for kind, size in sizes.items()
            if size
        )
    return tuple(found)
