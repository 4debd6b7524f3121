"""Begins and ends stories on the running project, and makes what is a resource of its own.

A switch is one change in the log, from which the world follows (world/stories.py). It never changes
the fleet: a story begins on any fleet that has the tiers, parts and spot chips that it needs;
another fleet needs another start. Extra node pools are made like a caller's, and stay when a story
ends, until somebody deletes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from core import tpu
from emulator.scenario import SCENARIOS, Scenario, TierSeed
from emulator.story import Disruption, ExtraPools
from emulator.wire.errors import ApiError, failed_precondition
from emulator.world.stories import STORY_BEGAN, STORY_ENDED, Running, begun, parts_hit
from emulator.world.world import world_of

if TYPE_CHECKING:
    from emulator.context import Cloud


class Storyteller:
    """The stories of one emulator."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def open(self) -> None:
        """Begin the story of the scenario that the emulator was first started with, if any.

        The same at each start with a state directory: it follows from the project's beginning.
        """
        scenario, clock = self._cloud.scenario, self._cloud.clock
        if scenario.story is not None:
            at = clock.started_at
            with clock.at(at):
                self._log(scenario, at + 60.0 * scenario.story.begins_after_min)

    def switch(self, scenario: Scenario, start: float) -> None:
        """Begin a scenario's story at a Unix time in place of the one before, or end that alone.

        A start in the past writes that past anew; what is a resource is made from now on.

        Raises:
            ApiError: FAILED_PRECONDITION, the running fleet is not one for it.
        """
        if misfit := next(self._misfits(scenario), None):
            raise failed_precondition(
                f"{scenario.name} needs another fleet: {misfit}. Start the emulator with"
                f" --scenario {scenario.name}."
            )
        if scenario.story is None:
            self._cloud.changed(STORY_ENDED, f"scenarios/{scenario.name}", "", start=start)
        else:
            self._log(scenario, start)
        self._cloud.fleet.version += 1

    def running(self) -> Running | None:
        """The story that was begun last, be it over or still to come; None without."""
        log = self._cloud.log.changes()
        told = [c for c in log if c.kind in (STORY_BEGAN, STORY_ENDED)]
        if not told or told[-1].kind == STORY_ENDED:
            return None
        return next(iter(reversed(begun(log))), None)

    def _log(self, scenario: Scenario, start: float) -> None:
        # Decided once: a file that is changed later changes nothing that was begun.
        story = self._cloud.decided("story", lambda: _json(scenario))
        self._cloud.changed(
            STORY_BEGAN, f"scenarios/{scenario.name}", "", scenario=scenario.name, start=start,
            story=story,
        )  # fmt: skip
        running = self.running()
        for disruption in running.story.disruptions if running else ():
            if disruption.pools is not None and running is not None:
                self._plan_pools(running, disruption, disruption.pools)

    def _plan_pools(self, running: Running, disruption: Disruption, pools: ExtraPools) -> None:
        now = self._cloud.clock.now()
        first = running.start + 60.0 * disruption.after_min
        for number in range(pools.count):
            due = first + 60.0 * pools.every_min * number
            if due < running.end:
                make = partial(self._make_pool, running.start, pools, number)
                self._cloud.operations.at(max(due, now), make)

    def _make_pool(self, start: float, pools: ExtraPools, number: int) -> None:
        """Make one, as far as the quota allows, while the story goes on."""
        from emulator.apis.gke import lifecycle, pool_checks
        from emulator.apis.gke.model import NodePool
        from emulator.apis.gke.repair import operation_id

        cloud, now = self._cloud, self._cloud.clock.now()
        running = self.running()
        cluster = next(iter(cloud.fleet.clusters.values()), None)
        name = f"{pools.name}-{number:02d}"
        if running is None or running.start != start or now > running.end or cluster is None:
            return
        if name in cluster.pools:
            return
        generation = tpu.generation(pools.generation)
        hosts = tpu.hosts_per_slice(generation, pools.topology)
        pool = NodePool(
            name, cluster.name, pools.zone, "", tpu.machine_type(generation, pools.topology),
            hosts, hosts, now, generation=generation, topology=pools.topology,
        )  # fmt: skip
        try:
            pool.target = 0
            pool_checks.check_quota(cloud, cloud.fleet, pool, hosts)
        except ApiError:
            return  # whoever asks for it is refused as anybody would be
        pool.target = hosts
        name = operation_id(cluster.location, cloud.new_id("gke.operation"), now)
        lifecycle.create_pool(cloud, cluster, pool, name)

    def _misfits(self, scenario: Scenario) -> Iterator[str]:
        """What the running fleet lacks for the scenario."""
        here = self._cloud.scenario
        if scenario.story is None:
            if _sizes(scenario) != _sizes(here):
                yield f"it has no story, and its tiers are not those of {here.name}"
            return
        parts = world_of(self._cloud).parts
        for disruption in scenario.story.disruptions:
            if disruption.pools is not None:
                if not self._cloud.fleet.clusters:
                    yield "there is no GKE cluster"
                continue
            hit = [p for p in parts_hit(disruption, parts) if p.slices]
            whom = disruption.zone or ", ".join(disruption.tiers)
            if not hit or {p.tier for p in hit} < set(disruption.tiers):
                yield f"{whom}: not all of it runs here ({disruption.part})"
            if disruption.hosts == "preempted" and not all(p.seed.spot for p in hit):
                yield f"{whom}: its chips are not spot chips"
            if disruption.moves_to:
                there = {p.key for p in parts if p.slices}
                lacking = [p for p in hit if f"{p.tier}/{disruption.moves_to}" not in there]
                if lacking:
                    yield f"{whom}: has no part {disruption.moves_to} to move to"


def _sizes(scenario: Scenario) -> list[TierSeed]:
    """The tiers, whatever terms their chips are on and however far they may grow."""
    return [replace(tier, spot=False, vertex_most=0) for tier in scenario.tiers]


def _json(scenario: Scenario) -> str:
    assert scenario.story is not None
    return scenario.story.model_dump_json(exclude_defaults=True)


def scenario_named(name: str) -> Scenario:
    """The scenario of that name.

    Raises:
        ApiError: NOT_FOUND; the message lists those that there are.
    """
    if name not in SCENARIOS:
        known = ", ".join(sorted(SCENARIOS))
        raise ApiError("NOT_FOUND", f"There is no scenario {name!r}; there are {known}.")
    return SCENARIOS[name]
