"""What each kind's columns hold, as `kubectl get` shows them; any stored object will do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from emulator.apis.kubernetes import resources as r
from emulator.apis.kubernetes.printing import (
    NONE,
    age,
    at_path,
    created,
    labels_of,
    name_of,
    part,
    seconds_of,
    span,
)
from emulator.apis.kubernetes.resources import Column, JsonObject, Kind

_MODES: Final = {
    "ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}  # fmt: skip
Cells = list[Any]


def cells_of(kind: Kind, body: JsonObject, now: float) -> Cells:
    """One row, in the order of the kind's columns."""
    made = _CELLS.get(kind)
    if made is not None:
        return made(body, now)
    return [_cell(column, body, now) for column in kind.columns]


def _cell(column: Column, body: JsonObject, now: float) -> Any:
    """A custom resource's own column."""
    if column.name == "Name" and not column.path:
        return body["metadata"]["name"]
    if not column.path:
        return created(body, now) if column.name == "Age" else NONE
    found = at_path(body, column.path)
    if column.type == "date":
        return age(found, now) if found is not None else None
    if isinstance(found, (dict, list)):
        return json.dumps(found)
    return found


def _node(body: JsonObject, now: float) -> Cells:
    status, spec = part(body, "status"), part(body, "spec")
    info = part(status, "nodeInfo")
    conditions = {c.get("type"): c.get("status") for c in status.get("conditions") or ()}
    shown = "Ready" if conditions.get("Ready", "Unknown") == "True" else "NotReady"
    if spec.get("unschedulable"):
        shown += ",SchedulingDisabled"
    addresses = {a["type"]: a["address"] for a in status.get("addresses") or ()}
    return [
        name_of(body), shown, NONE, created(body, now), info.get("kubeletVersion"),
        addresses.get("InternalIP", NONE), addresses.get("ExternalIP", NONE), info.get("osImage"),
        info.get("kernelVersion"), info.get("containerRuntimeVersion"),
    ]  # fmt: skip


def _pod(body: JsonObject, now: float) -> Cells:
    spec, status = part(body, "spec"), part(body, "status")
    containers = status.get("containerStatuses") or []
    ready = sum(bool(c.get("ready")) for c in containers)
    count = len(spec.get("containers") or ())
    return [
        name_of(body), f"{ready}/{count}", _pod_status(body, status, containers),
        str(sum(c.get("restartCount", 0) for c in containers)), created(body, now),
        status.get("podIP") or NONE, spec.get("nodeName") or NONE, NONE, NONE,
    ]  # fmt: skip


def _pod_status(body: JsonObject, status: Mapping[str, Any], containers: list[Any]) -> str:
    if body["metadata"].get("deletionTimestamp"):
        return "Terminating"
    shown = str(status.get("reason") or status.get("phase") or "Unknown")
    for container in containers:
        state = container.get("state") or {}
        for phase in ("waiting", "terminated"):
            if reason := (state.get(phase) or {}).get("reason"):
                shown = str(reason)
    return shown


def _selector(spec: Mapping[str, Any]) -> str:
    return labels_of((spec.get("selector") or {}).get("matchLabels"))


def _containers(spec: Mapping[str, Any]) -> tuple[str, str]:
    inner = ((spec.get("template") or {}).get("spec") or {}).get("containers") or ()
    return ",".join(c["name"] for c in inner), ",".join(str(c.get("image")) for c in inner)


def _deployment(body: JsonObject, now: float) -> Cells:
    spec, status = part(body, "spec"), part(body, "status")
    return [
        name_of(body), f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
        str(status.get("updatedReplicas", 0)), str(status.get("availableReplicas", 0)),
        created(body, now), *_containers(spec), _selector(spec),
    ]  # fmt: skip


def _replica_set(body: JsonObject, now: float) -> Cells:
    spec, status = part(body, "spec"), part(body, "status")
    return [
        name_of(body), spec.get("replicas", 0), status.get("replicas", 0),
        status.get("readyReplicas", 0), created(body, now), *_containers(spec), _selector(spec),
    ]  # fmt: skip


def _stateful_set(body: JsonObject, now: float) -> Cells:
    spec, status = part(body, "spec"), part(body, "status")
    ready = f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}"
    return [name_of(body), ready, created(body, now), *_containers(spec)]


