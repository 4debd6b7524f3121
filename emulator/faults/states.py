"""Faults that are a state of the world: a slice pre-empted, an endpoint that fails its probes.

They are written into the log of changes, from which the world takes them as it takes its own
incidents: Kubernetes, load balancer, series and bill all follow from there.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from emulator.faults.rules import Rule, RuleError
from emulator.world.incidents import FAULT_BEGAN, FAULT_ENDED
from emulator.world.noise import unit

if TYPE_CHECKING:
    from emulator.apis.gke.nodes import GkeNode
    from emulator.context import Cloud

KIND_OF: Final = {"preempt": "slice_preempted", "unhealthy": "backend_unhealthy"}


class StateFaults:
    """Begins and ends them."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def begin(self, rule: Rule) -> None:
        """Bring about what the rule says; the rule keeps which slices it hit.

        Raises:
            RuleError: there is no such tier, pool, node or slice.
        """
        tier, candidates = self._candidates(rule)
        if rule.slice is not None:
            if rule.slice not in candidates:
                raise RuleError(
                    "slice",
                    f"tier {tier} has slices 0 to {len(candidates) - 1}; it is {rule.slice}",
                )
            candidates = [rule.slice]
        if rule.count > len(candidates):
            raise RuleError("count", f"there are {len(candidates)} such slices; it is {rule.count}")
        seed = self._cloud.seed
        candidates.sort(key=lambda n: unit(seed, "fault target", rule.id, n))
        rule.targets = tuple((f"{tier}/gke", n) for n in sorted(candidates[: rule.count]))
        for part, number in rule.targets:
            self._cloud.changed(
                FAULT_BEGAN, f"slices/{part}/{number}", tier, fault=rule.id,
                incident=KIND_OF[rule.state], part=part, target=number, start=rule.begin_at,
                end=None if rule.end_at == math.inf else rule.end_at,
            )  # fmt: skip
        self._cloud.fleet.version += 1

    def end(self, rule: Rule) -> None:
        """All that the rule hit is well again."""
        for part, number in rule.targets:
            self._cloud.changed(
                FAULT_ENDED, f"slices/{part}/{number}", part.split("/")[0], fault=rule.id,
                part=part, target=number,
            )  # fmt: skip
        self._cloud.fleet.version += 1

    def _candidates(self, rule: Rule) -> tuple[str, list[int]]:
        """The tier and the indexes of its slices that the rule may mean."""
        nodes = self._cloud.fleet.nodes()
        tiers = sorted({n.tier for n in nodes if n.tier})
        tier = rule.tier or self._tier_of(rule, nodes)
        if tier not in tiers:
            raise RuleError("tier", f"must be one of {', '.join(tiers) or '(none runs in GKE)'}")
        slices: dict[str, list[GkeNode]] = {}
        for node in nodes:
            if node.tier == tier:
                slices.setdefault(node.slice_name, []).append(node)
        found = [
            number
            for number, hosts in enumerate(slices.values())
            if (not rule.node or any(n.name == rule.node for n in hosts))
            and (not rule.pool or any(n.pool == rule.pool for n in hosts))
        ]
        if not found:
            raise RuleError("node" if rule.node else "pool", f"is not of tier {tier}")
        return tier, found

    def _tier_of(self, rule: Rule, nodes: list[GkeNode]) -> str:
        for node in nodes:
            if node.name == rule.node or (not rule.node and node.pool == rule.pool):
                if not node.tier:
                    raise RuleError("node" if rule.node else "pool", "serves no tier")
                return node.tier
        if rule.node:
            raise RuleError("node", f"there is no GKE node {rule.node!r}")
        pools = ", ".join(p.name for p in self._cloud.fleet.pools())
        raise RuleError("pool", f"must be one of {pools or '(there is no pool)'}")
