"""Checks JSON bodies against the discovery documents that google-api-python-client ships."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import googleapiclient
import jsonschema
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from emulator.wire.codec import NEWER_PARAMETERS

_DOCUMENTS = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents"
_STRING_FORMATS = {"int64", "uint64", "byte", "google-datetime", "google-duration", "date-time"}


@cache
def load(name: str) -> dict[str, Any]:
    """A document, e.g. "container.v1"."""
    return json.loads((_DOCUMENTS / f"{name}.json").read_text())


def methods(name: str) -> list[dict[str, Any]]:
    """Every method of a document, in its order."""
    return list(_methods(load(name)))


def _methods(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from node.get("methods", {}).values()
    for child in node.get("resources", {}).values():
        yield from _methods(child)


def templates(name: str, method: dict[str, Any]) -> list[str]:
    """The paths under which a method is called, uploads included; without a leading slash."""
    document = load(name)
    found = [document.get("servicePath", "") + method.get("flatPath", method["path"])]
    for protocol in method.get("mediaUpload", {}).get("protocols", {}).values():
        found += [protocol["path"], protocol["path"].replace("/upload/", "/resumable/upload/", 1)]
    return [path.lstrip("/") for path in found]


@cache
def _compiled(name: str) -> dict[str, list[tuple[re.Pattern[str], dict[str, Any]]]]:
    found: dict[str, list[tuple[re.Pattern[str], dict[str, Any]]]] = {}
    for method in _methods(load(name)):
        patterns = [
            re.sub(r"\\\{(?:\\\+)?\w+\\\}", "[^/]+", re.escape(template))
            for template in templates(name, method)
        ]
        if "flatPath" in method:  # which has one segment where a name may have several
            patterns.append(_named(load(name).get("servicePath", "") + method["path"], method))
        for pattern in patterns:
            found.setdefault(method["httpMethod"], []).append((re.compile(pattern), method))
    return found


def _named(template: str, method: dict[str, Any]) -> str:
    pattern = re.escape(template)
    for key, parameter in method.get("parameters", {}).items():
        if "pattern" in parameter:
            pattern = pattern.replace(rf"\{{\+{key}\}}", parameter["pattern"].strip("^$"))
    pattern = re.sub(r"\\\{\\\+\w+\\\}", ".+", pattern)
    return re.sub(r"\\\{\w+\\\}", "[^/]+", pattern)


@cache
def find_method(name: str, verb: str, path: str) -> dict[str, Any] | None:
    """The documented method of a REST call; `path` without query and service prefix."""
    fits = [m for p, m in _compiled(name).get(verb, ()) if p.fullmatch(path.lstrip("/"))]
    # A name may hold a colon: a method of its own for what follows it comes first.
    tail = path.rpartition(":")[2]
    return next((m for m in fits if m["path"].endswith(f":{tail}")), next(iter(fits), None))


def _schema(node: dict[str, Any], numbers: bool = False) -> dict[str, Any]:
    """A discovery schema as JSON Schema that allows no unknown field.

    `numbers` allows enums as numbers too, as an answer with `enum-encoding=int` has them.
    """
    if "$ref" in node:
        return {"$ref": f"urn:{node['$ref']}"}
    kind = node.get("type")
    if kind == "object":
        extra = node.get("additionalProperties")
        return {
            "type": "object",
            "properties": {k: _schema(v, numbers) for k, v in node.get("properties", {}).items()},
            "additionalProperties": _schema(extra, numbers) if extra else False,
        }
    if kind == "array":
        return {"type": "array", "items": _schema(node["items"], numbers)}
    if kind in (None, "any"):
        return {}
    found: dict[str, Any] = {"type": kind}
    if "enum" in node:
        found["enum"] = node["enum"]
        if numbers:
            return {"anyOf": [found, {"type": "integer"}]}
    if node.get("format") in _STRING_FORMATS:
        found["type"] = "string"
    if node.get("format") in ("int64", "uint64"):
        found["pattern"] = "^-?[0-9]+$"
    return found


@cache
def _registry(name: str, numbers: bool) -> Registry:
    schemas = load(name)["schemas"]
    return Registry().with_resources(
        (f"urn:{key}", DRAFT202012.create_resource(_schema(node, numbers)))
        for key, node in schemas.items()
    )


@cache
def _validator(name: str, schema: str, numbers: bool) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(
        {"$ref": f"urn:{schema}"}, registry=_registry(name, numbers)
    )


_ANY_BODY = "GoogleApiHttpBody"


def _wraps_any_body(name: str, schema: str) -> bool:
    """Whether the message is there to hold a body of any kind, which travels as it is."""
    return load(name)["schemas"][schema].get("properties", {}).get("httpBody", {}).get(
        "$ref") == _ANY_BODY  # fmt: skip


def problems(name: str, schema: str, body: Any, *, numbers: bool = False) -> list[str]:
    """What is wrong with a body, by its documented schema; `numbers` lets enums be numbers."""
    if schema == _ANY_BODY or _wraps_any_body(name, schema):
        return []
    validator = _validator(name, schema, numbers)
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(body)]


def response_problems(name: str, verb: str, path: str, body: Any) -> list[str]:
    """What is wrong with the answer to a REST call; says so when the call is not documented."""
    method = find_method(name, verb, path)
    if method is None:
        return [f"{verb} {path} is no method of {name}"]
    return problems(name, method["response"]["$ref"], body)


def request_problems(name: str, method: dict[str, Any], query: str, body: Any) -> list[str]:
    """What is wrong with a request: its parameters, by name, type and need, and its body."""
    known = {**load(name).get("parameters", {}), **method.get("parameters", {})}
    found: list[str] = []
    given = parse_qs(query, keep_blank_values=True)
    for key, values in given.items():
        if key.removeprefix("$") not in known and key not in known and key not in _SYSTEM:
            found.append(f"unknown parameter {key}")
        elif key in known:
            found += [f"{key}={v}" for v in values if not _fits(known[key], v)]
    for key, parameter in method.get("parameters", {}).items():
        if parameter.get("required") and parameter["location"] == "query" and key not in given:
            found.append(f"parameter {key} is missing")
    if body is not None and "request" in method:
        numbers = "enum-encoding" in query  # Google's REST clients send enums so, too
        found += problems(name, method["request"]["$ref"], body, numbers=numbers)
    return found


_SYSTEM = {"$alt", "$.xgafv", "uploadType", "upload_id", *NEWER_PARAMETERS}
_KINDS = {"integer": r"-?\d+", "boolean": r"(?i:true|false)", "number": r"-?[\d.eE+-]+"}


def _fits(parameter: dict[str, Any], value: str) -> bool:
    if "enum" in parameter:
        return value in parameter["enum"]
    return re.fullmatch(_KINDS.get(parameter["type"], r"(?s:.*)"), value) is not None
