"""Services' endpoints: Endpoints and EndpointSlices follow the pods that a Service selects.

Services of the scenario's tiers have none: what stands behind those is the load balancer's NEG.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from emulator.apis.kubernetes.controllers.contract import Obj
from emulator.apis.kubernetes.controllers.fitting import ZONES
from emulator.apis.kubernetes.controllers.objects import (
    going,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from emulator.apis.kubernetes.controllers.templates import is_ready, phase_of
from emulator.apis.kubernetes.controllers.view import View, refusal
from emulator.apis.kubernetes.naming import suffix

_SLICE: Final = 100  # endpoints in one EndpointSlice
_MANAGER: Final = "endpointslice-controller.k8s.io"


def run(view: View) -> None:
    """Every Service that selects pods."""
    for service in view.mine("Service"):
        spec = service["spec"]
        if spec.get("selector") and spec.get("type") != "ExternalName" and not going(service):
            pods = pods_of(view, service)
            _slices(view, service, pods)
            _endpoints(view, service, pods)


def pods_of(view: View, service: Obj) -> list[Obj]:
    """Pods with an address behind a Service, by name."""
    wanted = (service["spec"].get("selector") or {}).items()
    if not wanted:
        return []
    return [
        pod
        for pod in view.all("Pod")
        if namespace_of(pod) == namespace_of(service)
        and wanted <= labels_of(pod).items()
        and (pod.get("status") or {}).get("podIP")
        and phase_of(pod) not in ("Succeeded", "Failed")
    ]


def target_port(port: Obj, pods: Sequence[Obj]) -> int | None:
    """The number that a Service's port leads to; None when no pod has a port of that name."""
    target = port.get("targetPort", port["port"])
    if isinstance(target, int) or str(target).isdecimal():
        return int(target)
    for pod in pods:
        for container in pod["spec"]["containers"]:
            for one in container.get("ports") or ():
                if one.get("name") == target:
                    return int(one["containerPort"])
    return None


def _ports(service: Obj, pods: Sequence[Obj]) -> list[Obj]:
    found: list[Obj] = []
    for port in service["spec"].get("ports") or ():
        number = target_port(port, pods)
        if number is not None:
            name, protocol = port.get("name", ""), port.get("protocol", "TCP")
            found.append({"name": name, "port": number, "protocol": protocol})
    return found


def _slices(view: View, service: Obj, pods: Sequence[Obj]) -> None:
    zones = {
        name_of(node): next((labels_of(node)[z] for z in ZONES if z in labels_of(node)), None)
        for node in view.all("Node")
    } if pods else {}  # fmt: skip
    always = bool(service["spec"].get("publishNotReadyAddresses"))
    endpoints = [_endpoint(pod, always, zones) for pod in pods]
    ports = _ports(service, pods)
    pages = [endpoints[i : i + _SLICE] for i in range(0, len(endpoints), _SLICE)] or [[]]
    kept = {name_of(s): s for s in view.owned(service, "EndpointSlice")}
    for number, page in enumerate(pages):
        name = f"{name_of(service)}-{suffix(f'{uid_of(service)}/{number}')}"
        body: Obj = {"addressType": "IPv4", "endpoints": page, "ports": ports}
        old = kept.pop(name, None)
        if old is not None:
            view.put({**old, **body})
            continue
        labels = {
            **labels_of(service),
            "kubernetes.io/service-name": name_of(service),
            "endpointslice.kubernetes.io/managed-by": _MANAGER,
        }
        made: Obj = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": name,
                "namespace": namespace_of(service),
                "labels": labels,
                "ownerReferences": [owner_reference(service)],
            },
            **body,
        }
        refusal(lambda made=made: view.create(made))
    for surplus in kept.values():
        view.remove(surplus)


def _endpoint(pod: Obj, always: bool, zones: dict[str, str | None]) -> Obj:
    ready, leaving = is_ready(pod), going(pod)
    node = pod["spec"].get("nodeName", "")
    made: Obj = {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {
            "ready": always or (ready and not leaving),
            "serving": ready,
            "terminating": leaving,
        },
        "targetRef": _reference(pod),
        "nodeName": node,
    }
    if zone := zones.get(node):
        made["zone"] = zone
    return made


def _reference(pod: Obj) -> Obj:
    return {
        "kind": "Pod",
        "namespace": namespace_of(pod),
        "name": name_of(pod),
        "uid": uid_of(pod),
    }


def _endpoints(view: View, service: Obj, pods: Sequence[Obj]) -> None:
    name, namespace = name_of(service), namespace_of(service)
    sorts: dict[str, list[Obj]] = {"addresses": [], "notReadyAddresses": []}
    always = bool(service["spec"].get("publishNotReadyAddresses"))
    for pod in pods:
        if going(pod):
            continue
        sort = "addresses" if always or is_ready(pod) else "notReadyAddresses"
        sorts[sort].append(
            {
                "ip": pod["status"]["podIP"],
                "nodeName": pod["spec"].get("nodeName", ""),
                "targetRef": _reference(pod),
            }
        )
    subset: Obj = {k: v for k, v in sorts.items() if v}
    subsets = [{**subset, "ports": _ports(service, pods)}] if subset else []
    old = view.get("Endpoints", namespace, name)
    if old is not None:
        view.put({**old, "subsets": subsets})
        return
    made: Obj = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": dict(labels_of(service)),
            "ownerReferences": [owner_reference(service)],
        },
        "subsets": subsets,
    }
    refusal(lambda: view.create(made))
