"""The models on a tier's endpoint with their replicas and shares of its requests, by the log.

A change of what is deployed, or of the split, holds under "split:ID" the percent of the requests
that each model there gets from then on; one of a model's replicas names it under "deployed_model".
Before the first of them the scenario's own model has all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from emulator.log import Change
from emulator.world.noise import Floats, Ints
from emulator.world.steps import levels

_SPLIT: Final = "split:"
_MODEL: Final = "deployed_model"
_WHOLE: Final = 100.0
_MINUTE_S: Final = 60.0

Steps = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class OnEndpoint:
    """One deployed model: its share (0–1) and its replicas since each Unix time.

    It was there from `came` (0.0: always) to `went` (None: to this day), Unix seconds.
    """

    id: str
    shares: Steps
    replicas: Steps
    came: float
    went: float | None

    def share(self, minutes: Ints) -> Floats:
        """Mean share of each minute, so that no request is lost where it changes within one."""
        return mean_of(self.shares, minutes)


def told(split: Mapping[str, int], deployed: Iterable[str]) -> dict[str, float]:
    """What a change's data hold of the split over the models that are deployed."""
    return {f"{_SPLIT}{model}": float(split.get(model, 0)) for model in deployed}


def on_endpoint(changes: Iterable[Change], own: str, replicas: int) -> list[OnEndpoint]:
    """Every model that is or was there, in the order in which they came.

    Args:
        changes: the tier's.
        own: id of the scenario's model, which began with all requests on `replicas` replicas.
    """
    found = {own: OnEndpoint(own, [(0.0, 1.0)], [(0.0, float(replicas))], 0.0, None)}
    for change in changes:
        name, after = change.data.get(_MODEL), change.data.get("after")
        if isinstance(name, str) and isinstance(after, int):
            known = found.get(name) or OnEndpoint(name, [(0.0, 0.0)], [(0.0, 0.0)], change.at, None)
            went = None if after else change.at
            steps = [*known.replicas, (change.at, float(after))]
            found[name] = OnEndpoint(name, known.shares, steps, known.came, went)
        if any(key.startswith(_SPLIT) for key in change.data):
            for known in found.values():
                percent = change.data.get(f"{_SPLIT}{known.id}")
                given = float(percent) if isinstance(percent, int | float) else 0.0
                known.shares.append((change.at, given / _WHOLE))
    models = list(found.values())
    _nobodys(models)
    return models


def replica_shares(models: list[OnEndpoint], times: Floats) -> list[Floats]:
    """Share of the replicas that each model has at each Unix time; the first's where none is."""
    there = [levels(model.replicas, times) for model in models]
    total = np.sum(there, axis=0)
    some = np.maximum(total, 1e-9)
    return [np.where(total > 0, own / some, float(i == 0)) for i, own in enumerate(there)]


def share_of(changes: Iterable[Change], model: str, minutes: Ints) -> Floats:
    """Mean share of its endpoint's requests that one model gets in each minute, 0–1."""
    came = any(c.data.get(_MODEL) == model and not c.data.get("before") for c in changes)
    found = on_endpoint(changes, "" if came else model, 0)
    return next(m.share(minutes) for m in found if m.id == model)


def mean_of(steps: Steps, minutes: Ints) -> Floats:
    """Mean over each minute (Unix time // 60) of a value since each Unix time, oldest first."""
    mean, before = np.zeros(minutes.shape), 0.0
    ends = (minutes + 1) * _MINUTE_S
    for at, value in steps:
        mean += (value - before) * np.clip((ends - at) / _MINUTE_S, 0.0, 1.0)
        before = value
    return mean


def _nobodys(models: list[OnEndpoint]) -> None:
    """While no model has a share the first keeps it: what comes to the endpoint comes to one."""
    own, others = models[0], models[1:]
    for place, (at, share) in enumerate(own.shares):
        rest = sum(levels(m.shares, np.array([at]))[0] for m in others)
        if not share and not rest:
            own.shares[place] = (at, 1.0)
