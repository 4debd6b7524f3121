"""The NEG annotation: a Service's zonal NEGs in Compute, whose endpoints are its ready pods.

A NEG goes with its Service, or when its port is exposed no longer; as long as something refers to
it Compute keeps it, and it is tried again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from emulator.apis.compute.model import HOST, Body, state_of, stored
from emulator.apis.compute.writes import users_of
from emulator.apis.kubernetes.controllers.contract import Obj
from emulator.apis.kubernetes.controllers.endpoints import pods_of, target_port
from emulator.apis.kubernetes.controllers.fitting import ZONES
from emulator.apis.kubernetes.controllers.objects import (
    annotated,
    annotations_of,
    going,
    key_of,
    labels_of,
    name_of,
    namespace_of,
)
from emulator.apis.kubernetes.controllers.templates import is_ready
from emulator.apis.kubernetes.controllers.view import View

NEG: Final = "cloud.google.com/neg"
STATUS: Final = "cloud.google.com/neg-status"
_RETRY_S: Final = 60.0
_NAME: Final = "neg-controller"
MADE: Final = "negs"
Place = str  # "zones/Z/NAME"


def run(view: View) -> None:
    """Every Service; NEGs of those that are gone are removed."""
    wanted: dict[Place, str] = {}
    for service in view.mine("Service"):
        if not going(service):
            wanted |= _follow(view, service)
    made = view.state_notes(MADE, "made")
    for place in [p for p in made if p not in wanted]:
        _remove(view, place, made)


def exposed(annotation: str) -> dict[str, str]:
    """Ports that the annotation exposes, each with the name asked for ("": any).

    Raises:
        ValueError: the text is no JSON of that form.
    """
    told = json.loads(annotation)
    ports = told.get("exposed_ports") if isinstance(told, dict) else None
    if ports is None:
        return {}
    if not isinstance(ports, dict) or not all(isinstance(v, dict) for v in ports.values()):
        raise ValueError("exposed_ports must map ports to objects")
    return {str(port): str(value.get("name", "")) for port, value in ports.items()}


def neg_name(cluster: str, namespace: str, service: str, port: str) -> str:
    """The name that GKE makes up: k8s1, the cluster, namespace, Service, port, a hash."""
    mark = hashlib.blake2s(cluster.encode(), digest_size=4).hexdigest()
    whole = hashlib.blake2s(f"{cluster}/{namespace}/{service}/{port}".encode(), digest_size=4)
    return f"k8s1-{mark}-{namespace[:10]}-{service[:17]}-{port}-{whole.hexdigest()}"


def _follow(view: View, service: Obj) -> dict[Place, str]:
    """Keep a Service's NEGs; their places, with the Service's key."""
    annotation = annotations_of(service).get(NEG)
    if not annotation:
        return {}
    try:
        asked = exposed(annotation)
    except ValueError as error:
        text = f"error processing the annotation {NEG}: {error}"
        view.once(service, _NAME, "ProcessServiceFailed", text, warning=True)
        return {}
    ports = {str(p["port"]): p for p in service["spec"].get("ports") or ()}
    absent = sorted(set(asked) - set(ports))
    if absent:
        text = f"port {', '.join(absent)} in annotation {NEG} is no port of the Service"
        view.once(service, _NAME, "ProcessServiceFailed", text, warning=True)
    zones = _zones(view)
    names: dict[str, str] = {}
    found: dict[Place, str] = {}
    for port in sorted(set(asked) & set(ports), key=int):
        name = asked[port] or neg_name(view.cluster.name, *key_of(service), port)
        pods = pods_of(view, service)
        number = target_port(ports[port], pods)
        for zone in zones:
            place = f"zones/{zone}/{name}"
            if not _ensure(view, service, place, port):
                continue
            found[place] = "/".join(key_of(service))
            _attach(view, place, _endpoints(view, pods, zone, number))
        if any(place.endswith(f"/{name}") for place in found):
            names[port] = name
    if names:
        status = {"network_endpoint_groups": names, "zones": zones}
        told = json.dumps(status, separators=(",", ":"))
        if annotations_of(service).get(STATUS) != told:
            view.put(annotated(service, {STATUS: told}))
    return found


def _zones(view: View) -> list[str]:
    """Zones in which the cluster has nodes."""
    found = {next((labels_of(n)[z] for z in ZONES if z in labels_of(n)), "")
             for n in view.all("Node")}  # fmt: skip
    return sorted(found - {""})


def _endpoints(view: View, pods: list[Obj], zone: str, port: int | None) -> list[Body]:
    if port is None:
        return []
    here = {n.name for p in view.cluster.pools.values() for n in p.nodes.values() if n.zone == zone}
    return [
        {"instance": pod["spec"]["nodeName"], "ipAddress": pod["status"]["podIP"], "port": port}
        for pod in pods
        if is_ready(pod) and not going(pod) and pod["spec"].get("nodeName") in here
    ]


def _path(view: View, place: Place) -> str:
    zone, _, name = place.rpartition("/")
    return f"projects/{view.cloud.project.id}/{zone}/networkEndpointGroups/{name}"


def _ensure(view: View, service: Obj, place: Place, port: str) -> bool:
    """Make the NEG if it is not there; False when another's bears its name."""
    made, cloud = view.state_notes(MADE, "made"), view.cloud
    key = "/".join(key_of(service))
    scope, _, name = place.rpartition("/")
    with cloud.lock:
        state = state_of(cloud)
        there = state.at(_path(view, place)) is not None
        if there:
            if made.get(place) != key:
                text = f"the network endpoint group {name} exists and is not this Service's"
                view.once(service, _NAME, "SyncNetworkEndpointGroupFailed", text, warning=True)
                return False
            return True
        # Compute's own count would make ids depend on when the controllers ran.
        lives = view.state_notes(MADE, "lives")
        lives[place] = lives.get(place, 0) + 1
        body = _body(view, service, name, port)
        body = stored(cloud, "networkEndpointGroups", scope, body, lives[place], view.now)
        state.put("networkEndpointGroups", scope, body)
        made[place] = key
    text = f'Created NEG "{name}" for {key}-{name}-{port} in "{scope.removeprefix("zones/")}".'
    view.event(service, _NAME, "Create", text)
    view.writes += 1
    return True


