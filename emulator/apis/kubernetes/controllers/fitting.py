"""Which pods fit which nodes: kube-scheduler's filters in their order; pure.

Taints, node selectors and required node affinity, host ports, resources. Affinity between pods,
topology spread and pre-emption are not looked at, except that a LeaderWorkerSet's group keeps to
one node pool (see placing.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from emulator.apis.kubernetes.controllers.contract import Obj
from emulator.apis.kubernetes.controllers.objects import holds, labels_of, meets, milli, name_of

TPU: Final = "google.com/tpu"
POOL: Final = "cloud.google.com/gke-nodepool"
ZONES: Final = ("topology.gke.io/zone", "topology.kubernetes.io/zone")
_UNSCHEDULABLE: Final = "node.kubernetes.io/unschedulable"
_BLOCKING: Final = ("NoSchedule", "NoExecute")

UNMATCHED: Final = "node(s) didn't match Pod's node affinity/selector"
CORDONED: Final = "node(s) were unschedulable"
PORTS: Final = "node(s) didn't have free ports for the requested pod ports"
VOLUME: Final = "node(s) had volume node affinity conflict"
GROUP: Final = "node(s) didn't match pod affinity rules"


@dataclass(frozen=True, slots=True)
class Host:
    """A node as the scheduler sees it; amounts in thousandths."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[Mapping[str, str], ...]
    cordoned: bool
    ready: bool
    allocatable: Mapping[str, int]

    @property
    def pool(self) -> str:
        """Its node pool."""
        return self.labels.get(POOL, "")


@dataclass(slots=True)
class Room:
    """What is left on a host: resources (in thousandths) and host ports taken."""

    free: dict[str, int]
    ports: set[tuple[str, int]] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Ask:
    """A pod as the scheduler sees it; amounts in thousandths.

    Attributes:
        key: equal for pods that the same hosts suit. zones: where its volumes are; empty: anywhere.
        group: of a LeaderWorkerSet, "" for none. size: pods of that group. rank: number in it.
    """

    namespace: str
    name: str
    key: str
    spec: Mapping[str, Any]
    requests: Mapping[str, int]
    ports: frozenset[tuple[str, int]]
    zones: frozenset[str] = frozenset()
    group: str = ""
    size: int = 1
    rank: int = 0


def host_of(node: Obj) -> Host:
    """Of a Node."""
    spec, status = node.get("spec") or {}, node.get("status") or {}
    allocatable = status.get("allocatable") or {}
    return Host(
        name_of(node), labels_of(node), tuple(spec.get("taints") or ()),
        bool(spec.get("unschedulable")), holds(node, "Ready"),
        {resource: milli(amount) for resource, amount in allocatable.items()},
    )  # fmt: skip


def room_of(host: Host, pods: Iterable[Obj]) -> Room:
    """What a host has left beside the pods on it."""
    room = Room(dict(host.allocatable))
    for pod in pods:
        take(room, requests_of(pod["spec"]), ports_of(pod["spec"]))
    return room


def take(room: Room, requests: Mapping[str, int], ports: Iterable[tuple[str, int]]) -> None:
    """Give a pod its share."""
    for resource, amount in requests.items():
        room.free[resource] = room.free.get(resource, 0) - amount
    room.ports.update(ports)


def requests_of(spec: Mapping[str, Any]) -> dict[str, int]:
    """What a pod asks for, in thousandths: all containers, or its largest init container.

    A limit without a request is one; every pod takes one of "pods".
    """
    total: dict[str, int] = {}
    for container in spec.get("containers") or ():
        for resource, amount in _container_requests(container).items():
            total[resource] = total.get(resource, 0) + amount
    for container in spec.get("initContainers") or ():
        for resource, amount in _container_requests(container).items():
            total[resource] = max(total.get(resource, 0), amount)
    for resource, amount in (spec.get("overhead") or {}).items():
        total[resource] = total.get(resource, 0) + milli(amount)
    return {**total, "pods": 1000}


def _container_requests(container: Mapping[str, Any]) -> dict[str, int]:
    resources = container.get("resources") or {}
    asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {resource: milli(amount) for resource, amount in asked.items()}


def ports_of(spec: Mapping[str, Any]) -> frozenset[tuple[str, int]]:
    """(protocol, port) that a pod takes on its host."""
    own = bool(spec.get("hostNetwork"))
    return frozenset(
        (str(port.get("protocol", "TCP")), int(port.get("hostPort") or port["containerPort"]))
        for container in spec.get("containers") or ()
        for port in container.get("ports") or ()
        if own or port.get("hostPort")
    )


def key_of_spec(spec: Mapping[str, Any], zones: Iterable[str]) -> str:
    """What decides which hosts suit a pod, apart from their room."""
    fields = ("nodeSelector", "affinity", "tolerations", "nodeName")
    told = {f: spec.get(f) for f in fields if spec.get(f)}
    return json.dumps([told, TPU in requests_of(spec), sorted(zones)], sort_keys=True, default=str)


def unsuited(ask: Ask, host: Host) -> str:
    """Why the host never suits the pod, whatever its room; "" when it does."""
    tolerations: list[Mapping[str, Any]] = list(ask.spec.get("tolerations") or ())
    if TPU in ask.requests:  # GKE's admission adds it to pods that ask for chips
        tolerations.append({"key": TPU, "operator": "Exists", "effect": "NoSchedule"})
    mark = {"key": _UNSCHEDULABLE, "effect": "NoSchedule"}
    if host.cordoned and not _tolerates(tolerations, mark):
        return CORDONED
    for taint in host.taints:
        if taint.get("effect") in _BLOCKING and not _tolerates(tolerations, taint):
            shown = f"{taint['key']}: {taint.get('value', '')}"
            return f"node(s) had untolerated taint {{{shown}}}"
    if not host.ready:  # a node that lost its taint before its kubelet came back
        return "node(s) had untolerated taint {node.kubernetes.io/not-ready: }"
    if not _matches(ask.spec, host):
        return UNMATCHED
    if ask.zones and not ask.zones & {host.labels.get(zone, "") for zone in ZONES}:
        return VOLUME
    return ""


def lacking(ask: Ask, room: Room) -> list[str]:
    """What the host has too little of; empty when the pod fits."""
    if ask.ports & room.ports:
        return [PORTS]
    short = [r for r, amount in ask.requests.items() if amount > room.free.get(r, 0)]
    return ["Too many pods" if r == "pods" else f"Insufficient {r}" for r in short]


def _tolerates(tolerations: Iterable[Mapping[str, Any]], taint: Mapping[str, str]) -> bool:
    return any(_covers(t, taint) for t in tolerations)


def _covers(toleration: Mapping[str, Any], taint: Mapping[str, str]) -> bool:
    if toleration.get("effect") not in (None, "", taint.get("effect")):
        return False
    key = toleration.get("key") or ""
    if key not in ("", taint["key"]):
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return bool(key) and (toleration.get("value") or "") == (taint.get("value") or "")


def _matches(spec: Mapping[str, Any], host: Host) -> bool:
    selector = spec.get("nodeSelector") or {}
    if any(host.labels.get(k) != v for k, v in selector.items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    return any(_term(term, host) for term in required.get("nodeSelectorTerms") or ())


def _term(term: Mapping[str, Any], host: Host) -> bool:
    by_label, by_field = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not (by_label or by_field):  # an empty term matches nothing
        return False
    named = {"metadata.name": host.name}
    return all(meets(e, host.labels) for e in by_label) and all(meets(e, named) for e in by_field)
