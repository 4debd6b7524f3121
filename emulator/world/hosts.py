"""Hosts and chips by name, with the times at which each was there.

The names come from whoever runs the nodes (`Fleet`); until a fleet is plugged in they follow from
the scenario. What chips do stands in chips.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from emulator.scenario import Scenario, TierSeed
from emulator.world.parts import Part, PartKind

FOREVER = float("inf")


@dataclass(frozen=True, slots=True)
class Host:
    """One VM with chips: `slice_index` counts within the part, `worker` within the slice.

    `born` and `died` are Unix seconds; 0.0 and infinity when it was there before, is there still.
    """

    name: str
    pool: str
    tier: str
    part: str
    slice_index: int
    worker: int
    chips: int
    zone: str
    cluster: str = ""
    cluster_location: str = ""
    pod: str = ""
    machine_type: str = ""
    born: float = 0.0
    died: float = FOREVER


class Fleet(Protocol):
    """Whoever knows the running hosts (the GKE and TPU APIs' state)."""

    def hosts(self) -> Iterable[Host]:
        """Every host that is there now, pools in order, and those lately gone."""
        ...

    @property
    def version(self) -> int:
        """Changes whenever `hosts` would answer otherwise."""
        ...


class ScenarioFleet:
    """The scenario's hosts as it starts, never changed."""

    version = 0

    def __init__(self, scenario: Scenario) -> None:
        self._hosts = tuple(_scenario_hosts(scenario))

    def hosts(self) -> Iterable[Host]:
        """All hosts of GKE pools and TPU VMs (Vertex shows none of its own)."""
        return self._hosts


def _scenario_hosts(scenario: Scenario) -> Iterable[Host]:
    for seed in scenario.tiers:
        index = 0
        for pool, nodes in seed.pool_names().items():
            for number in range(nodes):
                multi = seed.multi_host
                yield Host(
                    name=f"gke-{scenario.project.cluster}-{pool}-{number:04x}", pool=pool,
                    tier=seed.name, part=f"{seed.name}/{PartKind.GKE}",
                    slice_index=index if multi else index + number,
                    worker=number if multi else 0, chips=_chips(seed), zone=seed.zone,
                    cluster=scenario.project.cluster,
                    cluster_location=scenario.project.cluster_location,
                    pod=f"{seed.name}-{index}-{number}" if multi else f"{seed.name}-{index + number}",
                )  # fmt: skip
            index += 1 if seed.multi_host else nodes
        for number in range(seed.tpu_vms):
            for worker in range(seed.hosts_per_slice):
                yield Host(
                    name=f"hw-{seed.name}-{number}-w{worker}", pool=f"hw-{seed.name}-{number}",
                    tier=seed.name, part=f"{seed.name}/{PartKind.TPU_VM}", slice_index=number,
                    worker=worker, chips=_chips(seed), zone=seed.zone,
                )  # fmt: skip


def _chips(seed: TierSeed) -> int:
    return seed.chips_per_slice // seed.hosts_per_slice


def of_part(hosts: Iterable[Host], part: Part) -> list[Host]:
    """The part's hosts, in order of slice and worker."""
    found = [host for host in hosts if host.part == part.key]
    return sorted(found, key=lambda host: (host.slice_index, host.worker))
