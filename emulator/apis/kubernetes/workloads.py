"""Namespaces, services, Deployments with their ReplicaSets, LeaderWorkerSets, system workloads.

Pods are pods.py's. The project keeps a workload's replicas at the size that its pools were asked to
have, as a controller of its own would.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from emulator.apis.kubernetes.drafts import Draft, metadata, owner
from emulator.apis.kubernetes.naming import (
    SERVER_PORT,
    namespace_of,
    suffix,
    template_hash,
    workload_of,
)
from emulator.apis.kubernetes.pods import ServerPod, pod_spec, server_labels
from emulator.apis.kubernetes.resources import (
    DEPLOYMENTS,
    LEADER_WORKER_SETS,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    SERVICES,
)
from emulator.clock import rfc3339

if TYPE_CHECKING:
    from emulator.apis.gke.nodes import GkeNode
    from emulator.scenario import Project, TierSeed

_SYSTEM_NAMESPACES: Final = (
    "default", "gke-managed-system", "gmp-system", "kube-node-lease", "kube-public", "kube-system",
)  # fmt: skip
# Deployments that GKE runs for itself: namespace, name, replicas, image.
SYSTEM_WORKLOADS: Final = (
    ("gmp-system", "gmp-operator", 1, "gke.gcr.io/prometheus-engine/operator:v0.15.3-gke.0"),
    ("kube-system", "kube-dns", 2, "gke.gcr.io/k8s-dns-kube-dns:1.24.0-gke.0"),
    ("kube-system", "metrics-server", 1, "gke.gcr.io/metrics-server:v0.7.2-gke.0"),
    ("lws-system", "lws-controller-manager", 1, "registry.k8s.io/lws/lws:v0.7.0"),
)


def runs_in_gke(seed: TierSeed) -> bool:
    """Whether a tier has a workload in the cluster, maybe scaled to nothing."""
    return bool(seed.gke_slices) or not (seed.vertex_replicas or seed.tpu_vms)


def namespace_drafts(seeds: Sequence[TierSeed], began: float) -> Iterator[Draft]:
    """One namespace per tier, and those of the system."""
    system = {*_SYSTEM_NAMESPACES, *(namespace for namespace, *_ in SYSTEM_WORKLOADS)}
    tiers = {namespace_of(seed.name): seed.name for seed in seeds}
    for name in sorted(system | tiers.keys()):
        labels = {"kubernetes.io/metadata.name": name}
        if name in tiers:
            labels["heartwood-tier"] = tiers[name]
        yield Draft(NAMESPACES, "", name, began, _namespace(name, labels, began))


def _namespace(name: str, labels: dict[str, str], began: float) -> Any:
    return lambda: {
        "kind": "Namespace",
        "apiVersion": "v1",
        "metadata": metadata(NAMESPACES, "", name, began, labels=labels),
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def service_drafts(seeds: Sequence[TierSeed], began: float) -> Iterator[Draft]:
    """The API server's own service, and one per tier, which the load balancer's NEG follows."""
    yield Draft(
        SERVICES, "default", "kubernetes", began,
        lambda: _service("default", "kubernetes", "10.32.0.1", 443, 443, {}, began),
    )  # fmt: skip
    for seed in seeds:
        yield _tier_service(seed, began)


def _tier_service(seed: TierSeed, began: float) -> Draft:
    namespace, name = namespace_of(seed.name), workload_of(seed.name)
    octet = hashlib.blake2s(seed.name.encode(), digest_size=1).digest()[0]
    return Draft(
        SERVICES, namespace, name, began,
        lambda: _service(
            namespace, name, f"10.32.1.{max(1, octet)}", 80, SERVER_PORT, server_labels(seed), began
        ),
    )  # fmt: skip


def _service(
    namespace: str, name: str, address: str, port: int, target: int, selector: dict[str, str],
    began: float,
) -> dict[str, Any]:  # fmt: skip
    spec: dict[str, Any] = {
        "clusterIP": address,
        "clusterIPs": [address],
        "internalTrafficPolicy": "Cluster",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "ports": [{"name": "http", "port": port, "protocol": "TCP", "targetPort": target}],
        "sessionAffinity": "None",
        "type": "ClusterIP",
    }
    annotations = {}
    if selector:
        spec["selector"] = selector
        annotations = {"cloud.google.com/neg": f'{{"exposed_ports":{{"{port}":{{}}}}}}'}
    return {
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": metadata(SERVICES, namespace, name, began, selector, annotations),
        "spec": spec,
        "status": {"loadBalancer": {}},
    }


def workload_drafts(
    seed: TierSeed, wanted: int, pods: Sequence[ServerPod], project: Project, began: float
) -> Iterator[Draft]:
    """A tier's workload; `wanted` slices, and the pods that there are."""
    namespace, name = namespace_of(seed.name), workload_of(seed.name)
    if seed.multi_host:
        groups: dict[str, list[ServerPod]] = {}
        for pod in pods:
            groups.setdefault(pod.node.pool, []).append(pod)
        ready = sum(
            len(group) == seed.hosts_per_slice and all(pod.ready for pod in group)
            for group in groups.values()
        )
        yield Draft(
            LEADER_WORKER_SETS, namespace, name, (wanted, ready, len(groups)),
            lambda: _leader_worker_set(seed, wanted, ready, len(groups), project, began),
        )  # fmt: skip
        return
    ready = sum(pod.ready for pod in pods)
    counts = (wanted, len(pods), ready)
    template = pod_spec(seed, project)
    yield from deployment_drafts(
        namespace, name, template_hash(seed.name), counts, server_labels(seed), template, began
    )


