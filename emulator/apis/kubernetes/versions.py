"""Kinds that are served in another version than the one they are kept in: autoscaling/v1.

What v1 has no field for stands in annotations, as Kubernetes' own conversion has it (written from
memory of pkg/apis/autoscaling/v1/conversion.go). A bad annotation is refused.
"""

from __future__ import annotations

import copy
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from starlette.responses import Response, StreamingResponse

from emulator.apis.kubernetes.resources import Kind
from emulator.apis.kubernetes.status import bad_request

Obj = dict[str, Any]
_NOTES: Final = "autoscaling.alpha.kubernetes.io/"
_SAME: Final = ("scaleTargetRef", "minReplicas", "maxReplicas")
_STATUS_SAME: Final = ("observedGeneration", "lastScaleTime", "currentReplicas", "desiredReplicas")
# Type of a metric → its field, and v1's name of each part with its path in v2; {} is "target" in a
# specification and "current" in a status, with which v1's names begin.
_METRICS: Final[dict[str, tuple[str, dict[str, tuple[str, ...]]]]] = {
    "Resource": ("resource", {
        "name": ("name",), "{}AverageUtilization": ("{}", "averageUtilization"),
        "{}AverageValue": ("{}", "averageValue"),
    }),
    "ContainerResource": ("containerResource", {
        "name": ("name",), "container": ("container",),
        "{}AverageUtilization": ("{}", "averageUtilization"),
        "{}AverageValue": ("{}", "averageValue"),
    }),
    "Pods": ("pods", {
        "metricName": ("metric", "name"), "selector": ("metric", "selector"),
        "{}AverageValue": ("{}", "averageValue"),
    }),
    "Object": ("object", {
        "target": ("describedObject",), "metricName": ("metric", "name"),
        "selector": ("metric", "selector"), "{}Value": ("{}", "value"),
        "averageValue": ("{}", "averageValue"),
    }),
    "External": ("external", {
        "metricName": ("metric", "name"), "metricSelector": ("metric", "selector"),
        "{}Value": ("{}", "value"), "{}AverageValue": ("{}", "averageValue"),
    }),
}  # fmt: skip
# The target's type in v2, by what it gives.
_TYPES: Final = {"averageUtilization": "Utilization", "averageValue": "AverageValue",
                 "value": "Value"}  # fmt: skip


def lowered(kind: Kind, body: Mapping[str, Any]) -> Obj:
    """An object as it is kept → as `kind`'s version shows it."""
    spec, status = body.get("spec", {}), body.get("status", {})
    found, notes = {k: spec[k] for k in _SAME if k in spec}, {}
    others = []
    for metric in spec.get("metrics") or ():
        if (used := _cpu(metric, "target")) is not None:
            found["targetCPUUtilizationPercentage"] = used
        else:
            others.append(_metric_down(metric, "target"))
    shown = {k: status[k] for k in _STATUS_SAME if k in status}
    current = []
    for metric in status.get("currentMetrics") or ():
        if (used := _cpu(metric, "current")) is not None:
            shown["currentCPUUtilizationPercentage"] = used
        else:
            current.append(_metric_down(metric, "current"))
    for name, value in (
        ("metrics", others), ("behavior", spec.get("behavior")),
        ("conditions", status.get("conditions")), ("current-metrics", current),
    ):  # fmt: skip
        if value:
            notes[_NOTES + name] = json.dumps(value, separators=(",", ":"))
    meta = copy.deepcopy(dict(body.get("metadata", {})))
    if notes:
        meta["annotations"] = {**meta.get("annotations", {}), **notes}
    made: Obj = {"kind": body["kind"], "apiVersion": kind.api_version, "metadata": meta,
                 "spec": found}  # fmt: skip
    if "status" in body:
        made["status"] = shown
    return made


