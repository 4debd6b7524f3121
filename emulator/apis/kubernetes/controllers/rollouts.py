"""The arithmetic of a Deployment's rolling update; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emulator.apis.kubernetes.controllers.objects import scaled


@dataclass(frozen=True, slots=True)
class Part:
    """One ReplicaSet: what it was asked to have, what it has, what of that is available."""

    name: str
    replicas: int
    there: int
    available: int


def bounds(spec: Mapping[str, Any], wanted: int) -> tuple[int, int]:
    """(surge, unavailable) that a Deployment's strategy allows; never both 0."""
    strategy = spec.get("strategy") or {}
    rolling = strategy.get("rollingUpdate") or {}
    surge = scaled(rolling.get("maxSurge", "25%"), wanted, up=True)
    unavailable = scaled(rolling.get("maxUnavailable", "25%"), wanted, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, min(unavailable, wanted)


def next_sizes(
    new: Part, old: Sequence[Part], wanted: int, surge: int, unavailable: int
) -> dict[str, int]:
    """Sizes to ask for next, by ReplicaSet; the old ones oldest first.

    The new one grows as far as the surge allows; the old ones give up first what is not
    available, then as much as keeps `wanted - unavailable` pods available.
    """
    sizes = {part.name: part.replicas for part in (new, *old)}
    if not any(part.replicas for part in old):
        return {**sizes, new.name: wanted}
    total = sum(sizes.values())
    if new.replicas > wanted:
        sizes[new.name] = wanted
    elif total < wanted + surge:
        sizes[new.name] = min(wanted, new.replicas + wanted + surge - total)
    spare = total - (wanted - unavailable) - max(new.replicas - new.available, 0)
    for part in old:  # pods that do not serve are no loss
        idle = min(max(part.replicas - part.available, 0), max(spare, 0))
        sizes[part.name] -= idle
        spare -= idle
    serving = new.available + sum(min(part.available, part.replicas) for part in old)
    spare = serving - (wanted - unavailable)
    for part in old:
        given = min(max(spare, 0), sizes[part.name])
        sizes[part.name] -= given
        spare -= given
    return sizes


def recreated(new: Part, old: Sequence[Part], wanted: int) -> dict[str, int]:
    """Sizes under the strategy Recreate: nothing new before all that is old has gone."""
    left = any(part.replicas or part.there for part in old)
    return {new.name: 0 if left and not new.replicas else wanted, **{p.name: 0 for p in old}}
