"""Which endpoint a request is given: by health, target rates, capacity and what answers have shown.

Among the endpoints of groups that have not yet got what they are meant to get (all, when each has)
chance decides, by the capacity of their groups.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

from emulator.apis.compute.model import Body
from emulator.data_plane.members import Member, Members, group_path
from emulator.data_plane.outliers import Outliers
from emulator.data_plane.rates import Rates, target_rate


class Choice:
    """Picks endpoints, and is told how they answered. Used from the data plane's loop alone."""

    def __init__(
        self, members: Members, chance: random.Random, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._members, self._chance = members, chance
        self._rates, self._outliers = Rates(clock), Outliers(clock, chance.random)

    def pick(self, service: Body, tried: frozenset[str] = frozenset()) -> Member | None:
        """A healthy endpoint of a backend service; None: nobody is.

        Those that were `tried` come only when nobody else is left.
        """
        groups = list(self._groups(service))
        out = self._outliers.ejected(service, [m.name for _, _, ms in groups for m in ms])
        below = [g for g in groups if not self._rates.is_full(_path(g[0]), g[0], len(g[2]))]
        found = _weighted(below, out | tried) or _weighted(groups, out | tried)
        found = found or _weighted(groups, out)
        if not found:
            return None
        picked = self._chance.choices([m for m, _ in found], [weight for _, weight in found])[0]
        self._rates.gave(picked.group)
        return picked

    def ended(self, service: Body, member: Member, status: int) -> None:
        """An endpoint's answer to a request, or what the client was told in its place."""
        names = [m.name for _, _, members in self._groups(service) for m in members]
        self._outliers.saw(service, names, member.name, status)

    def _groups(self, service: Body) -> Iterator[tuple[Body, float, list[Member]]]:
        """Backends with capacity: the capacity of each endpoint, and who of them may answer."""
        for backend in service.get("backends", []):
            members = self._members.serving(_path(backend))
            capacity = _capacity(backend, len(members))
            if members and capacity > 0:
                yield backend, capacity, members


def _weighted(
    groups: list[tuple[Body, float, list[Member]]], without: frozenset[str]
) -> list[tuple[Member, float]]:
    return [(m, capacity) for _, capacity, ms in groups for m in ms if m.name not in without]


def _capacity(backend: Body, endpoints: int) -> float:
    """What an endpoint of this backend is given beside others; 0: it is drained."""
    target = target_rate(backend, endpoints) if endpoints else None
    return float(backend.get("capacityScaler", 1.0)) if target is None else target / endpoints


def _path(backend: Body) -> str:
    return group_path(str(backend.get("group", "")))
