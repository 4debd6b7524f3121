"""Checks JSON bodies against the discovery documents that google-api-python-client ships."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import googleapiclient
import jsonschema
from referencing import Registry
from referencing.jsonschema import DRAFT202012

_DOCUMENTS = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents"
_STRING_FORMATS = {"int64", "uint64", "byte", "google-datetime", "google-duration", "date-time"}


@cache
def load(name: str) -> dict[str, Any]:
    """A document, e.g. "container.v1"."""
    return json.loads((_DOCUMENTS / f"{name}.json").read_text())


def _methods(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from node.get("methods", {}).values()
    for child in node.get("resources", {}).values():
        yield from _methods(child)


def find_method(name: str, verb: str, path: str) -> dict[str, Any] | None:
    """The documented method of a REST call; `path` without query and service prefix."""
    document = load(name)
    for method in _methods(document):
        template = document.get("servicePath", "") + method.get("flatPath", method["path"])
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template.lstrip("/")))
        if method["httpMethod"] == verb and re.fullmatch(pattern, path.lstrip("/")):
            return method
    return None


def _schema(node: dict[str, Any]) -> dict[str, Any]:
    """A discovery schema as JSON Schema that allows no unknown field."""
    if "$ref" in node:
        return {"$ref": f"urn:{node['$ref']}"}
    kind = node.get("type")
    if kind == "object":
        extra = node.get("additionalProperties")
        return {
            "type": "object",
            "properties": {k: _schema(v) for k, v in node.get("properties", {}).items()},
            "additionalProperties": _schema(extra) if extra else False,
        }
    if kind == "array":
        return {"type": "array", "items": _schema(node["items"])}
    if kind in (None, "any"):
        return {}
    found: dict[str, Any] = {"type": kind}
    if "enum" in node:
        found["enum"] = node["enum"]
    if node.get("format") in _STRING_FORMATS:
        found["type"] = "string"
    if node.get("format") in ("int64", "uint64"):
        found["pattern"] = "^-?[0-9]+$"
    return found


@cache
def _registry(name: str) -> Registry:
    schemas = load(name)["schemas"]
    return Registry().with_resources(
        (f"urn:{key}", DRAFT202012.create_resource(_schema(node))) for key, node in schemas.items()
    )


def problems(name: str, schema: str, body: Any) -> list[str]:
    """What is wrong with a body, by its documented schema."""
    validator = jsonschema.Draft202012Validator({"$ref": f"urn:{schema}"}, registry=_registry(name))
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(body)]


def response_problems(name: str, verb: str, path: str, body: Any) -> list[str]:
    """What is wrong with the answer to a REST call; says so when the call is not documented."""
    method = find_method(name, verb, path)
    if method is None:
        return [f"{verb} {path} is no method of {name}"]
    return problems(name, method["response"]["$ref"], body)
