"""Events that controllers and callers report, in core's shape and in that of events.k8s.io.

Those that follow from the fleet stand in happenings.py and events.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from emulator.apis.kubernetes.resources import NEW_EVENTS, Kind
from emulator.clock import rfc3339


def noted(
    about: Mapping[str, Any], kind: Kind, reason: str, message: str, sort: str, component: str,
    at: float,
) -> dict[str, Any]:  # fmt: skip
    """A core Event about an object; the same one always has the same name."""
    meta = about["metadata"]
    told = f"{kind.qualified}/{meta.get('uid')}/{reason}/{message}/{sort}/{component}"
    digest = hashlib.blake2s(told.encode(), digest_size=8).hexdigest()
    regarding = {
        "kind": kind.name,
        "apiVersion": kind.api_version,
        "name": meta["name"],
        "uid": meta.get("uid", ""),
        "resourceVersion": meta.get("resourceVersion", ""),
    }
    if meta.get("namespace"):
        regarding["namespace"] = meta["namespace"]
    when = rfc3339(at)
    return {
        "kind": "Event",
        "apiVersion": "v1",
        "metadata": {
            "name": f"{meta['name']}.{digest}",
            "namespace": meta.get("namespace") or "default",
        },
        "involvedObject": regarding,
        "reason": reason,
        "message": message,
        "type": sort,
        "source": {"component": component},
        "reportingComponent": component,
        "reportingInstance": "",
        "firstTimestamp": when,
        "lastTimestamp": when,
        "eventTime": None,
        "count": 1,
    }


def as_new_event(event: Mapping[str, Any]) -> dict[str, Any]:
    """The same event as events.k8s.io shows it."""
    return {
        "kind": "Event",
        "apiVersion": NEW_EVENTS.api_version,
        "metadata": dict(event["metadata"]),
        "eventTime": event.get("eventTime"),
        "reason": event.get("reason", ""),
        "type": event.get("type", ""),
        "note": event.get("message", ""),
        "regarding": event.get("involvedObject", {}),
        "reportingController": event.get("reportingComponent", ""),
        "reportingInstance": event.get("reportingInstance", ""),
        "deprecatedSource": event.get("source", {}),
        "deprecatedFirstTimestamp": event.get("firstTimestamp"),
        "deprecatedLastTimestamp": event.get("lastTimestamp"),
        "deprecatedCount": event.get("count", 1),
    }
