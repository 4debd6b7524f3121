"""Lists as Tables, in which `kubectl get` wants them: the usual columns, printed by the server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from emulator.apis.kubernetes.resources import (
    DEPLOYMENTS,
    EVENTS,
    LEADER_WORKER_SETS,
    NAMESPACES,
    NEW_EVENTS,
    NODES,
    PODS,
    REPLICA_SETS,
    SERVICES,
    Column,
    JsonObject,
    Kind,
)
from emulator.apis.kubernetes.store import Item

_NONE: Final = "<none>"


def table_columns(kind: Kind) -> list[dict[str, Any]]:
    """columnDefinitions."""
    return [_column(column) for column in kind.columns]


def _column(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": column.name,
        "priority": column.priority,
    }


def table_rows(kind: Kind, items: Iterable[Item], now: float, include: str) -> list[dict[str, Any]]:
    """Rows; `include` says what of the object comes along: Metadata, Object or None."""
    cells = _CELLS.get(kind, _plain)
    rows: list[dict[str, Any]] = []
    for item in items:
        row: dict[str, Any] = {"cells": cells(item.body, now)}
        if include == "Object":
            row["object"] = item.body
        elif include != "None":
            row["object"] = {
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": item.body["metadata"],
            }
        rows.append(row)
    return rows


def age(created: str | None, now: float) -> str:
    """How long ago, as kubectl writes it: 45s, 12m, 5h12m, 3d4h, 65d, 2y30d."""
    if not created:
        return "<unknown>"
    seconds = max(0, int(now - datetime.fromisoformat(created.replace("Z", "+00:00")).timestamp()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if days < 730:
        return f"{days}d"
    return f"{days // 365}y{days % 365}d"


def _created(body: JsonObject, now: float) -> str:
    return age(body["metadata"].get("creationTimestamp"), now)


def _node(body: JsonObject, now: float) -> list[Any]:
    status, info = body["status"], body["status"]["nodeInfo"]
    ready = next((c["status"] for c in status["conditions"] if c["type"] == "Ready"), "Unknown")
    shown = "Ready" if ready == "True" else "NotReady"
    if body["spec"].get("unschedulable"):
        shown += ",SchedulingDisabled"
    addresses = {a["type"]: a["address"] for a in status["addresses"]}
    return [
        body["metadata"]["name"], shown, _NONE, _created(body, now), info["kubeletVersion"],
        addresses.get("InternalIP", _NONE), addresses.get("ExternalIP", _NONE), info["osImage"],
        info["kernelVersion"], info["containerRuntimeVersion"],
    ]  # fmt: skip


def _pod(body: JsonObject, now: float) -> list[Any]:
    spec, status = body["spec"], body["status"]
    containers = status.get("containerStatuses", [])
    waiting = [c["state"]["waiting"]["reason"] for c in containers if "waiting" in c["state"]]
    shown = waiting[0] if waiting else status["phase"]
    if body["metadata"].get("deletionTimestamp"):
        shown = "Terminating"
    ready = sum(c["ready"] for c in containers)
    return [
        body["metadata"]["name"], f"{ready}/{len(spec['containers'])}", shown,
        str(sum(c["restartCount"] for c in containers)), _created(body, now),
        status.get("podIP", _NONE), spec.get("nodeName", _NONE), _NONE, _NONE,
    ]  # fmt: skip


def _selector(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in labels.items()) or _NONE


def _containers(body: JsonObject) -> tuple[str, str]:
    containers = body["spec"]["template"]["spec"]["containers"]
    return ",".join(c["name"] for c in containers), ",".join(c["image"] for c in containers)


def _deployment(body: JsonObject, now: float) -> list[Any]:
    spec, status = body["spec"], body["status"]
    return [
        body["metadata"]["name"], f"{status['readyReplicas']}/{spec['replicas']}",
        str(status["updatedReplicas"]), str(status["availableReplicas"]), _created(body, now),
        *_containers(body), _selector(spec["selector"]["matchLabels"]),
    ]  # fmt: skip


def _replica_set(body: JsonObject, now: float) -> list[Any]:
    spec, status = body["spec"], body["status"]
    return [
        body["metadata"]["name"], spec["replicas"], status["replicas"], status["readyReplicas"],
        _created(body, now), *_containers(body), _selector(spec["selector"]["matchLabels"]),
    ]  # fmt: skip


def _namespace(body: JsonObject, now: float) -> list[Any]:
    return [body["metadata"]["name"], body["status"]["phase"], _created(body, now)]


def _service(body: JsonObject, now: float) -> list[Any]:
    spec = body["spec"]
    ports = ",".join(f"{port['port']}/{port['protocol']}" for port in spec["ports"])
    return [
        body["metadata"]["name"], spec["type"], spec["clusterIP"], _NONE, ports,
        _created(body, now), _selector(spec.get("selector", {})),
    ]  # fmt: skip


def _event(body: JsonObject, now: float) -> list[Any]:
    about: JsonObject = body.get("involvedObject") or body["regarding"]
    first = body.get("firstTimestamp") or body.get("deprecatedFirstTimestamp")
    last = body.get("lastTimestamp") or body.get("deprecatedLastTimestamp")
    source: JsonObject = body.get("source") or body["deprecatedSource"]
    return [
        age(last, now), body["type"], body["reason"], f"{about['kind'].lower()}/{about['name']}",
        "", source["component"], body.get("message") or body.get("note"), age(first, now),
        str(body.get("count") or body.get("deprecatedCount")), body["metadata"]["name"],
    ]  # fmt: skip


def _plain(body: JsonObject, now: float) -> list[Any]:
    return [body["metadata"]["name"], _created(body, now)]


_CELLS: Final[Mapping[Kind, Callable[[JsonObject, float], list[Any]]]] = {
    NODES: _node,
    PODS: _pod,
    NAMESPACES: _namespace,
    SERVICES: _service,
    EVENTS: _event,
    NEW_EVENTS: _event,
    DEPLOYMENTS: _deployment,
    REPLICA_SETS: _replica_set,
    LEADER_WORKER_SETS: _plain,
}
