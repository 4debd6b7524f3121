"""What an object is before it has a resourceVersion: its name, what it depends on, its maker."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from emulator.apis.kubernetes.naming import uid_of
from emulator.apis.kubernetes.resources import Kind
from emulator.clock import rfc3339


@dataclass(frozen=True, slots=True)
class Draft:
    """One object to be.

    Attributes:
        fingerprint: equal as long as the object is the same; only then `make` need not run again.
        make: builds the object, without resourceVersion.
    """

    kind: Kind
    namespace: str
    name: str
    fingerprint: Hashable
    make: Callable[[], dict[str, Any]]


def metadata(
    kind: Kind,
    namespace: str,
    name: str,
    created_at: float,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """An object's metadata; empty parts are left out, as the API server does."""
    built: dict[str, Any] = {"name": name}
    if namespace:
        built["namespace"] = namespace
    built["uid"] = uid_of(kind.qualified, namespace, name)
    built["creationTimestamp"] = rfc3339(created_at)
    if labels:
        built["labels"] = dict(labels)
    if annotations:
        built["annotations"] = dict(annotations)
    return built | {key: value for key, value in more.items() if value is not None}


def owner(kind: Kind, namespace: str, name: str) -> list[dict[str, Any]]:
    """ownerReferences of an object that a controller made."""
    return [
        {
            "apiVersion": kind.api_version,
            "kind": kind.name,
            "name": name,
            "uid": uid_of(kind.qualified, namespace, name),
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
