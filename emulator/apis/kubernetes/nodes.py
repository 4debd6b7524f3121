"""Node objects: a GKE host as its kubelet and Google's controllers describe it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from emulator.apis.kubernetes.drafts import Draft, metadata
from emulator.apis.kubernetes.naming import uid_of
from emulator.apis.kubernetes.resources import NODES
from emulator.clock import rfc3339
from emulator.machines import SHARED_CORE_MILLICPU, SIZES

if TYPE_CHECKING:
    from emulator.apis.gke.model import NodePool
    from emulator.apis.gke.nodes import GkeNode
    from emulator.scenario import Project

HEARTBEAT: Final = "@heartbeat@"  # replaced in every answer by when the kubelet last reported
_KERNEL: Final = "6.6.97+"
_OS_IMAGE: Final = "Container-Optimized OS from Google"
_RUNTIME: Final = "containerd://2.0.6"
_GIB: Final = 1024**3
# What a host may be when an incident hit it. The node of a pre-empted one is gone; one whose server
# crashes or still loads its weights is well itself.
NORMAL, FAULTY, DRAINED, LOST = "normal", "faulty", "drained", "lost"
PREEMPTED, CRASHING, LOADING_WEIGHTS = "preempted", "crashing", "loading"


def node_draft(node: GkeNode, pool: NodePool, project: Project, version: str, state: str) -> Draft:
    """The Node of a host, in one of this module's states."""
    fingerprint = (node, state, version)
    return Draft(
        NODES, "", node.name, fingerprint, lambda: _node(node, pool, project, version, state)
    )


def is_ready(node: GkeNode, state: str) -> bool:
    """Whether the node's Ready condition is True."""
    return node.ready and state not in (FAULTY, LOST, PREEMPTED)


def _node(
    node: GkeNode, pool: NodePool, project: Project, version: str, state: str
) -> dict[str, Any]:
    cordoned = node.deleting or state == DRAINED
    spec: dict[str, Any] = {
        "providerID": f"gce://{project.id}/{node.zone}/{node.name}",
    }
    if cordoned:
        spec["unschedulable"] = True
    if taints := _taints(node, cordoned, is_ready(node, state)):
        spec["taints"] = taints
    return {
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": metadata(
            NODES, "", node.name, node.created_at, labels=_labels(node, pool, project),
            annotations=_annotations(node, project),
            uid=uid_of(NODES.qualified, node.name, node.instance_id),
        ),
        "spec": spec,
        "status": _status(node, version, state),
    }  # fmt: skip


def _labels(node: GkeNode, pool: NodePool, project: Project) -> dict[str, str]:
    labels = {
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/instance-type": node.machine_type,
        "cloud.google.com/gke-nodepool": node.pool,
        "cloud.google.com/gke-os-distribution": "cos",
        "cloud.google.com/gke-container-runtime": "containerd",
        "cloud.google.com/machine-family": node.machine_type.split("-")[0],
        "failure-domain.beta.kubernetes.io/region": project.region,
        "failure-domain.beta.kubernetes.io/zone": node.zone,
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": node.name,
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": node.machine_type,
        "topology.gke.io/zone": node.zone,
        "topology.kubernetes.io/region": project.region,
        "topology.kubernetes.io/zone": node.zone,
    }
    if node.chips:
        labels["cloud.google.com/gke-accelerator-count"] = str(node.chips)
    return labels | pool.labels


def _annotations(node: GkeNode, project: Project) -> dict[str, str]:
    return {
        "container.googleapis.com/instance_id": str(node.instance_id),
        "node.gke.io/last-applied-node-labels": f"cloud.google.com/gke-nodepool={node.pool}",
        "volumes.kubernetes.io/controller-managed-attach-detach": "true",
        "csi.volume.kubernetes.io/nodeid": (
            '{"pd.csi.storage.gke.io":"projects/'
            f'{project.id}/zones/{node.zone}/instances/{node.name}"}}'
        ),
    }


def _taints(node: GkeNode, cordoned: bool, ready: bool) -> list[dict[str, str]]:
    taints: list[dict[str, str]] = []
    if node.chips:
        taints.append({"key": "google.com/tpu", "value": "present", "effect": "NoSchedule"})
    if cordoned:
        taints.append({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"})
    if not ready:
        taints.append({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"})
    return taints


def _status(node: GkeNode, version: str, state: str) -> dict[str, Any]:
    cpus, memory_gb = SIZES[node.machine_type]
    reserved = 70 + 2 * cpus
    millicpu = SHARED_CORE_MILLICPU.get(node.machine_type, cpus * 1000 - reserved)
    kept_back = min(4 * _GIB, memory_gb * 10**9 // 4)
    capacity = {
        "cpu": str(cpus), "ephemeral-storage": "98831908Ki",
        "memory": f"{memory_gb * 10**9 // 1024}Ki", "pods": "110",
    }  # fmt: skip
    allocatable = {
        "cpu": f"{millicpu}m", "ephemeral-storage": "47060071478",
        "memory": f"{(memory_gb * 10**9 - kept_back) // 1024}Ki", "pods": "110",
    }  # fmt: skip
    if node.chips:
        capacity["google.com/tpu"] = str(node.chips)
        # The device plugin offers no chip that it finds unhealthy, and none before it runs.
        offered = node.ready and state not in (FAULTY, LOST)
        allocatable["google.com/tpu"] = str(node.chips if offered else 0)
    return {
        "capacity": capacity,
        "allocatable": allocatable,
        "conditions": _conditions(node, state),
        "addresses": [
            {"type": "InternalIP", "address": node.internal_ip},
            {"type": "Hostname", "address": node.name},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "nodeInfo": {
            "machineID": f"{node.instance_id:032x}",
            "systemUUID": f"{node.instance_id:032x}",
            "bootID": f"{node.instance_id:032x}",
            "kernelVersion": _KERNEL,
            "osImage": _OS_IMAGE,
            "containerRuntimeVersion": _RUNTIME,
            "kubeletVersion": f"v{version}",
            "kubeProxyVersion": f"v{version}",
            "operatingSystem": "linux",
            "architecture": "amd64",
        },
    }


_READY: Final = {
    NORMAL: ("True", "KubeletReady", "kubelet is posting ready status"),
    FAULTY: ("False", "TPUDeviceUnhealthy", "uncorrectable HBM error: TPU chips are unhealthy"),
    LOST: ("Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status."),
}
_COMING: Final = (
    "False",
    "KubeletNotReady",
    "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady",
)


def _conditions(node: GkeNode, state: str) -> list[dict[str, str]]:
    since = rfc3339(node.ready_at or node.created_at)
    pressures = (
        ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    )
    rows = [(kind, "False", reason, text) for kind, reason, text in pressures]
    rows.append(("Ready", *(_READY.get(state, _READY[NORMAL]) if node.ready else _COMING)))
    return [
        {
            "type": kind,
            "status": status,
            "lastHeartbeatTime": HEARTBEAT,
            "lastTransitionTime": since,
            "reason": reason,
            "message": text,
        }
        for kind, status, reason, text in rows
    ]