def deployment_drafts(
    namespace: str,
    name: str,
    digest: str,
    counts: tuple[int, int, int],
    labels: dict[str, str],
    template: dict[str, Any],
    began: float,
) -> Iterator[Draft]:
    """A Deployment and its one ReplicaSet; `counts` are replicas wanted, there, and ready."""
    for kind, called in ((DEPLOYMENTS, name), (REPLICA_SETS, f"{name}-{digest}")):
        hashed = labels if kind is DEPLOYMENTS else {**labels, "pod-template-hash": digest}
        yield Draft(
            kind, namespace, called, counts,
            _replicated(kind, namespace, called, counts, hashed, template, began, name),
        )  # fmt: skip


def _replicated(
    kind: Any, namespace: str, name: str, counts: tuple[int, int, int], labels: dict[str, str],
    template: dict[str, Any], began: float, deployment: str,
) -> Any:  # fmt: skip
    wanted, there, ready = counts
    is_deployment = kind is DEPLOYMENTS

    def make() -> dict[str, Any]:
        owners = None if is_deployment else owner(DEPLOYMENTS, namespace, deployment)
        status: dict[str, Any] = {"observedGeneration": 1, "replicas": there}
        status |= {"readyReplicas": ready, "availableReplicas": ready}
        if is_deployment:
            status["updatedReplicas"] = there
            if there > ready:
                status["unavailableReplicas"] = there - ready
            status["conditions"] = _deployment_conditions(ready >= wanted, began)
        else:
            status["fullyLabeledReplicas"] = there
        spec: dict[str, Any] = {
            "replicas": wanted,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": template},
        }
        if is_deployment:
            rolling = {"maxSurge": 0, "maxUnavailable": 1}
            spec["strategy"] = {"type": "RollingUpdate", "rollingUpdate": rolling}
        return {
            "kind": kind.name,
            "apiVersion": kind.api_version,
            "metadata": metadata(
                kind, namespace, name, began, labels,
                {"deployment.kubernetes.io/revision": "1"}, generation=1, ownerReferences=owners,
            ),
            "spec": spec,
            "status": status,
        }  # fmt: skip

    return make


