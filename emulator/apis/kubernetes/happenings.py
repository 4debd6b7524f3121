"""What the clusters report as events: hosts that come and go, workloads that scale, incidents.

Derived from the fleet, its resizes and the world, so that nothing is lost while nobody looks. Their
shape as objects stands in events.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from emulator.apis.gke.model import NODES_CORDONED
from emulator.apis.gke.nodes import make_nodes
from emulator.apis.kubernetes import nodes
from emulator.apis.kubernetes.naming import namespace_of, pod_name, template_hash, workload_of
from emulator.apis.kubernetes.pods import NO_HOST, PULL_S, SERVE_S
from emulator.apis.kubernetes.resources import DEPLOYMENTS, LEADER_WORKER_SETS, NODES, PODS, Kind

if TYPE_CHECKING:
    from emulator.apis.gke.model import Cluster, NodePool
    from emulator.apis.gke.nodes import GkeNode
    from emulator.context import Cloud
    from emulator.operations import Job
    from emulator.scenario import TierSeed
    from emulator.world.incidents import Event as Incident

KEPT_S: Final = 3600.0  # as long as the API server keeps events
_SEEN_S: Final = 20.0  # from what happens to a pod until that is reported


@dataclass(frozen=True, slots=True)
class Happening:
    """One event to be reported: what, about which object, said by whom."""

    at: float
    kind: Kind
    namespace: str
    name: str
    reason: str
    message: str
    component: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Hit:
    """An incident's hosts, and the state of nodes.py in which it leaves them."""

    incident: Incident
    hosts: tuple[GkeNode, ...]
    state: str


# Incidents that Kubernetes sees on hosts and that do not say themselves in which state they leave
# them. Those that are in neither place show in latency and errors alone.
HOST_STATES: Final = {
    "chip_fault": nodes.FAULTY,
    "slice_preempted": nodes.LOST,
    "host_drained": nodes.DRAINED,
}
# State → what the node is reported to have: reason, message, reporter, whether a warning.
_ON_NODE: Final = {
    nodes.FAULTY: ("TPUDeviceUnhealthy", "{cause}", "tpu-device-plugin", True),
    nodes.LOST: (
        "NodeNotReady", "Node {node} status is now: NodeNotReady", "node-controller", True,
    ),
    nodes.DRAINED: (
        "NodeNotSchedulable", "Node {node} status is now: NodeNotSchedulable", "kubelet", False,
    ),
    nodes.PREEMPTED: (
        "DeletingNode", "Deleting node {node} because it does not exist in the cloud provider",
        "cloud-node-lifecycle-controller", False,
    ),
}  # fmt: skip
# State of a host that is well → what its server pod is reported to have.
_ON_POD: Final = {
    nodes.CRASHING: (
        "BackOff", "Back-off restarting failed container server in pod {pod}", "kubelet",
    ),
    nodes.LOADING_WEIGHTS: (
        "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503", "kubelet",
    ),
}  # fmt: skip


def happenings(
    cloud: Cloud, cluster: Cluster, hits: Sequence[Hit], now: float
) -> Iterator[Happening]:
    """All of the last hour."""
    since = now - KEPT_S
    seeds = {seed.name: seed for seed in cloud.scenario.tiers}
    found: list[Happening] = []
    for pool in cluster.pools.values():
        for node in pool.nodes.values():
            if node.created_at > cluster.created_at:
                found.extend(_arrival(node, cloud.clock.wall_s))
    for job in cloud.operations.of("container"):
        if job.data.get("cluster") == cluster.name and job.data.get("pool") in cluster.pools:
            pool = cluster.pools[job.data["pool"]]
            found.extend(_resize(cloud, job, pool, seeds.get(pool.tier)))
    for hit in hits:
        found.extend(_incident(hit, cloud.clock.wall_s))
    yield from (h for h in found if since <= h.at <= now)


def _on_node(node: GkeNode, at: float, reason: str, message: str, component: str) -> Happening:
    return Happening(at, NODES, "default", node.name, reason, message, component)


def _on_pod(node: GkeNode, at: float, reason: str, message: str, component: str) -> Happening:
    return Happening(at, PODS, namespace_of(node.tier), pod_name(node), reason, message, component)