def _job(body: JsonObject, now: float) -> Cells:
    spec, status = part(body, "spec"), part(body, "status")
    holds = {c.get("type") for c in status.get("conditions") or () if c.get("status") == "True"}
    state = next((s for s in ("Complete", "Failed", "Suspended") if s in holds), "Running")
    wanted = spec.get("completions")
    done = f"{status.get('succeeded', 0)}/{wanted if wanted is not None else 1}"
    took = ""
    if status.get("startTime"):
        end = status.get("completionTime")
        began = seconds_of(status["startTime"])
        took = span((seconds_of(end) if end else now) - began)
    return [
        name_of(body),
        state,
        done,
        took,
        created(body, now),
        *_containers(spec),
        _selector(spec),
    ]


def _namespace(body: JsonObject, now: float) -> Cells:
    return [name_of(body), part(body, "status").get("phase", "Active"), created(body, now)]


def _service(body: JsonObject, now: float) -> Cells:
    spec = part(body, "spec")
    ingress = (part(body, "status").get("loadBalancer") or {}).get("ingress") or ()
    outside = ",".join(str(i.get("ip") or i.get("hostname")) for i in ingress)
    if not outside:
        outside = "<pending>" if spec.get("type") == "LoadBalancer" else NONE
    ports = ",".join(_port(port) for port in spec.get("ports") or ())
    return [
        name_of(body), spec.get("type"), spec.get("clusterIP") or NONE,
        spec.get("externalName") or outside, ports or NONE, created(body, now),
        labels_of(spec.get("selector")),
    ]  # fmt: skip


def _port(port: Mapping[str, Any]) -> str:
    outer = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port.get('port')}{outer}/{port.get('protocol', 'TCP')}"


def _event(body: JsonObject, now: float) -> Cells:
    about = part(body, "involvedObject") or part(body, "regarding")
    made = body["metadata"].get("creationTimestamp")
    first = body.get("firstTimestamp") or body.get("deprecatedFirstTimestamp") or made
    last = body.get("lastTimestamp") or body.get("deprecatedLastTimestamp") or made
    source = part(body, "source") or part(body, "deprecatedSource")
    return [
        age(last, now), body.get("type"), body.get("reason"),
        f"{str(about.get('kind', '')).lower()}/{about.get('name')}", about.get("fieldPath", ""),
        source.get("component", ""), body.get("message") or body.get("note"), age(first, now),
        str(body.get("count") or body.get("deprecatedCount") or 1), name_of(body),
    ]  # fmt: skip


def _endpoints(body: JsonObject, now: float) -> Cells:
    found = [
        f"{address.get('ip')}:{port.get('port')}"
        for subset in body.get("subsets") or ()
        for port in subset.get("ports") or ({"port": ""},)
        for address in subset.get("addresses") or ()
    ]
    more = f" + {len(found) - 3} more..." if len(found) > 3 else ""
    return [name_of(body), ",".join(found[:3]) + more or NONE, created(body, now)]


def _endpoint_slice(body: JsonObject, now: float) -> Cells:
    ports = ",".join(str(p.get("port")) for p in body.get("ports") or ())
    found = [a for e in body.get("endpoints") or () for a in e.get("addresses") or ()]
    more = f" + {len(found) - 3} more..." if len(found) > 3 else ""
    shown = ",".join(found[:3]) + more
    kind = body.get("addressType")
    return [name_of(body), kind, ports or "<unset>", shown or "<unset>", created(body, now)]


def _access(spec: Mapping[str, Any]) -> str:
    modes: list[str] = spec.get("accessModes") or []
    return ",".join(_MODES.get(mode, mode) for mode in modes)


def _volume(body: JsonObject, now: float) -> Cells:
    spec, status = part(body, "spec"), part(body, "status")
    claim = spec.get("claimRef") or {}
    held = f"{claim.get('namespace')}/{claim.get('name')}" if claim else ""
    return [
        name_of(body), str((spec.get("capacity") or {}).get("storage", "")), _access(spec),
        spec.get("persistentVolumeReclaimPolicy"), status.get("phase", "Pending"), held,
        spec.get("storageClassName", ""), spec.get("volumeAttributesClassName") or "<unset>",
        status.get("reason", ""), created(body, now), spec.get("volumeMode", "Filesystem"),
    ]  # fmt: skip


def _claim(body: JsonObject, now: float) -> Cells:
    spec, status = part(body, "spec"), part(body, "status")
    going = body["metadata"].get("deletionTimestamp")
    bound = bool(spec.get("volumeName"))
    capacity = (status.get("capacity") or {}).get("storage", "") if bound else ""
    return [
        name_of(body), "Terminating" if going else status.get("phase", "Pending"),
        spec.get("volumeName", ""), str(capacity), _access(status if bound else {}),
        spec.get("storageClassName", ""), spec.get("volumeAttributesClassName") or "<unset>",
        created(body, now), spec.get("volumeMode", "Filesystem"),
    ]  # fmt: skip


