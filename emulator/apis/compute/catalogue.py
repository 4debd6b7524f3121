"""What Google offers any project: zones, regions, machine and accelerator types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from core import tpu
from emulator.machines import GENERAL, SHARED_CORE_MILLICPU, SIZES
from emulator.scenario import Project

# Compute's own names of the families (the quota dimension tpu_family has them in capitals).
_FAMILY: Final = {"TPU7x": "tpu7x", "v6e": "ct6e", "v5p": "ct5p", "v5e": "ct5lp"}
_ZONES: Final = (
    "us-central1-a", "us-central1-b", "us-central1-c", "us-central1-f", "us-central1-ai1a",
    "us-east1-d", "us-east5-a", "us-east5-b", "us-east5-c", "europe-west4-a",
)  # fmt: skip


def region_of(zone: str) -> str:
    """The zone's region."""
    return zone.rsplit("-", 1)[0]


def resources(project: Project) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(collection, scope, body) of everything."""
    base = f"https://www.googleapis.com/compute/v1/projects/{project.id}"
    for region in dict.fromkeys(region_of(z) for z in _ZONES):
        zones = [f"{base}/zones/{z}" for z in _ZONES if region_of(z) == region]
        quotas = [{"metric": "CPUS", "limit": 2000.0, "usage": 0.0}]
        yield (
            "regions", "global",
            {"name": region, "description": region, "status": "UP", "zones": zones,
             "quotas": quotas},
        )  # fmt: skip
    for zone in _ZONES:
        yield (
            "zones", "global",
            {"name": zone, "description": zone, "status": "UP",
             "region": f"{base}/regions/{region_of(zone)}"},
        )  # fmt: skip
        yield from _machines(zone)


def _machines(zone: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    scope = f"zones/{zone}"
    for name in GENERAL:
        cpus, memory_gb = SIZES[name]
        body = {
            "name": name,
            "description": f"{cpus} vCPUs, {memory_gb} GB RAM",
            "guestCpus": cpus,
            "memoryMb": memory_gb * 1024,
            "isSharedCpu": name in SHARED_CORE_MILLICPU,
        }
        yield "machineTypes", scope, body
    for generation in tpu.GENERATIONS.values():
        if zone not in generation.zones:
            continue
        family = _FAMILY[generation.name]
        yield (
            "acceleratorTypes", scope,
            {"name": family, "description": f"Cloud TPU {generation.name}",
             "maximumCardsPerInstance": max(generation.machine_types)},
        )  # fmt: skip
        for chips, name in generation.machine_types.items():
            yield "machineTypes", scope, _tpu_machine(generation, family, chips, name)


def _tpu_machine(generation: tpu.Generation, family: str, chips: int, name: str) -> dict[str, Any]:
    cpus, memory_gb = SIZES[name]
    return {
        "name": name,
        "description": f"{chips} TPU {generation.name} chips",
        "isSharedCpu": False,
        "accelerators": [{"guestAcceleratorType": family, "guestAcceleratorCount": chips}],
        "guestCpus": cpus,
        "memoryMb": memory_gb * 1024,
    }