def raised(kept: Kind, body: Mapping[str, Any]) -> Obj:
    """An object of the version that was asked for → as it is kept.

    Raises:
        StatusError: 400, an annotation that is no JSON.
    """
    meta = copy.deepcopy(dict(body.get("metadata", {})))
    annotations = {**(meta.get("annotations") or {})}
    told = {name: _note(annotations, name)
            for name in ("metrics", "behavior", "conditions", "current-metrics")}  # fmt: skip
    if "annotations" in meta:
        meta["annotations"] = annotations
        if not annotations:
            del meta["annotations"]
    spec, status = body.get("spec") or {}, body.get("status") or {}
    found = {k: spec[k] for k in _SAME if k in spec}
    metrics = [_metric_up(m, "target") for m in told["metrics"] or ()]
    if (used := spec.get("targetCPUUtilizationPercentage")) is not None:
        metrics.append(_cpu_metric("target", used))
    if metrics:
        found["metrics"] = metrics
    if told["behavior"]:
        found["behavior"] = told["behavior"]
    made = {**body, "apiVersion": kept.api_version, "metadata": meta, "spec": found}
    if "status" in body:
        shown = {k: status[k] for k in _STATUS_SAME if k in status}
        current = [_metric_up(m, "current") for m in told["current-metrics"] or ()]
        if (used := status.get("currentCPUUtilizationPercentage")) is not None:
            current.append(_cpu_metric("current", used))
        shown |= {"currentMetrics": current} if current else {}
        shown |= {"conditions": told["conditions"]} if told["conditions"] else {}
        made["status"] = shown
    return made


def _note(annotations: dict[str, str], name: str) -> Any:
    text = annotations.pop(_NOTES + name, None)
    if text is None:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError, TypeError) as error:
        raise bad_request(f"annotation {_NOTES}{name}: {error}") from error
    if not isinstance(value, dict if name == "behavior" else list):
        raise bad_request(f"annotation {_NOTES}{name}: json: cannot unmarshal")
    return value


def _cpu(metric: Mapping[str, Any], way: str) -> Any:
    """The utilisation of processors that a metric wants or has; None if it is another metric."""
    resource = metric.get("resource") or {}
    if metric.get("type") != "Resource" or resource.get("name") != "cpu":
        return None
    return (resource.get(way) or {}).get("averageUtilization")


def _cpu_metric(way: str, used: Any) -> Obj:
    value = {"averageUtilization": used} | ({"type": "Utilization"} if way == "target" else {})
    return {"type": "Resource", "resource": {"name": "cpu", way: value}}


def _metric_down(metric: Mapping[str, Any], way: str) -> Obj:
    kind = str(metric.get("type"))
    if kind not in _METRICS:
        return dict(metric)
    field, parts = _METRICS[kind]
    built: Obj = {}
    for name, path in parts.items():
        value: Any = metric.get(field) or {}
        for step in path:
            value = (value or {}).get(step.format(way))
        if value is not None:
            built[name.format(way)] = value
    return {"type": kind, field: built}


def _metric_up(metric: Any, way: str) -> Obj:
    kind = str(metric.get("type")) if isinstance(metric, dict) else ""
    field, parts = _METRICS.get(kind, ("", {}))
    told, built = metric.get(field) if field else None, {}
    if not isinstance(told, dict):
        raise bad_request(f"annotation {_NOTES}metrics: unknown metric {str(metric)[:80]!r}")
    for name, path in parts.items():
        value = told.get(name.format(way))
        if value is None:
            continue
        into: Obj = built
        for step in path[:-1]:
            into = into.setdefault(step.format(way), {})
        into[path[-1]] = value
        if way == "target" and path[-1] in _TYPES:
            into["type"] = _TYPES[path[-1]]
    return {"type": kind, field: built}


def answer(kind: Kind, response: Response) -> Response:
    """An answer about objects as they are kept → in the version that was asked for."""
    if isinstance(response, StreamingResponse):
        response.body_iterator = _lines(kind, response.body_iterator)
        return response
    found = _shown(kind, json.loads(bytes(response.body)))
    headers = {k: v for k, v in response.headers.items() if k != "content-length"}
    return Response(json.dumps(found, separators=(",", ":")), response.status_code, headers)


async def _lines(kind: Kind, lines: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    async for line in lines:
        told = json.loads(line)
        told["object"] = _shown(kind, told["object"])
        yield json.dumps(told, separators=(",", ":")).encode() + b"\n"


def _shown(kind: Kind, body: Any) -> Any:
    """One object, a list, a Table with objects in it, or something else."""
    if body.get("kind") == kind.name:
        return lowered(kind, body)
    if body.get("kind") == kind.list_kind:
        items = [lowered(kind, item) for item in body["items"]]
        return {**body, "apiVersion": kind.api_version, "items": items}
    if body.get("kind") == "Table":
        rows = [{**row, "object": _shown(kind, row["object"])} if row.get("object") else row
                for row in body["rows"]]  # fmt: skip
        return {**body, "rows": rows}
    return body
