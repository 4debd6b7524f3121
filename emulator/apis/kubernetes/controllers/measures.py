"""What an autoscaler can measure here: readings of the world on the servers of a tier.

Nothing measures the processors or memory of pods, so that resource metrics are never there. The
names are those under which Cloud Monitoring has them (with | or / between their parts).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from emulator.apis.kubernetes.controllers.contract import Obj
from emulator.scenario import TIER_LABEL
from emulator.world.world import minutes_between, world_of

if TYPE_CHECKING:
    from emulator.context import Cloud

# Metric → (array of world.load.Load, factor, whether it adds up over the tier's engines).
_KNOWN: Final = {
    "vllm:num_requests_waiting": ("waiting", 1.0, True),
    "vllm:num_requests_running": ("running", 1.0, True),
    "vllm:kv_cache_usage_perc": ("kv_ratio", 1.0, False),
    "kubernetes.io/node/accelerator/tensorcore_utilization": ("utilisation", 100.0, False),
    "kubernetes.io/node/accelerator/duty_cycle": ("duty_ratio", 100.0, False),
    "kubernetes.io/container/accelerator/duty_cycle": ("duty_ratio", 100.0, False),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """A metric's value: all together, and per engine."""

    total: float
    average: float


def tier_of(target: Obj, metric: Obj) -> str:
    """The tier that a metric is asked for: by its selector, or by what the target's pods say."""
    template = target["spec"].get("template") or (
        target["spec"].get("leaderWorkerTemplate") or {}
    ).get("workerTemplate") or {}  # fmt: skip
    places: tuple[Any, ...] = (
        (metric.get("selector") or {}).get("matchLabels"),
        (template.get("metadata") or {}).get("labels"),
        (template.get("spec") or {}).get("nodeSelector"),
    )
    return next((str(p[TIER_LABEL]) for p in places if p and p.get(TIER_LABEL)), "")


def read(cloud: Cloud, name: str, tier: str, now: float) -> Reading | None:
    """The reading of the last whole minute; None when there is none."""
    plain = name.replace("|", "/").removeprefix("prometheus.googleapis.com/")
    known = _KNOWN.get(plain.removesuffix("/gauge"))
    world = world_of(cloud)
    part = next((p for p in world.parts if p.key == f"{tier}/gke"), None)
    if known is None or part is None:
        return None
    field, factor, adds = known
    load = world.load(part, minutes_between(now - 120, now)[-1:])
    engines = float(load.engines[-1])
    if engines <= 0:
        return None
    value = float(getattr(load, field)[-1]) * factor
    return Reading(value, value / engines) if adds else Reading(value, value)
