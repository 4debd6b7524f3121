"""The schema of each kind: of Kubernetes' own, of the two builtin custom ones, of those of CRDs."""

from __future__ import annotations

from typing import Any, Final

from emulator.apis.kubernetes.builtin_custom import DATA_SOURCE, LEADER_WORKER_SET
from emulator.apis.kubernetes.resources import DATA_SOURCES, LEADER_WORKER_SETS, Kind
from emulator.apis.kubernetes.schema import REF, Schema

_BUILTIN_CUSTOM: Final = {LEADER_WORKER_SETS: LEADER_WORKER_SET, DATA_SOURCES: DATA_SOURCE}


def is_custom(kind: Kind) -> bool:
    """Whether a CRD describes it."""
    return not kind.model


def schema_of(kind: Kind) -> Schema:
    """The whole object's schema; may be a reference."""
    if kind.model:
        return {"$ref": REF + kind.model}
    given: Any = _BUILTIN_CUSTOM.get(kind) or kind.schema or {}
    properties = {
        **(given.get("properties") or {}),
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"$ref": REF + "V1ObjectMeta"},
    }
    return {**given, "type": "object", "properties": properties}