def _deployment_conditions(available: bool, began: float) -> list[dict[str, str]]:
    since = rfc3339(began)
    rows = (
        ("Available", available, "MinimumReplicasAvailable" if available
         else "MinimumReplicasUnavailable"),
        ("Progressing", True, "NewReplicaSetAvailable" if available else "ReplicaSetUpdated"),
    )  # fmt: skip
    return [
        {
            "type": kind,
            "status": "True" if holds else "False",
            "reason": reason,
            "message": "",
            "lastUpdateTime": since,
            "lastTransitionTime": since,
        }
        for kind, holds, reason in rows
    ]


def _leader_worker_set(
    seed: TierSeed, wanted: int, ready: int, there: int, project: Project, began: float
) -> dict[str, Any]:
    namespace, name = namespace_of(seed.name), workload_of(seed.name)
    labels = server_labels(seed)
    available = {
        "type": "Available",
        "status": "True" if ready >= wanted else "False",
        "reason": "AllGroupsReady" if ready >= wanted else "GroupsProgressing",
        "message": "All replicas are ready" if ready >= wanted else "Replicas are progressing",
        "lastTransitionTime": rfc3339(began),
    }
    return {
        "kind": LEADER_WORKER_SETS.name,
        "apiVersion": LEADER_WORKER_SETS.api_version,
        "metadata": metadata(LEADER_WORKER_SETS, namespace, name, began, labels, generation=1),
        "spec": {
            "replicas": wanted,
            "startupPolicy": "LeaderCreated",
            "networkConfig": {"subdomainPolicy": "Shared"},
            "rolloutStrategy": {"type": "RollingUpdate"},
            "leaderWorkerTemplate": {
                "size": seed.hosts_per_slice,
                "restartPolicy": "RecreateGroupOnPodRestart",
                "workerTemplate": {
                    "metadata": {"labels": labels},
                    "spec": pod_spec(seed, project),
                },
            },
        },
        "status": {
            "replicas": there,
            "readyReplicas": ready,
            "updatedReplicas": there,
            "hpaPodSelector": f"leaderworkerset.sigs.k8s.io/name={name},"
            "leaderworkerset.sigs.k8s.io/worker-index=0",
            "conditions": [available],
        },
    }


def system_drafts(hosts: Sequence[GkeNode], began: float) -> Iterator[Draft]:
    """GKE's own Deployments and their pods, on the hosts without chips."""
    for namespace, name, replicas, image in SYSTEM_WORKLOADS:
        digest = hashlib.blake2s(name.encode(), digest_size=5).hexdigest()
        labels = {"k8s-app": name}
        template = {"containers": [{"name": name, "image": image}]}
        placed = min(replicas, len(hosts))
        counts = (replicas, placed, placed)
        yield from deployment_drafts(namespace, name, digest, counts, labels, template, began)
        for index in range(placed):
            host = hosts[(index + len(name)) % len(hosts)]
            pod = f"{name}-{digest}-{suffix(f'{name}/{index}')}"
            yield Draft(
                PODS, namespace, pod, host,
                _system_pod(namespace, pod, {**labels, "pod-template-hash": digest}, host,
                            template, f"{name}-{digest}", began),
            )  # fmt: skip


def _system_pod(
    namespace: str, name: str, labels: dict[str, str], host: GkeNode, template: dict[str, Any],
    replica_set: str, began: float,
) -> Any:  # fmt: skip
    since = rfc3339(began)
    container = template["containers"][0]

    def make() -> dict[str, Any]:
        conditions = [
            {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": since}
            for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
        ]
        status = {
            "phase": "Running",
            "conditions": conditions,
            "hostIP": host.internal_ip,
            "podIP": host.internal_ip,
            "startTime": since,
            "containerStatuses": [
                {
                    **container,
                    "imageID": "",
                    "ready": True,
                    "started": True,
                    "restartCount": 0,
                    "state": {"running": {"startedAt": since}},
                }
            ],
        }
        owners = owner(REPLICA_SETS, namespace, replica_set)
        return {
            "kind": "Pod",
            "apiVersion": "v1",
            "metadata": metadata(PODS, namespace, name, began, labels, ownerReferences=owners),
            "spec": {**template, "nodeName": host.name, "hostNetwork": True},
            "status": status,
        }

    return make
