"""The arithmetic of HorizontalPodAutoscalers, on its own."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.apis.kubernetes.controllers.recommending import (
    DOWN,
    TOLERANCE,
    UP,
    Limits,
    Record,
    limited,
    resized,
    stabilised,
)

_SIZES = st.integers(1, 500)
_POLICY = st.fixed_dictionaries({
    "type": st.sampled_from(("Pods", "Percent")), "value": st.integers(1, 200),
    "periodSeconds": st.integers(1, 1800),
})  # fmt: skip
_RULES = st.fixed_dictionaries({}, optional={
    "stabilizationWindowSeconds": st.integers(0, 3600),
    "selectPolicy": st.sampled_from(("Min", "Max", "Disabled")),
    "policies": st.lists(_POLICY, min_size=1, max_size=3),
})  # fmt: skip
_BEHAVIOURS = st.fixed_dictionaries({}, optional={UP: _RULES, DOWN: _RULES})
_RECORDS = st.lists(st.tuples(st.floats(0, 1000), _SIZES), max_size=12)


def _same(seconds: float) -> float:
    return seconds


@given(_SIZES, st.floats(0, 1e6), st.floats(1e-3, 1e6))
def test_a_size_is_the_ratio_rounded_up_outside_the_tolerance(
    current: int, value: float, goal: float
) -> None:
    """ceil(current × value / goal), unless the ratio is within a tenth of one."""
    size, ratio = resized(current, value, goal), value / goal
    if abs(ratio - 1.0) <= TOLERANCE:
        assert size == current
    else:
        assert size >= round(current * ratio, 6) > size - 1


@given(_SIZES, _SIZES, _RECORDS, _BEHAVIOURS)
def test_the_past_only_holds_back(
    current: int, size: int, recent: list[Record], behaviour: dict[str, Any]
) -> None:
    """What was recommended before never lets a size pass the one that is wanted now."""
    limits = Limits(1, 1000, behaviour)
    found = stabilised(limits, recent, 1000.0, current, size, _same)
    assert min(current, size) <= found <= max(current, size)


@given(_SIZES, st.integers(1, 600), st.integers(1, 40), st.integers(0, 500), _BEHAVIOURS)
def test_a_size_is_reached_within_bounds_and_never_faster_than_the_policies(
    current: int, size: int, least: int, room: int, behaviour: dict[str, Any]
) -> None:
    """Every step is towards what is wanted, between the bounds; what is disabled does not move."""
    limits = Limits(least, least + room, behaviour)
    goal = min(max(size, least), least + room)
    moves: list[Record] = []
    start, now = current, 0.0
    for _ in range(60):
        now += 30.0
        found, _ = limited(limits, moves, now, current, size, _same)
        assert min(current, goal) <= found <= max(current, goal)
        moves.append((now, found - current))
        current = found
    inside = least <= start <= least + room
    way = UP if size > start else DOWN
    if inside and not limits.policies(way):
        assert current == start


@pytest.mark.parametrize(
    ("behaviour", "current", "size", "reached", "reason"),
    [
        ({}, 3, 20, 7, "ScaleUpLimit"),  # four pods, or as many again
        ({}, 10, 40, 20, "ScaleUpLimit"),
        ({}, 10, 1, 1, ""),
        ({}, 90, 200, 100, "TooManyReplicas"),
        ({}, 5, 0, 1, "TooFewReplicas"),
        ({DOWN: {"selectPolicy": "Disabled"}}, 10, 3, 10, "ScaleDownLimit"),
        ({DOWN: {"policies": [{"type": "Percent", "value": 10, "periodSeconds": 60}]}},
         80, 10, 72, "ScaleDownLimit"),
        ({DOWN: {"selectPolicy": "Min", "policies": [
            {"type": "Percent", "value": 10, "periodSeconds": 60},
            {"type": "Pods", "value": 5, "periodSeconds": 60}]}}, 80, 10, 75, "ScaleDownLimit"),
    ],
)  # fmt: skip
def test_policies_as_the_documentation_has_them(
    behaviour: dict[str, Any], current: int, size: int, reached: int, reason: str
) -> None:
    """The defaults, the percentages and the choice among policies."""
    assert limited(Limits(1, 100, behaviour), [], 0.0, current, size, _same) == (reached, reason)


def test_a_period_counts_from_the_size_at_its_beginning() -> None:
    """Within it nothing more is added than the policy allows; after it again as much."""
    behaviour = {UP: {"policies": [{"type": "Pods", "value": 4, "periodSeconds": 60}]}}
    limits, moves = Limits(1, 100, behaviour), [(100.0, 4)]
    assert limited(limits, moves, 130.0, 14, 50, _same) == (14, "ScaleUpLimit")
    assert limited(limits, moves, 161.0, 14, 50, _same) == (18, "ScaleUpLimit")


def test_a_window_keeps_the_highest_of_what_was_recommended() -> None:
    """Five minutes for shrinking unless it is said otherwise, none for growing."""
    recent = [(0.0, 9), (200.0, 6), (400.0, 3)]
    assert stabilised(Limits(1, 99, {}), recent, 450.0, 10, 2, _same) == 6
    assert stabilised(Limits(1, 99, {}), recent, 450.0, 10, 12, _same) == 12
    slower = {UP: {"stabilizationWindowSeconds": 300}}
    assert stabilised(Limits(1, 99, slower), [(300.0, 11)], 450.0, 10, 12, _same) == 11
    assert math.isclose(Limits(1, 99, slower).longest_s(), 300.0)
