"""Whether an object has the form that its schema gives it: types, unknown fields, limits, defaults.

Builtin kinds refuse a wrong type as the decoder does (400); custom resources as their CRD's
validation does (422). Both go through the one walk here. What several fields mean together is
rules.py's.
"""

from __future__ import annotations

import base64
import binascii
import copy
import json
import math
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from emulator.apis.kubernetes.schema import Schema, resolved

_KINDS: Final = {
    str: "string", bool: "boolean", int: "number", float: "number", list: "array", dict: "object",
}  # fmt: skip
_QUANTITY: Final = re.compile(
    r"^[+-]?(\d+(\.\d*)?|\.\d+)(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][+-]?\d{1,3})?$"
)
_TIME: Final = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$")


@dataclass(slots=True)
class Findings:
    """What a walk found wrong.

    Attributes:
        unknown: paths of fields that the schema does not have. wrong: (path, what, shown) of
            values of a wrong type or form. broken: causes of 422 by the schema's limits.
    """

    unknown: list[str] = field(default_factory=list)
    wrong: list[tuple[str, str, str]] = field(default_factory=list)
    broken: list[dict[str, str]] = field(default_factory=list)

    def limit(self, path: str, reason: str, message: str) -> None:
        """Note a broken limit."""
        self.broken.append({"reason": reason, "message": message, "field": path})


def walk(schema: Schema, value: Any, path: str, found: Findings) -> Any:
    """The value without unknown fields and nulls, as far as it fits."""
    schema = resolved(schema)
    if schema.get("x-kubernetes-int-or-string"):
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            found.wrong.append((path, "int or string", shown(value)))
        return value
    kind = schema.get("type")
    if kind == "object" or (kind is None and "properties" in schema):
        return _object(schema, value, path, found)
    if kind == "array":
        return _array(schema, value, path, found)
    if kind is not None and not _fits(kind, schema, value):
        found.wrong.append((path, _go_type(kind, schema), shown(value)))
        return value
    if kind is not None:
        value = _limits(schema, int(value) if kind == "integer" else value, path, found)
    return value


def _object(schema: Schema, value: Any, path: str, found: Findings) -> Any:
    if not isinstance(value, dict):
        found.wrong.append((path, "object", shown(value)))
        return value
    properties: dict[str, Any] = schema.get("properties") or {}
    rest = schema.get("additionalProperties")
    keep = schema.get("x-kubernetes-preserve-unknown-fields") or rest is True
    built: dict[str, Any] = {}
    for key, inner in value.items():
        where = f"{path}.{key}" if path else key
        if key in properties:
            if inner is None and not properties[key].get("nullable"):
                continue
            built[key] = walk(properties[key], inner, where, found)
        elif isinstance(rest, dict):
            built[key] = walk(rest, _zero(rest) if inner is None else inner, where, found)
        elif keep or not (properties or kind_is_closed(schema)):
            built[key] = inner
        else:
            found.unknown.append(where)
    return built


def kind_is_closed(schema: Schema) -> bool:
    """Whether an object without properties takes none: a CRD's structural schema prunes them."""
    return "type" in schema


def _zero(schema: Schema) -> Any:
    kind = resolved(schema).get("type")
    return {"string": "", "object": {}, "array": [], "integer": 0, "boolean": False}.get(str(kind))


def _array(schema: Schema, value: Any, path: str, found: Findings) -> Any:
    if not isinstance(value, list):
        found.wrong.append((path, "array", shown(value)))
        return value
    inner = schema.get("items") or {}
    built = [
        walk(inner, _zero(inner) if element is None else element, f"{path}[{index}]", found)
        for index, element in enumerate(value)
    ]
    for key, fails, word in (
        ("minItems", len(built) < schema.get("minItems", 0), "at least"),
        ("maxItems", len(built) > schema.get("maxItems", math.inf), "at most"),
    ):
        if fails:
            text = f"Invalid value: {len(built)}: {path} in body should have {word} {schema[key]}"
            found.limit(path, "FieldValueInvalid", f"{text} items")
    return built


