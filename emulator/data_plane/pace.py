"""How long a tier's servers take for a request now, as the world has it: drawn, per request."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import numpy as np

from emulator.context import Cloud
from emulator.world.load import Load
from emulator.world.parts import Part, PartKind
from emulator.world.world import world_of


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds in the queue, from there to the first token, between two tokens; or a refusal.

    `status`: 200; 500 when the server fails, 503 when its queue is full.
    """

    queue_s: float
    prefill_s: float
    token_s: float
    status: int = 200


class Paces:
    """Draws from each tier's load of the present minute. Safe for threads."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._world = world_of(cloud)
        self._chance = random.Random(cloud.seed)
        self._loads: dict[str, tuple[int, Load]] = {}

    def draw(self, tier: str) -> Pace | None:
        """One request's; None of a tier that the world does not know."""
        part = next((p for p in self._world.parts if _serves(p, tier)), None)
        if part is None:
            return None
        load = self._load(part)
        accepted, rejected = float(load.accepted[0]), float(load.rejected[0])
        if rejected and self._chance.random() < rejected / (accepted + rejected):
            return Pace(0.0, 0.0, 0.0, 503)
        queue = self._chance.expovariate(1.0 / queue) if (queue := float(load.queue_s[0])) else 0.0
        failed = float(load.failed[0]) / accepted if accepted else 0.0
        return Pace(
            queue,
            self._drawn(float(load.prefill_s[0]), float(load.ttft_sigma[0])),
            self._drawn(float(load.itl_s[0]), float(load.itl_sigma[0])),
            500 if self._chance.random() < failed else 200,
        )

    def _drawn(self, mean: float, sigma: float) -> float:
        return mean * math.exp(self._chance.gauss(0.0, sigma) - sigma**2 / 2)

    def _load(self, part: Part) -> Load:
        minute = int(self._cloud.clock.now() // 60)
        kept = self._loads.get(part.key)
        if kept is None or kept[0] != minute:
            kept = (minute, self._world.load(part, np.array([minute], dtype=np.int64)))
            self._loads[part.key] = kept
        return kept[1]


def _serves(part: Part, tier: str) -> bool:
    return part.tier == tier and part.kind is PartKind.GKE
