"""OpenAPI schemas of Kubernetes' own kinds, made from the models of its Python client.

The models tell fields, types and descriptions; which lists merge by which key stands here, since
the client does not say. Custom resources bring their schemas along (custom.py, builtin_custom.py).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

from emulator.apis.kubernetes.model_sources import read_model

Schema = dict[str, Any]
REF: Final = "#/components/schemas/"
_NESTED: Final = re.compile(r"^(List|Dict)\[(?:str, )?(.+)\]$")
_SIMPLE: Final[dict[str, Schema]] = {
    "str": {"type": "string"},
    "bool": {"type": "boolean"},
    "float": {"type": "number", "format": "double"},
    "datetime": {"type": "string", "format": "date-time"},
    "bytes": {"type": "string", "format": "byte"},
    "object": {"x-kubernetes-preserve-unknown-fields": True},
}
INT_OR_STRING: Final[Schema] = {
    "x-kubernetes-int-or-string": True,
    "format": "int-or-string",
    "oneOf": [{"type": "integer"}, {"type": "string"}],
}
QUANTITY: Final[Schema] = {"type": "string", "format": "quantity"}
_INT_OR_STRING: Final = frozenset(
    {"port", "targetPort", "maxSurge", "maxUnavailable", "minAvailable"}
)
_QUANTITIES: Final = frozenset(
    {
        "limits", "requests", "capacity", "allocatable", "hard", "used", "sizeLimit", "divisor",
        "averageValue", "overhead", "allocatedResources",
    }
)  # fmt: skip
_INT64: Final = frozenset(
    {
        "activeDeadlineSeconds", "terminationGracePeriodSeconds", "deletionGracePeriodSeconds",
        "tolerationSeconds", "expirationSeconds", "runAsUser", "runAsGroup", "fsGroup",
        "supplementalGroups", "generation", "observedGeneration", "maxLength", "minLength",
        "maxItems", "minItems", "maxProperties", "minProperties",
    }
)  # fmt: skip
# Lists whose elements are told apart by keys; strategic merge goes by the first, apply by all.
_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "conditions": ("type",), "containers": ("name",), "initContainers": ("name",),
    "ephemeralContainers": ("name",), "env": ("name",), "volumes": ("name",),
    "volumeMounts": ("mountPath",), "volumeDevices": ("devicePath",),
    "imagePullSecrets": ("name",), "hostAliases": ("ip",), "schedulingGates": ("name",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "resourceClaims": ("name",), "ownerReferences": ("uid",), "podIPs": ("ip",),
}  # fmt: skip
_KEYS_OF: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("V1Container", "ports"): ("containerPort", "protocol"),
    ("V1EphemeralContainer", "ports"): ("containerPort", "protocol"),
    ("V1ServiceSpec", "ports"): ("port", "protocol"),
    ("V1NodeStatus", "addresses"): ("type",),
    ("V1ServiceAccount", "secrets"): ("name",),
    ("V1ResourceRequirements", "claims"): ("name",),
}
_NO_KEYS: Final = frozenset({("V1PersistentVolumeClaimTemplate", "conditions")})
_SETS: Final = frozenset({"finalizers", "podCIDRs"})
_RETAIN_KEYS: Final = frozenset({("V1DeploymentSpec", "strategy")})
_ATOMIC: Final = frozenset(
    {
        "V1LabelSelector", "V1ConfigMapKeySelector", "V1SecretKeySelector", "V1NodeSelector",
        "V1NodeSelectorTerm", "V1LocalObjectReference", "V1ObjectFieldSelector",
        "V1SecretReference", "V1ResourceFieldSelector", "V1TypedLocalObjectReference",
        "V1OwnerReference", "V1TopologySelectorTerm",
    }
)  # fmt: skip
_ATOMIC_MAPS: Final = frozenset({("V1PodSpec", "nodeSelector"), ("V1ServiceSpec", "selector")})


@lru_cache(maxsize=1024)
def definition(model: str) -> Schema:
    """The schema of one model, whose fields refer to other models; read only.

    Raises:
        KeyError: there is no such model.
    """
    described = read_model(model)
    properties: dict[str, Schema] = {}
    for told in described.fields:
        built = _property(model, told.name, told.type_name)
        note: Schema = {"description": told.description} if told.description else {}
        properties[told.name] = note | built
    whole: Schema = {"type": "object", "properties": properties}
    if needed := [told.name for told in described.fields if told.required]:
        whole["required"] = needed
    # What stands behind it is about the generator's own attributes.
    if text := described.description.split(" Attributes: ")[0]:
        whole["description"] = text
    if model in _ATOMIC:
        whole["x-kubernetes-map-type"] = "atomic"
    return whole


def _property(model: str, name: str, type_name: str) -> Schema:
    if name in _QUANTITIES and type_name in ("str", "Dict[str, str]"):
        quantities: Schema = {"type": "object", "additionalProperties": QUANTITY}
        return quantities if type_name.startswith("Dict") else QUANTITY
    if name in _INT_OR_STRING and type_name == "object":
        return INT_OR_STRING
    built = _typed(name, type_name)
    where = (model, name)
    if built.get("type") == "array":
        keys = _KEYS_OF.get(where) or (None if where in _NO_KEYS else _KEYS.get(name))
        if keys and "$ref" in built["items"]:
            strategy = "merge,retainKeys" if name == "volumes" else "merge"
            return built | {
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": list(keys),
                "x-kubernetes-patch-merge-key": keys[0],
                "x-kubernetes-patch-strategy": strategy,
            }
        if name in _SETS:
            more = {"x-kubernetes-list-type": "set", "x-kubernetes-patch-strategy": "merge"}
            return built | more
        return built | {"x-kubernetes-list-type": "atomic"}
    if where in _RETAIN_KEYS:
        return {"allOf": [built], "x-kubernetes-patch-strategy": "retainKeys"}
    if where in _ATOMIC_MAPS:
        return built | {"x-kubernetes-map-type": "atomic"}
    return built


def _typed(name: str, type_name: str) -> Schema:
    if nested := _NESTED.match(type_name):
        inner = _typed(name, nested[2])
        if nested[1] == "List":
            return {"type": "array", "items": inner}
        return {"type": "object", "additionalProperties": inner}
    if type_name == "int":
        return {"type": "integer", "format": "int64" if name in _INT64 else "int32"}
    return _SIMPLE.get(type_name) or {"$ref": REF + type_name}


def resolved(schema: Schema) -> Schema:
    """The schema itself, or what it refers to."""
    if "allOf" in schema and len(schema["allOf"]) == 1:
        outer = {key: value for key, value in schema.items() if key != "allOf"}
        return {**resolved(schema["allOf"][0]), **outer}
    ref = schema.get("$ref")
    return definition(ref.removeprefix(REF)) if ref else schema


def prepare(schema: Schema) -> None:
    """Read all definitions below a schema, which takes a moment the first time."""
    todo, seen = references(schema), set[str]()
    while todo:
        seen |= todo
        todo = {name for one in todo for name in _below(one)} - seen


@lru_cache(maxsize=1024)
def _below(model: str) -> frozenset[str]:
    return frozenset(references(definition(model)))


def references(schema: Any) -> set[str]:
    """Models that a schema refers to."""
    found: set[str] = set()
    if isinstance(schema, dict):
        ref = schema.get("$ref")
        if isinstance(ref, str) and ref.startswith(REF):
            found.add(ref.removeprefix(REF))
        for value in schema.values():
            found |= references(value)
    elif isinstance(schema, list):
        for value in schema:
            found |= references(value)
    return found