def _arrival(node: GkeNode, wall_s: Callable[[float], float]) -> Iterator[Happening]:
    """A host that joined, and its pod's start."""
    text = f"Node {node.name} event: Registered Node {node.name} in Controller"
    yield _on_node(node, node.created_at, "RegisteredNode", text, "node-controller")
    if node.ready_at is None:
        return
    text = f"Node {node.name} status is now: NodeReady"
    yield _on_node(node, node.ready_at, "NodeReady", text, "kubelet")
    if not node.tier:
        return
    yield from _pod_start(node, node.ready_at, wall_s)
    unready = Happening(
        node.ready_at + wall_s((PULL_S + SERVE_S) / 2), PODS, namespace_of(node.tier),
        pod_name(node), "Unhealthy",
        "Readiness probe failed: HTTP probe failed with statuscode: 503", "kubelet", warning=True,
    )  # fmt: skip
    yield unready


def _pod_start(node: GkeNode, at: float, wall_s: Callable[[float], float]) -> Iterator[Happening]:
    text = f"Successfully assigned {namespace_of(node.tier)}/{pod_name(node)} to {node.name}"
    yield _on_pod(node, at, "Scheduled", text, "default-scheduler")
    pulled = at + wall_s(PULL_S)
    yield _on_pod(node, pulled, "Pulled", "Successfully pulled image", "kubelet")
    yield _on_pod(node, pulled, "Started", "Started container server", "kubelet")


def _resize(cloud: Cloud, job: Job, pool: NodePool, seed: TierSeed | None) -> Iterator[Happening]:
    """A pool that was asked to change its size: its workload follows, hosts leave."""
    before, after = job.data["before"], job.data["after"]
    if seed is not None and not seed.multi_host and before != after:
        name, total = workload_of(seed.name), sum(
            p.target for p in cloud.fleet.pools() if p.tier == seed.name
        )  # fmt: skip
        way = "up" if after > before else "down"
        text = f"Scaled {way} replica set {name}-{template_hash(seed.name)} to {total}"
        yield Happening(
            job.started_at, DEPLOYMENTS, namespace_of(seed.name), name, "ScalingReplicaSet",
            text, "deployment-controller",
        )  # fmt: skip
    if after >= before or job.error:
        return
    cordoned_at = job.started_at + (job.due_at - job.started_at) * NODES_CORDONED
    for node in make_nodes(pool, range(after, before), cloud.seed, 0.0, 0.0):
        text = f"Node {node.name} status is now: NodeNotSchedulable"
        yield _on_node(node, cordoned_at, "NodeNotSchedulable", text, "kubelet")
        if node.tier:
            yield _on_pod(node, cordoned_at, "Killing", "Stopping container server", "kubelet")
        if job.ended_at is not None:
            text = f"Node {node.name} event: Removing Node {node.name} from Controller"
            yield _on_node(node, job.ended_at, "RemovingNode", text, "node-controller")


def _incident(hit: Hit, wall_s: Callable[[float], float]) -> Iterator[Happening]:
    incident = hit.incident
    if incident.kind == "slow_decode":
        for at, text in ((incident.start, "Rolling out"), (incident.end, "Rolling back")):
            yield Happening(
                at, LEADER_WORKER_SETS, namespace_of(incident.tier), workload_of(incident.tier),
                "GroupsUpdating", f"{text} a new image", "leaderworkerset",
            )  # fmt: skip
    for node in hit.hosts:
        if hit.state in _ON_POD:
            if incident.hosts == nodes.LOADING_WEIGHTS:  # it was restarted
                text = "Stopping container server"
                yield _on_pod(node, incident.start, "Killing", text, "kubelet")
                yield from _pod_start(node, incident.start, wall_s)
            reason, text, component = _ON_POD[hit.state]
            yield Happening(
                incident.start + wall_s(PULL_S) + _SEEN_S, PODS, namespace_of(node.tier),
                pod_name(node), reason, text.format(pod=pod_name(node)), component, True,
            )  # fmt: skip
            continue
        reason, text, component, warning = _ON_NODE[hit.state]
        message = text.format(node=node.name, cause=incident.cause)
        yield Happening(
            incident.start, NODES, "default", node.name, reason, message, component, warning
        )
        ready = f"Node {node.name} status is now: NodeReady"
        yield _on_node(node, incident.end, "NodeReady", ready, "kubelet")
        yield _on_pod(node, incident.start, "Killing", "Stopping container server", "kubelet")
        if hit.state == nodes.PREEMPTED:
            yield Happening(
                incident.start + _SEEN_S, PODS, namespace_of(node.tier), pod_name(node),
                "FailedScheduling", NO_HOST, "default-scheduler", True,
            )  # fmt: skip
