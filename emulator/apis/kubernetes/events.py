"""Event objects, in core's shape and in that of events.k8s.io."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from emulator.apis.kubernetes.drafts import Draft, metadata
from emulator.apis.kubernetes.happenings import Happening
from emulator.apis.kubernetes.naming import uid_of
from emulator.apis.kubernetes.resources import EVENTS, NEW_EVENTS, NODES, Kind
from emulator.clock import rfc3339


def event_drafts(happening: Happening) -> Iterator[Draft]:
    """The one happening in both groups, under the same name."""
    told = f"{happening.at:.3f}/{happening.kind.name}/{happening.reason}/{happening.message}"
    digest = hashlib.blake2s(told.encode(), digest_size=8).hexdigest()
    name = f"{happening.name}.{digest}"
    for kind in (EVENTS, NEW_EVENTS):
        yield Draft(kind, happening.namespace, name, happening, _maker(kind, name, happening))


def _maker(kind: Kind, name: str, happening: Happening) -> Any:
    return lambda: _event(kind, name, happening)


def _event(kind: Kind, name: str, happening: Happening) -> dict[str, Any]:
    about_namespace = happening.namespace if happening.kind.namespaced else ""
    about: dict[str, Any] = {
        "kind": happening.kind.name,
        "apiVersion": happening.kind.api_version,
        "name": happening.name,
        # A kubelet gives its node's name for a uid, and kubectl looks for that.
        "uid": happening.name
        if happening.kind is NODES
        else uid_of(happening.kind.qualified, about_namespace, happening.name),
    }
    if about_namespace:
        about["namespace"] = about_namespace
    at = rfc3339(happening.at)
    body: dict[str, Any] = {
        "kind": "Event",
        "apiVersion": kind.api_version,
        "metadata": metadata(kind, happening.namespace, name, happening.at),
        "reason": happening.reason,
        "type": "Warning" if happening.warning else "Normal",
        "reportingController": happening.component,
        "reportingInstance": "",
    }
    if kind is NEW_EVENTS:
        return body | {
            "eventTime": None,
            "note": happening.message,
            "regarding": about,
            "deprecatedSource": {"component": happening.component},
            "deprecatedFirstTimestamp": at,
            "deprecatedLastTimestamp": at,
            "deprecatedCount": 1,
        }
    # core calls the reporter's fields otherwise
    body["reportingComponent"] = body.pop("reportingController")
    return body | {
        "eventTime": None,
        "message": happening.message,
        "involvedObject": about,
        "source": {"component": happening.component},
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }
