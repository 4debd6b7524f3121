"""Server pods: one per TPU host, in the state that its host and its own start leave it in.

A pod's way as data: it waits for a host, pulls its image, loads weights, serves. How pods make up
Deployments and LeaderWorkerSets stands in workloads.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from emulator.apis.gke.bounds import bounds_of
from emulator.apis.gke.nodes import make_nodes
from emulator.apis.kubernetes import nodes
from emulator.apis.kubernetes.drafts import Draft, metadata, owner
from emulator.apis.kubernetes.naming import (
    SERVER_PORT,
    group_index,
    namespace_of,
    pod_name,
    template_hash,
    uid_of,
    workload_of,
)
from emulator.apis.kubernetes.resources import LEADER_WORKER_SETS, PODS, REPLICA_SETS
from emulator.clock import Clock, rfc3339

if TYPE_CHECKING:
    from emulator.apis.gke.model import NodePool
    from emulator.apis.gke.nodes import GkeNode
    from emulator.scenario import Project, TierSeed

# Simulated seconds from the host being ready to the image being there, and to the server serving.
PULL_S: Final = 30.0
SERVE_S: Final = 120.0

NO_HOST: Final = "0 nodes are available that match the node selector and have free google.com/tpu."
# A container that crashes runs for so long each time; the kubelet waits longer before each start.
_RUNS_S: Final = 25.0
_BACK_OFF_S: Final = (10.0, 20.0, 40.0, 80.0, 160.0, 300.0)

PENDING, CREATING, LOADING, READY, UNREADY, TERMINATING, CRASHING = (
    "pending", "creating", "loading", "ready", "unready", "terminating", "crashing"
)  # fmt: skip
USUAL: Final = "0.32.0"  # the server's revision


@dataclass(frozen=True, slots=True)
class ServerPod:
    """One server pod: the host that it runs on or waits for, and where it stands.

    `since` is when that began, in Unix seconds; `next_at` when it will go on by itself, if it will;
    `anew` when the one before it on the same host was deleted. `restarts` of its container,
    `revision` of the server in it. `pulled` is when its container was first started, None before.
    """

    node: GkeNode
    state: str
    since: float
    next_at: float | None = None
    anew: float | None = None
    restarts: int = 0
    revision: str = USUAL
    pulled: float | None = None

    @property
    def bound(self) -> bool:
        """Whether it has a host."""
        return self.state != PENDING

    @property
    def ready(self) -> bool:
        """Whether it serves."""
        return self.state == READY


def server_pod(
    node: GkeNode, state: str, exists: bool, clock: Clock, now: float, slower: float = 1.0
) -> ServerPod:
    """The pod of a host in a state of nodes.py; `exists` is False for a host still to come.

    `slower`: factor on how long its server takes to load.
    """
    if not exists or not node.ready_at or state in (nodes.DRAINED, nodes.PREEMPTED):
        return ServerPod(node, PENDING, node.created_at)
    if node.deleting:
        return ServerPod(node, TERMINATING, now)
    pulled = node.ready_at + clock.wall_s(PULL_S)
    serving = pulled + clock.wall_s((SERVE_S - PULL_S) * slower)
    if now < pulled:
        return ServerPod(node, CREATING, node.ready_at, pulled)
    if now < serving:
        return ServerPod(node, LOADING, pulled, serving, pulled=pulled)
    if not nodes.is_ready(node, state):
        return ServerPod(node, UNREADY, serving, pulled=pulled)
    return ServerPod(node, READY, serving, pulled=pulled)


def restarted(node: GkeNode, start: float, serving: float, clock: Clock, now: float) -> ServerPod:
    """The pod that took the place of one deleted at `start`, on a host that is well.

    Its server serves at `serving`, however long one usually loads.
    """
    pulled = min(start + clock.wall_s(PULL_S), serving)
    fresh = replace(node, created_at=start - 0.001, ready_at=start)
    if now < pulled:
        return ServerPod(fresh, CREATING, start, pulled, anew=start)
    if now < serving:
        return ServerPod(fresh, LOADING, pulled, serving, anew=start, pulled=pulled)
    return ServerPod(fresh, READY, serving, anew=start, pulled=pulled)


def hit(pod: ServerPod, state: str, since: float, revision: str, now: float) -> ServerPod:
    """The pod while its server crashes or loads, on a host that is well."""
    if pod.state != READY:
        return pod
    if state != nodes.CRASHING:  # it served, and waits for others of its slice
        return replace(pod, state=LOADING, since=since)
    restarts, began, ends = 0, since, since + _RUNS_S
    while ends + (wait := _back_off_s(restarts)) <= now:
        restarts, began = restarts + 1, ends + wait
        ends = began + _RUNS_S
    runs = now < ends
    return replace(
        pod, state=UNREADY if runs else CRASHING, since=began if runs else ends,
        next_at=ends if runs else ends + wait, restarts=restarts, revision=revision or USUAL,
    )  # fmt: skip


def pod_draft(pod: ServerPod, pool: NodePool, seed: TierSeed, project: Project) -> Draft:
    """The Pod."""
    key = (
        pod.node, pod.state, pod.anew, None if pod.state == TERMINATING else pod.since,
        pod.restarts, pod.revision, pod.pulled,
    )  # fmt: skip
    name, namespace = pod_name(pod.node), namespace_of(seed.name)
    return Draft(PODS, namespace, name, key, lambda: _pod(pod, pool, seed, project))


def scaled(
    pods: Sequence[tuple[ServerPod, NodePool]],
    pools: Sequence[NodePool],
    seed: TierSeed,
    wanted: int,
    number: int,
) -> list[tuple[ServerPod, NodePool]]:
    """The pods of a workload that a caller scaled to another size than its pools have.

    Fewer: the first ones stay. More: others wait for hosts that nobody asked for.
    """
    if seed.multi_host:
        there = [pool for pool in pools if pool.target or pool.nodes]
        kept = {pool.name for pool in there[:wanted]}
        found = [(pod, pool) for pod, pool in pods if pool.name in kept]
        hosts = range(seed.hosts_per_slice)
        last = max((group_index(pool.name) for pool in pools), default=-1)
        names = (f"hw-{seed.name}-{last + step:02d}" for step in range(1, wanted + 1) if pools)
        # Slices that an autoscaler took away come first.
        more = [pool for pool in pools if not (pool.target or pool.nodes)]
        more += [replace(pools[0], name=name) for name in names]
        extra = [(pool, hosts) for pool in more[: max(wanted - len(there), 0)]]
    else:
        found = list(pods[:wanted])
        pool = next((p for p in pools if bounds_of(p)[1]), pools[-1] if pools else None)
        ordinals = range(pool.target, pool.target + wanted - len(pods)) if pool else range(0)
        extra = [(pool, ordinals)] if pool else []
    for pool, ordinals in extra:
        for node in make_nodes(pool, ordinals, number, pool.created_at, None):
            found.append((ServerPod(node, PENDING, pool.created_at), pool))
    return found


def server_labels(seed: TierSeed) -> dict[str, str]:
    """Labels by which a tier's workload selects its pods."""
    return {"app": workload_of(seed.name), "heartwood-tier": seed.name}


def pod_spec(seed: TierSeed, project: Project, revision: str = USUAL) -> dict[str, Any]:
    """What a workload's template says of its pods, at a revision of the server."""
    chips = str(seed.chips_per_slice // seed.hosts_per_slice)
    probe = {"path": "/health", "port": SERVER_PORT, "scheme": "HTTP"}
    container = {
        "name": "server",
        "image": f"{project.region}-docker.pkg.dev/{project.id}/serving/vllm-tpu:{revision}",
        "args": [f"--model={seed.model.name}", f"--tensor-parallel-size={seed.chips_per_slice}"],
        "ports": [{"name": "http", "containerPort": SERVER_PORT, "protocol": "TCP"}],
        "resources": {"limits": {"google.com/tpu": chips}, "requests": {"google.com/tpu": chips}},
        "readinessProbe": {"httpGet": probe, "periodSeconds": 10, "timeoutSeconds": 5},
    }
    return {
        "containers": [container],
        "hostNetwork": True,
        "nodeSelector": {
            "cloud.google.com/gke-tpu-accelerator": seed.gen.gke_accelerator,
            "cloud.google.com/gke-tpu-topology": seed.topology,
        },
        "restartPolicy": "Always",
        "serviceAccountName": workload_of(seed.name),
        "terminationGracePeriodSeconds": 60,
        "tolerations": [{"key": "google.com/tpu", "operator": "Exists", "effect": "NoSchedule"}],
    }


def _pod(pod: ServerPod, pool: NodePool, seed: TierSeed, project: Project) -> dict[str, Any]:
    node, namespace, workload = pod.node, namespace_of(seed.name), workload_of(seed.name)
    labels = server_labels(seed)
    if seed.multi_host:
        labels |= {
            "leaderworkerset.sigs.k8s.io/name": workload,
            "leaderworkerset.sigs.k8s.io/group-index": str(group_index(pool.name)),
            "leaderworkerset.sigs.k8s.io/worker-index": str(node.ordinal),
        }
        owners = owner(LEADER_WORKER_SETS, namespace, workload)
    else:
        labels["pod-template-hash"] = template_hash(seed.name)
        owners = owner(REPLICA_SETS, namespace, f"{workload}-{template_hash(seed.name)}")
    ended = rfc3339(pod.since) if pod.state == TERMINATING else None
    spec = pod_spec(seed, project, pod.revision)
    if pod.bound:
        spec["nodeName"] = node.name
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": metadata(
            PODS, namespace, pod_name(node), node.created_at, labels=labels,
            ownerReferences=owners, deletionTimestamp=ended,
            deletionGracePeriodSeconds=60 if ended else None,
        ) | _identity(pod, namespace),
        "spec": spec,
        "status": _status(pod, spec["containers"][0]["image"]),
    }  # fmt: skip


