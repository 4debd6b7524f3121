"""What every cluster has from the start: GKE's storage classes, and the CRDs that come with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from emulator.apis.kubernetes.defaults import DEFAULT_CLASS
from emulator.apis.kubernetes.drafts import Draft, metadata
from emulator.apis.kubernetes.kind_schemas import schema_of
from emulator.apis.kubernetes.resources import (
    DATA_SOURCES,
    DEFINITIONS,
    LEADER_WORKER_SETS,
    STORAGE_CLASSES,
    Kind,
)
from emulator.clock import rfc3339

# Name, provisioner, parameters, binding mode, reclaim policy: as GKE installs them.
_PD: Final = "pd.csi.storage.gke.io"
_WAIT: Final = "WaitForFirstConsumer"
_CLASSES: Final = (
    ("standard-rwo", _PD, {"type": "pd-balanced"}, _WAIT),
    ("premium-rwo", _PD, {"type": "pd-ssd"}, _WAIT),
    ("standard", "kubernetes.io/gce-pd", {"type": "pd-standard"}, "Immediate"),
)


def storage_class_drafts(began: float) -> Iterator[Draft]:
    """The classes; standard-rwo is what a claim gets that names none."""
    for name, provisioner, parameters, binding in _CLASSES:
        make = _maker(name, provisioner, parameters, binding, began)
        yield Draft(STORAGE_CLASSES, "", name, began, make)


def _maker(
    name: str, provisioner: str, parameters: dict[str, str], binding: str, began: float
) -> Any:
    default = {DEFAULT_CLASS: "true"} if name == "standard-rwo" else {}
    labels = {"addonmanager.kubernetes.io/mode": "EnsureExists", "k8s-app": "gcp-compute-persistent"
              "-disk-csi-driver"}  # fmt: skip
    return lambda: {
        "kind": "StorageClass",
        "apiVersion": STORAGE_CLASSES.api_version,
        "metadata": metadata(STORAGE_CLASSES, "", name, began, labels, default),
        "provisioner": provisioner,
        "parameters": dict(parameters),
        "reclaimPolicy": "Delete",
        "volumeBindingMode": binding,
        "allowVolumeExpansion": True,
    }


def definition_drafts(began: float) -> Iterator[Draft]:
    """The CRDs of LeaderWorkerSet and GCPDataSource."""
    for kind in (LEADER_WORKER_SETS, DATA_SOURCES):
        yield definition_draft(kind, began)


def definition_draft(kind: Kind, began: float) -> Draft:
    """The CRD of one kind."""
    return Draft(DEFINITIONS, "", kind.qualified, began, lambda: _definition(kind, began))


def _definition(kind: Kind, began: float) -> dict[str, Any]:
    names = {
        "kind": kind.name,
        "listKind": kind.list_kind,
        "plural": kind.plural,
        "singular": kind.singular_name,
        "shortNames": list(kind.short),
    }
    scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    subresources: dict[str, Any] = {"status": {}}
    if "scale" in kind.subresources:
        subresources["scale"] = {**scale, "labelSelectorPath": ".status.hpaPodSelector"}
    version = {
        "name": kind.version,
        "served": True,
        "storage": True,
        # Pod templates stand here as references to Kubernetes' own schema, not written out.
        "schema": {"openAPIV3Schema": _without_references(schema_of(kind))},
        "subresources": subresources,
    }
    at = rfc3339(began)
    conditions = [
        {"type": name, "status": "True", "lastTransitionTime": at, "reason": reason, "message": ""}
        for name, reason in (("NamesAccepted", "NoConflicts"),
                             ("Established", "InitialNamesAccepted"))
    ]  # fmt: skip
    return {
        "kind": "CustomResourceDefinition",
        "apiVersion": DEFINITIONS.api_version,
        "metadata": metadata(DEFINITIONS, "", kind.qualified, began, generation=1),
        "spec": {
            "group": kind.group,
            "names": names,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "versions": [version],
            "conversion": {"strategy": "None"},
        },
        "status": {
            "conditions": conditions,
            "acceptedNames": names,
            "storedVersions": [kind.version],
        },
    }


def _without_references(schema: Any) -> Any:
    """A CRD may not refer to other schemas: what is behind a reference is any object."""
    if isinstance(schema, list):
        return [_without_references(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {key: _without_references(value) for key, value in schema.items()}
