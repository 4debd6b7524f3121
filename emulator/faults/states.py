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

KIND_OF: Final = {
    "preempt": "slice_preempted", "unhealthy": "backend_unhealthy", "bad-model": "bad_model",
}  # fmt: skip


class StateFaults:
    """Begins and ends them."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def begin(self, rule: Rule) -> None:
        """Bring about what the rule says; the rule keeps which slices it hit.

        Raises:
            RuleError: there is no such tier, pool, node, slice or model.
        """
        if rule.state == "bad-model":
            rule.model = self._newest_model(rule.tier)
            self._told(rule, f"{rule.tier}/vertex", None)
            return
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
            self._told(rule, part, number)
        self._cloud.fleet.version += 1

    def _told(self, rule: Rule, part: str, number: int | None) -> None:
        """Write into the log what begins."""
        self._cloud.changed(
            FAULT_BEGAN, _hit(rule, part, number), part.split("/")[0], fault=rule.id,
            incident=KIND_OF[rule.state], part=part, target=number, model=rule.model,
            start=rule.begin_at, end=None if rule.end_at == math.inf else rule.end_at,
        )  # fmt: skip

    def end(self, rule: Rule) -> None:
        """All that the rule hit is well again."""
        hit = [(f"{rule.tier}/vertex", None)] if rule.model else rule.targets
        for part, number in hit:
            self._cloud.changed(
                FAULT_ENDED, _hit(rule, part, number), part.split("/")[0], fault=rule.id,
                part=part, target=number,
            )  # fmt: skip
        self._cloud.fleet.version += 1

    def _newest_model(self, tier: str) -> str:
        """The id of the model that came last to the tier's endpoint."""
        # The APIs import what the gate is made of.
        from emulator.apis.vertex.model import VertexState, initial_state, numeric_id

        state = self._cloud.store(VertexState, lambda: initial_state(self._cloud))
        place = (self._cloud.project.region, numeric_id("endpoint", tier))
        endpoint = state.endpoints.get(place)
        if endpoint is None or not endpoint.deployments:
            raise RuleError("tier", f"no model of {tier!r} is deployed on Vertex")
        return max(endpoint.deployments.values(), key=lambda d: d.created_at).id

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


def _hit(rule: Rule, part: str, number: int | None) -> str:
    """Name of what a rule hit, for the log."""
    return f"models/{rule.model}" if number is None else f"slices/{part}/{number}"