def _identity(pod: ServerPod, namespace: str) -> dict[str, str]:
    """A uid of its own for a pod that began anew on a host that was there before."""
    if pod.anew is None:
        return {}
    return {"uid": uid_of(PODS.qualified, namespace, pod_name(pod.node), pod.anew)}


def _status(pod: ServerPod, image: str) -> dict[str, Any]:
    node, since = pod.node, rfc3339(pod.since)
    if pod.state == PENDING:
        unscheduled = _condition("PodScheduled", False, since) | {
            "reason": "Unschedulable",
            "message": NO_HOST,
        }
        return {"phase": "Pending", "conditions": [unscheduled], "qosClass": "Burstable"}
    started = pod.state != CREATING
    ready = pod.state in (READY, TERMINATING)
    began = rfc3339(node.ready_at or node.created_at)
    container: dict[str, Any] = {
        "name": "server",
        "image": image,
        "imageID": "",
        "ready": ready,
        "started": started and pod.state != CRASHING,
        "restartCount": pod.restarts,
        **_container_state(pod, began, since),
    }
    conditions = [
        _condition("PodReadyToStartContainers", started, began),
        _condition("Initialized", True, began),
        _condition("Ready", ready, since),
        _condition("ContainersReady", ready, since),
        _condition("PodScheduled", True, began),
    ]
    address = node.internal_ip
    return {
        "phase": "Running" if started else "Pending",
        "conditions": conditions,
        "hostIP": address,
        "hostIPs": [{"ip": address}],
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": began,
        "containerStatuses": [container],
        "qosClass": "Burstable",
    }


def _container_state(pod: ServerPod, began: str, since: str) -> dict[str, Any]:
    """The container's state, and how it ended before, if it did."""
    if pod.state == CREATING:
        return {"state": {"waiting": {"reason": "ContainerCreating"}}}
    if pod.state == CRASHING:
        text = f"back-off {_back_off_s(pod.restarts):.0f}s restarting failed container=server"
        waiting = {"reason": "CrashLoopBackOff", "message": text}
        return {"state": {"waiting": waiting}, "lastState": {"terminated": _ended(pod.since)}}
    if pod.restarts:
        last = _ended(pod.since - _back_off_s(pod.restarts - 1))
        return {"state": {"running": {"startedAt": since}}, "lastState": {"terminated": last}}
    started = began if pod.pulled is None else rfc3339(pod.pulled)
    return {"state": {"running": {"startedAt": started}}}


def _back_off_s(restarts: int) -> float:
    """How long the kubelet waits before the next start."""
    return _BACK_OFF_S[min(restarts, len(_BACK_OFF_S) - 1)]


def _ended(at: float) -> dict[str, Any]:
    """A run of a container that crashed."""
    times = {"startedAt": rfc3339(at - _RUNS_S), "finishedAt": rfc3339(at)}
    return {"exitCode": 1, "reason": "Error", **times}


def _condition(kind: str, holds: bool, since: str) -> dict[str, Any]:
    built: dict[str, Any] = {
        "type": kind,
        "status": "True" if holds else "False",
        "lastProbeTime": None,
        "lastTransitionTime": since,
    }
    if not holds and kind in ("Ready", "ContainersReady"):
        built |= {
            "reason": "ContainersNotReady",
            "message": "containers with unready status: [server]",
        }
    return built