def _body(view: View, service: Obj, name: str, port: str) -> Body:
    cluster, project = view.cluster, view.cloud.project
    about: Mapping[str, Any] = {
        "cluster-uid": hashlib.blake2s(cluster.name.encode(), digest_size=16).hexdigest(),
        "namespace": namespace_of(service),
        "service-name": name_of(service),
        "port": port,
    }
    base = f"{HOST}/projects/{project.id}"
    region = cluster.location
    if region.count("-") == 2:
        region = region.rpartition("-")[0]
    return {
        "name": name,
        "description": json.dumps(about, separators=(",", ":")),
        "networkEndpointType": "GCE_VM_IP_PORT",
        "network": f"{base}/global/networks/{cluster.network}",
        "subnetwork": f"{base}/regions/{region}/subnetworks/{cluster.subnetwork}",
    }


def _attach(view: View, place: Place, endpoints: list[Body]) -> None:
    path, cloud = _path(view, place), view.cloud
    with cloud.lock:
        kept = state_of(cloud).endpoints
        if kept.get(path, []) != endpoints:
            kept[path] = endpoints


def _remove(view: View, place: Place, made: dict[str, Any]) -> None:
    path, cloud = _path(view, place), view.cloud
    scope, _, name = place.rpartition("/")
    with cloud.lock:
        state = state_of(cloud)
        state.endpoints.pop(path, None)
        if any(True for _ in users_of(cloud, path)):
            view.wake(view.now + view.wall_s(_RETRY_S))
            return
        state.drop("networkEndpointGroups", scope, name)
        del made[place]
