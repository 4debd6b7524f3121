"""Rules of CustomResourceDefinitions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from emulator.apis.kubernetes.causes import Causes
from emulator.apis.kubernetes.resources import KINDS

if TYPE_CHECKING:
    from emulator.apis.kubernetes.cluster_state import ClusterState

Obj = dict[str, Any]
_LABEL: Final = re.compile(r"^[a-z]([-a-z0-9]*[a-z0-9])?$")
_GROUP: Final = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+$")
_TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")


def check_definition(state: ClusterState, body: Obj, causes: Causes) -> None:
    """Names, scope, versions and schemas."""
    spec = body["spec"]
    names, group, versions = spec["names"], spec["group"], spec["versions"]
    wanted = f"{names.get('plural')}.{group}"
    if body["metadata"]["name"] != wanted:
        text = 'must be spec.names.plural+"."+spec.group'
        causes.invalid("metadata.name", body["metadata"]["name"], text)
    if not _GROUP.match(group):
        causes.invalid("spec.group", group, "should be a domain with at least one dot")
    if any(kind.group == group for kind in KINDS if kind.model):
        causes.forbidden("spec.group", "is one of the API server's own")
    if spec.get("scope") not in ("Namespaced", "Cluster"):
        causes.unsupported("spec.scope", spec.get("scope"), ("Cluster", "Namespaced"))
    for key in ("plural", "singular"):
        if not _LABEL.match(str(names.get(key, ""))):
            causes.invalid(f"spec.names.{key}", names.get(key), "must be a DNS-1035 label")
    if sum(bool(v.get("storage")) for v in versions) != 1:
        text = "must have exactly one version marked as storage version"
        causes.invalid("spec.versions", [v["name"] for v in versions], text)
    if len({v["name"] for v in versions}) != len(versions):
        text = "must contain unique version names"
        causes.invalid("spec.versions", [v["name"] for v in versions], text)
    for index, version in enumerate(versions):
        where = f"spec.versions[{index}]"
        if not _LABEL.match(version["name"]):
            causes.invalid(f"{where}.name", version["name"], "must be a DNS-1035 label")
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if not schema:
            causes.required(f"{where}.schema.openAPIV3Schema", "schemas are required")
        else:
            _schema(schema, f"{where}.schema.openAPIV3Schema", causes)
            if schema.get("type") != "object":
                causes.invalid(
                    f"{where}.schema.openAPIV3Schema.type", schema.get("type"), "must be object"
                )


def _schema(schema: Any, path: str, causes: Causes) -> None:
    """A structural schema, as far as what walks it needs."""
    if not isinstance(schema, dict):
        causes.invalid(path, schema, "must be an object")
        return
    kind = schema.get("type")
    whatever = (
        schema.get("x-kubernetes-int-or-string")
        or schema.get("x-kubernetes-preserve-unknown-fields")
    )  # fmt: skip
    if kind is None and not whatever:
        causes.required(f"{path}.type", "must not be empty for specified object fields")
    elif kind is not None and kind not in _TYPES:
        causes.unsupported(f"{path}.type", kind, _TYPES)
    if "$ref" in schema:
        causes.forbidden(f"{path}.$ref", "$ref is not supported")
    for key, inner in (schema.get("properties") or {}).items():
        _schema(inner, f"{path}.properties[{key}]", causes)
    if kind == "array":
        if not schema.get("items"):
            causes.required(f"{path}.items", "must be specified")
        else:
            _schema(schema["items"], f"{path}.items", causes)
    rest = schema.get("additionalProperties")
    if isinstance(rest, dict):
        _schema(rest, f"{path}.additionalProperties", causes)
    elif rest not in (None, True, False):
        causes.invalid(f"{path}.additionalProperties", rest, "must be a schema or a boolean")
    keyed = schema.get("x-kubernetes-list-type") == "map"
    if keyed and not schema.get("x-kubernetes-list-map-keys"):
        causes.required(f"{path}.x-kubernetes-list-map-keys")