def _count(*parts: str) -> Callable[[JsonObject, float], Cells]:
    def cells(body: JsonObject, now: float) -> Cells:
        return [name_of(body), sum(len(body.get(p) or ()) for p in parts), created(body, now)]

    return cells


def _secret(body: JsonObject, now: float) -> Cells:
    return [name_of(body), body.get("type"), len(body.get("data") or ()), created(body, now)]


def _autoscaler(body: JsonObject, now: float) -> Cells:
    spec, status = part(body, "spec"), part(body, "status")
    target = spec.get("scaleTargetRef") or {}
    current = status.get("currentMetrics") or []
    shown = ", ".join(
        _metric(metric, current[index] if index < len(current) else {})
        for index, metric in enumerate(spec.get("metrics") or ())
    )
    return [
        name_of(body), f"{target.get('kind')}/{target.get('name')}", shown or NONE,
        str(spec.get("minReplicas", "<unset>")), str(spec.get("maxReplicas")),
        status.get("currentReplicas", 0), created(body, now),
    ]  # fmt: skip


def _metric(metric: Mapping[str, Any], current: Any) -> str:
    sort = str(metric.get("type", ""))
    key = sort[:1].lower() + sort[1:]
    wanted = part(part(metric, key), "target")
    now = part(part(current, key), "current") if isinstance(current, dict) else {}
    name = f"{part(metric, key).get('name')}: " if sort == "Resource" else ""
    if "averageUtilization" in wanted:
        found = now.get("averageUtilization")
        is_now = "<unknown>" if found is None else f"{found}%"
        return f"{name}{is_now}/{wanted['averageUtilization']}%"
    for unit in ("averageValue", "value"):
        if unit in wanted:
            suffix = " (avg)" if unit == "averageValue" else ""
            return f"{name}{now.get(unit, '<unknown>')}/{wanted[unit]}{suffix}"
    return f"{name}<unknown>/<unknown>"


def _storage_class(body: JsonObject, now: float) -> Cells:
    notes = body["metadata"].get("annotations") or {}
    default = notes.get("storageclass.kubernetes.io/is-default-class") == "true"
    return [
        name_of(body) + (" (default)" if default else ""), body.get("provisioner"),
        body.get("reclaimPolicy"), body.get("volumeBindingMode"),
        str(bool(body.get("allowVolumeExpansion"))).lower(), created(body, now),
    ]  # fmt: skip


def _lease(body: JsonObject, now: float) -> Cells:
    return [name_of(body), part(body, "spec").get("holderIdentity"), created(body, now)]


def _disruption_budget(body: JsonObject, now: float) -> Cells:
    spec = part(body, "spec")
    allowed = part(body, "status").get("disruptionsAllowed", 0)
    least, most = spec.get("minAvailable", "N/A"), spec.get("maxUnavailable", "N/A")
    return [name_of(body), str(least), str(most), allowed, created(body, now)]


def _made(body: JsonObject, now: float) -> Cells:
    return [name_of(body), body["metadata"].get("creationTimestamp")]


def _role_binding(body: JsonObject, now: float) -> Cells:
    role = part(body, "roleRef")
    return [name_of(body), f"{role.get('kind')}/{role.get('name')}", created(body, now)]


_CELLS: Final[Mapping[Kind, Callable[[JsonObject, float], Cells]]] = {
    r.NODES: _node, r.PODS: _pod, r.NAMESPACES: _namespace, r.SERVICES: _service,
    r.EVENTS: _event, r.NEW_EVENTS: _event, r.ENDPOINTS: _endpoints, r.VOLUMES: _volume,
    r.CLAIMS: _claim, r.CONFIG_MAPS: _count("data", "binaryData"), r.SECRETS: _secret,
    r.SERVICE_ACCOUNTS: _count("secrets"), r.DEPLOYMENTS: _deployment,
    r.REPLICA_SETS: _replica_set, r.STATEFUL_SETS: _stateful_set, r.JOBS: _job,
    r.AUTOSCALERS: _autoscaler, r.STORAGE_CLASSES: _storage_class,
    r.ENDPOINT_SLICES: _endpoint_slice, r.LEASES: _lease,
    r.DISRUPTION_BUDGETS: _disruption_budget, r.ROLES: _made, r.CLUSTER_ROLES: _made,
    r.ROLE_BINDINGS: _role_binding, r.CLUSTER_ROLE_BINDINGS: _role_binding, r.DEFINITIONS: _made,
}  # fmt: skip