def _fits(kind: str, schema: Schema, value: Any) -> bool:
    form = schema.get("format")
    if kind == "string":
        if form == "quantity":
            return _is_quantity(value)
        return isinstance(value, str) and _formed(form, value)
    if kind == "boolean":
        return isinstance(value, bool)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    if kind == "integer":
        bits = 31 if form == "int32" else 63
        whole = isinstance(value, int) or value.is_integer()
        return whole and -(2**bits) <= value < 2**bits
    return math.isfinite(value)


def _is_quantity(value: Any) -> bool:
    if isinstance(value, str):
        return _QUANTITY.match(value) is not None
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _formed(form: str | None, value: str) -> bool:
    try:
        if form == "date-time":
            return bool(_TIME.match(value)) and bool(datetime.fromisoformat(value))
        if form == "byte":
            base64.b64decode(value, validate=True)
    except (ValueError, binascii.Error):
        return False
    return True


def _limits(schema: Schema, value: Any, path: str, found: Findings) -> Any:
    if "enum" in schema and value not in schema["enum"]:
        legal = ", ".join(json.dumps(one) for one in schema["enum"])
        text = f"Unsupported value: {shown(value)}: supported values: {legal}"
        found.limit(path, "FieldValueNotSupported", text)
    size = len(value) if isinstance(value, str) else None
    for key, fails, text in (
        ("minimum", size is None and value < schema.get("minimum", -math.inf), "greater"),
        ("maximum", size is None and value > schema.get("maximum", math.inf), "less"),
    ):
        if fails:
            told = f"{path} in body should be {text} than or equal to {schema[key]}"
            found.limit(path, "FieldValueInvalid", f"Invalid value: {value}: {told}")
    if size is not None:
        for key, fails, text in (
            ("minLength", size < schema.get("minLength", 0), "at least"),
            ("maxLength", size > schema.get("maxLength", math.inf), "at most"),
        ):
            if fails:
                told = f"{path} in body should be {text} {schema[key]} chars long"
                found.limit(path, "FieldValueInvalid", f"Invalid value: {shown(value)}: {told}")
        if "pattern" in schema and not _matches(schema["pattern"], value):
            told = f"{path} in body should match '{schema['pattern']}'"
            found.limit(path, "FieldValueInvalid", f"Invalid value: {shown(value)}: {told}")
    return value


def _matches(pattern: str, value: str) -> bool:
    try:
        return re.search(pattern, value) is not None
    except re.error:  # Go's dialect has what Python's has not; nobody is refused for that
        return True


def missing(schema: Schema, value: Any, path: str, found: Findings) -> None:
    """Note every required field that is not there."""
    schema = resolved(schema)
    if isinstance(value, dict):
        properties: dict[str, Any] = schema.get("properties") or {}
        for key in schema.get("required") or ():
            if value.get(key) is None:
                where = f"{path}.{key}" if path else key
                found.limit(where, "FieldValueRequired", "Required value")
        rest = schema.get("additionalProperties")
        for key, inner in value.items():
            below = properties.get(key) or (rest if isinstance(rest, dict) else None)
            if below:
                missing(below, inner, f"{path}.{key}" if path else key, found)
    elif isinstance(value, list) and schema.get("items"):
        for index, inner in enumerate(value):
            missing(schema["items"], inner, f"{path}[{index}]", found)


def fill(schema: Schema, value: Any) -> None:
    """Put in the defaults that a CRD's schema gives."""
    schema = resolved(schema)
    if isinstance(value, dict):
        for key, inner in (schema.get("properties") or {}).items():
            if key not in value and "default" in inner:
                value[key] = copy.deepcopy(inner["default"])
            if key in value:
                fill(inner, value[key])
    elif isinstance(value, list) and schema.get("items"):
        for inner in value:
            fill(schema["items"], inner)


def _go_type(kind: str, schema: Schema) -> str:
    form = schema.get("format")
    if kind == "integer":
        return str(form or "int64")
    if form == "date-time":
        return "time (RFC 3339)"
    return {"boolean": "bool", "number": "float64"}.get(kind, str(form or kind))


def shown(value: Any) -> str:
    """A value as errors show it."""
    return json.dumps(value, ensure_ascii=False)[:60] if type(value) in _KINDS else repr(value)[:60]


def kind_of_value(value: Any) -> str:
    """What JSON calls the value's type."""
    return _KINDS.get(type(value), "null")
