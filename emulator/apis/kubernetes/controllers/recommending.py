"""How many replicas a HorizontalPodAutoscaler asks for; pure, in wall seconds.

After Kubernetes' page on horizontal pod autoscaling: the ratio of metric and target with a
tolerance of a tenth, then the most modest of what was recommended within a window, then the
policies of `behavior` (its defaults where none is given) and the limits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

TOLERANCE: Final = 0.1
UP, DOWN = "scaleUp", "scaleDown"
# What stands where `behavior` says nothing.
_WINDOW_S: Final = {UP: 0.0, DOWN: 300.0}
_DOUBLE: Final = {"type": "Percent", "value": 100, "periodSeconds": 15}
_POLICIES: Final[Mapping[str, Sequence[Mapping[str, Any]]]] = {
    UP: ({"type": "Pods", "value": 4, "periodSeconds": 15}, _DOUBLE),
    DOWN: (_DOUBLE,),
}
Seconds = Callable[[float], float]
Record = tuple[float, int]


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of a target, with what `behavior` says; empty where it says nothing."""

    least: int
    most: int
    behaviour: Mapping[str, Any]

    def window_s(self, way: str) -> float:
        """Seconds of the stabilisation window of a direction."""
        asked = (self.behaviour.get(way) or {}).get("stabilizationWindowSeconds")
        return _WINDOW_S[way] if asked is None else float(asked)

    def policies(self, way: str) -> Sequence[Mapping[str, Any]]:
        """How fast it may go in a direction; empty: not at all."""
        rules = self.behaviour.get(way) or {}
        if rules.get("selectPolicy") == "Disabled":
            return ()
        return rules.get("policies") or _POLICIES[way]

    def least_change(self, way: str) -> bool:
        """Whether of several policies that with the smallest change counts."""
        return (self.behaviour.get(way) or {}).get("selectPolicy") == "Min"

    def longest_s(self) -> float:
        """Seconds for which the past has a say."""
        periods = (float(p["periodSeconds"]) for way in (UP, DOWN) for p in self.policies(way))
        return max(self.window_s(UP), self.window_s(DOWN), *periods, 0.0)


def resized(current: int, value: float, goal: float) -> int:
    """The size at which the value would be what is wanted; the current one when it is near."""
    if goal <= 0:
        return current
    ratio = value / goal
    return current if abs(ratio - 1.0) <= TOLERANCE else math.ceil(round(current * ratio, 6))


def stabilised(
    limits: Limits, recent: Sequence[Record], now: float, current: int, size: int, wall_s: Seconds
) -> int:
    """The size next to the current one that was recommended within the window of its direction.

    `recent`: (Unix seconds, size) of earlier recommendations.
    """
    within = {
        way: [s for at, s in recent if at >= now - wall_s(limits.window_s(way))] + [size]
        for way in (UP, DOWN)
    }
    up, down = min(within[UP]), max(within[DOWN])
    return up if current < up else min(current, down)


def limited(
    limits: Limits, moves: Sequence[Record], now: float, current: int, size: int, wall_s: Seconds
) -> tuple[int, str]:
    """The size that policies and bounds allow, and Kubernetes' reason where that is another.

    `moves`: (Unix seconds, replicas added or, below 0, taken away) of earlier changes.
    """
    if size > current:
        fast = max(_reach(limits, UP, moves, now, current, wall_s), current)
        allowed = min(fast, limits.most)
        if size > allowed:
            return allowed, "ScaleUpLimit" if fast < limits.most else "TooManyReplicas"
    if size < current:
        fast = min(_reach(limits, DOWN, moves, now, current, wall_s), current)
        allowed = max(fast, limits.least)
        if size < allowed:
            return allowed, "ScaleDownLimit" if fast > limits.least else "TooFewReplicas"
    if size > limits.most:
        return limits.most, "TooManyReplicas"
    if size < limits.least:
        return limits.least, "TooFewReplicas"
    return size, ""


def _reach(
    limits: Limits, way: str, moves: Sequence[Record], now: float, current: int, wall_s: Seconds
) -> int:
    """The size that policies allow in a direction: from that at the beginning of their period."""
    found: list[int] = []
    for policy in limits.policies(way):
        since = now - wall_s(float(policy["periodSeconds"]))
        before = current - sum(change for at, change in moves if at > since)
        value = int(policy["value"]) if way == UP else -int(policy["value"])
        if policy["type"] == "Pods":
            found.append(before + value)
        else:
            exact = round(before * (1.0 + value / 100.0), 6)
            found.append(math.ceil(exact) if way == UP else math.floor(exact))
    if not found:
        return current
    return min(found) if limits.least_change(way) == (way == UP) else max(found)
