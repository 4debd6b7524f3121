"""OpenAPI documents that kubectl reads for apply, explain and field validation.

Version 3, one document per group and version, and version 2 as JSON; both from schema.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

from emulator.apis.kubernetes.kind_schemas import schema_of
from emulator.apis.kubernetes.resources import KINDS, Kind, Kinds
from emulator.apis.kubernetes.schema import REF, definition, references

Json = dict[str, Any]
# What kubectl asks for about kinds that version 3 does not describe; and one with nothing in it.
PROTOBUF: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
NO_DEFINITIONS: Final = b"\x0a\x032.0"
_GVK: Final = "x-kubernetes-group-version-kind"
_WRITE_OPTIONS: Final = ("dryRun", "fieldManager", "fieldValidation", "force", "pretty")
_ACTIONS: Final = {
    "get": "get", "update": "put", "patch": "patch", "delete": "delete",
}  # fmt: skip


def index(kinds: Kinds, root: str, version: str) -> Json:
    """The body of /openapi/v3; `root` is the path below which the cluster is served."""
    found: Json = {}
    for path in dict.fromkeys(_path(kind) for kind in kinds):
        digest = hashlib.blake2s(f"{path}/{version}/{kinds.version}".encode()).hexdigest()
        url = f"{root}/openapi/v3/{path}?hash={digest.upper()}"
        found[path] = {"serverRelativeURL": url}
    return {"paths": found}


def _path(kind: Kind) -> str:
    return f"apis/{kind.api_version}" if kind.group else f"api/{kind.version}"


def document(kinds: Kinds, path: str, version: str) -> bytes | None:
    """The document of one group and version, as JSON; None when there is none."""
    served = [kind for kind in kinds if _path(kind) == path]
    if not served:
        return None
    if all(kind in KINDS for kind in served):
        return _kept(tuple(served), version)
    return _document(served, version)


@lru_cache(maxsize=64)
def _kept(served: tuple[Kind, ...], version: str) -> bytes:
    return _document(served, version)


def _document(served: Iterable[Kind], version: str) -> bytes:
    served = list(served)
    paths: Json = {}
    for kind in served:
        paths |= _paths(kind)
    body = {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": f"v{version}"},
        "paths": paths,
        "components": {"schemas": _schemas(served)},
    }
    return json.dumps(body, separators=(",", ":")).encode()


def second(kinds: Kinds, version: str) -> bytes:
    """The one document of version 2."""
    served = list(kinds)
    text = json.dumps(_schemas(served)).replace(REF, "#/definitions/")
    body = {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": f"v{version}"},
        "paths": {},
        "definitions": json.loads(text),
    }
    return json.dumps(body, separators=(",", ":")).encode()


def component(kind: Kind) -> str:
    """The name under which a kind's schema stands in the documents."""
    return kind.model or ".".join([*reversed(kind.group.split(".")), kind.version, kind.name])


def _gvk(kind: Kind) -> Json:
    return {"group": kind.group, "version": kind.version, "kind": kind.name}


def _schemas(served: Iterable[Kind]) -> Json:
    found: Json = {}
    todo: set[str] = set()
    for kind in served:
        schema = definition(kind.model) if kind.model else schema_of(kind)
        found[component(kind)] = {**_wrapped(schema), _GVK: [_gvk(kind)]}
        todo |= references(schema)
        found[f"{component(kind)}List"] = _list(kind)
        todo.add("V1ListMeta")
    while todo:
        name = todo.pop()
        if name not in found:
            found[name] = _wrapped(definition(name))
            todo |= references(definition(name)) - found.keys()
    return found


def _list(kind: Kind) -> Json:
    text = {"type": "string"}
    return {
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": text,
            "kind": text,
            "metadata": {"$ref": f"{REF}V1ListMeta"},
            "items": {"type": "array", "items": {"$ref": REF + component(kind)}},
        },
        _GVK: [{**_gvk(kind), "kind": kind.list_kind}],
    }


def _wrapped(schema: Any) -> Any:
    """A reference with something beside it stands in an allOf, as OpenAPI 3 has it."""
    if isinstance(schema, list):
        return [_wrapped(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    built = {key: _wrapped(value) for key, value in schema.items()}
    if isinstance(built.get("$ref"), str) and len(built) > 1:
        built["allOf"] = [{"$ref": built.pop("$ref")}]
    return built


def _paths(kind: Kind) -> Json:
    root = f"/{_path(kind)}"
    if kind.namespaced:
        whole = {f"{root}/{kind.plural}": {"get": _operation(kind, "list", True)}}
        root += "/namespaces/{namespace}"
    else:
        whole = {}
    many: Json = {"get": _operation(kind, "list", True)} if "list" in kind.verbs else {}
    if "create" in kind.verbs:
        many["post"] = _operation(kind, "post")
    one = {
        method: _operation(kind, method)
        for verb, method in _ACTIONS.items()
        if verb in kind.verbs
    }  # fmt: skip
    base = f"{root}/{kind.plural}"
    return whole | {base: many, f"{base}/{{name}}": one}


def _operation(kind: Kind, action: str, of_list: bool = False) -> Json:
    name = component(kind) + ("List" if of_list else "")
    content = {"application/json": {"schema": {"$ref": REF + name}}}
    built: Json = {
        "operationId": f"{action}{kind.group.title().replace('.', '')}{kind.version}{kind.name}",
        "responses": {"200": {"description": "OK", "content": content}},
        "x-kubernetes-action": action,
        _GVK: _gvk(kind),
    }
    if action in ("post", "put", "patch"):
        built["parameters"] = [
            {"name": option, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
            for option in _WRITE_OPTIONS
        ]
    return built
