"""Whose requests come to whom: where the URL map leads each tier's requests, as the log tells it.

A change that leads a tier's requests elsewhere holds under "small>medium" the share of small's
that medium's backend gets from then on, for each tier that gets any; before the first one a tier
has its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from emulator.log import Change
from emulator.world.noise import Floats, Ints
from emulator.world.steps import levels

_TO: Final = ">"


def told(source: str, shares: Mapping[str, float]) -> dict[str, float]:
    """What a change's data hold of where a tier's requests go."""
    whole = {source: 0.0, **shares}
    return {f"{source}{_TO}{target}": share for target, share in whole.items()}


def share(changes: tuple[Change, ...], source: str, target: str, times: Ints | Floats) -> Floats:
    """Share of one tier's requests that another's backend gets at each Unix time, 0–1."""
    steps = [(0.0, 1.0 if source == target else 0.0)]
    for change in changes:
        if f"{source}{_TO}{source}" in change.data:
            given = change.data.get(f"{source}{_TO}{target}")
            steps.append((change.at, float(given) if isinstance(given, int | float) else 0.0))
    return levels(steps, times)


def ever_shifted(changes: tuple[Change, ...], tier: str) -> bool:
    """Whether a tier's requests, or another's to it, were ever led elsewhere."""
    return any(key.endswith(f"{_TO}{tier}") for change in changes for key in change.data)
