"""A table's schema as BigQuery writes it: checked, in DuckDB's types, and how it may change."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlglot import exp

from emulator.apis.bigquery.errors import BigQueryError

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,299}")
_TYPES: Final = {
    "STRING": "VARCHAR", "BYTES": "BLOB", "INTEGER": "BIGINT", "FLOAT": "DOUBLE",
    "BOOLEAN": "BOOLEAN", "TIMESTAMP": "TIMESTAMPTZ", "DATE": "DATE", "TIME": "TIME",
    "DATETIME": "TIMESTAMP", "NUMERIC": "DECIMAL(38,9)", "BIGNUMERIC": "DECIMAL(38,9)",
    "JSON": "VARCHAR",
}  # fmt: skip
_STANDARD: Final = {
    "INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD",
    "DECIMAL": "NUMERIC", "BIGDECIMAL": "BIGNUMERIC",
}  # fmt: skip
_MODES: Final = ("NULLABLE", "REQUIRED", "REPEATED")
_BYTES: Final = {"BOOLEAN": 1, "STRING": 16, "BYTES": 16, "NUMERIC": 16, "JSON": 32}
_KEPT: Final = ("description", "maxLength", "precision", "scale", "policyTags")


def checked(fields: Any, path: str = "") -> list[dict[str, Any]]:
    """The fields with BigQuery's older type names and modes filled in.

    Raises:
        BigQueryError: invalid: a name, type or mode that BigQuery refuses; a name given twice.
    """
    if not isinstance(fields, list) or not all(isinstance(f, dict) for f in fields):
        raise BigQueryError("invalid", "The schema's fields must be a list of objects.")
    found: list[dict[str, Any]] = []
    for given in fields:
        name = str(given.get("name", ""))
        if not _NAME.fullmatch(name):
            raise BigQueryError("invalid", f'Invalid field name "{path}{name}".')
        if name.lower() in {f["name"].lower() for f in found}:
            raise BigQueryError("invalid", f"Duplicate field name: {path}{name}")
        found.append(_field(given, name, path))
    return found


def _field(given: Mapping[str, Any], name: str, path: str) -> dict[str, Any]:
    kind = str(given.get("type", "")).upper()
    kind = _STANDARD.get(kind, kind)
    mode = str(given.get("mode") or "NULLABLE").upper()
    if kind != "RECORD" and kind not in _TYPES:
        raise BigQueryError(
            "invalid", f"Invalid value for type: {kind or '(none)'} of {path}{name}"
        )
    if mode not in _MODES:
        raise BigQueryError("invalid", f"Invalid value for mode: {mode} of {path}{name}")
    field: dict[str, Any] = {"name": name, "type": kind, "mode": mode}
    field |= {key: given[key] for key in _KEPT if given.get(key) is not None}
    if kind == "RECORD":
        field["fields"] = checked(given.get("fields"), f"{path}{name}.")
        if not field["fields"]:
            raise BigQueryError("invalid", f"Field {path}{name} is type RECORD but has no schema")
    return field


def columns(fields: Sequence[Mapping[str, Any]]) -> str:
    """The columns of a CREATE TABLE."""
    return ", ".join(
        f"{quoted(f['name'])} {duck_type(f)}{' NOT NULL' if f['mode'] == 'REQUIRED' else ''}"
        for f in fields
    )


def duck_type(field: Mapping[str, Any]) -> str:
    """A field's type in DuckDB."""
    if field["type"] == "RECORD":
        inner = ", ".join(f"{quoted(f['name'])} {duck_type(f)}" for f in field["fields"])
        kind = f"STRUCT({inner})"
    else:
        kind = _TYPES[field["type"]]
    return f"{kind}[]" if field["mode"] == "REPEATED" else kind


def quoted(name: str) -> str:
    """A name as an identifier."""
    return '"' + name.replace('"', '""') + '"'


def row_bytes(fields: Sequence[Mapping[str, Any]]) -> int:
    """What a row takes, about; BigQuery's logical sizes, a text taken as 16 bytes."""
    total = 0
    for field in fields:
        one = row_bytes(field["fields"]) if field["type"] == "RECORD" else 8
        total += _BYTES.get(field["type"], one) * (2 if field["mode"] == "REPEATED" else 1)
    return total


def evolved(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], table: str
) -> list[Mapping[str, Any]]:
    """The new columns that a changed schema brings; all else may only be relaxed.

    Raises:
        BigQueryError: invalid: a column is gone, has another type, or is new and REQUIRED.
    """
    wanted = {f["name"].lower(): f for f in after}
    for field in before:
        now = wanted.get(field["name"].lower())
        if now is None:
            raise _mismatch(table, f"Field {field['name']} is missing in new schema")
        if now["type"] != field["type"] or now.get("fields") != field.get("fields"):
            raise _mismatch(table, f"Field {field['name']} has changed type")
        if now["mode"] != field["mode"] and (field["mode"], now["mode"]) != (
            "REQUIRED", "NULLABLE",
        ):  # fmt: skip
            raise _mismatch(
                table,
                f"Field {field['name']} has changed mode from {field['mode']} to {now['mode']}",
            )
    known = {f["name"].lower() for f in before}
    new = [f for f in after if f["name"].lower() not in known]
    for field in new:
        if field["mode"] == "REQUIRED":
            raise _mismatch(
                table, f"Cannot add required fields to an existing schema. (field: {field['name']})"
            )
    return new


def _mismatch(table: str, words: str) -> BigQueryError:
    return BigQueryError("invalid", f"Provided Schema does not match Table {table}. {words}")


def of_column(name: str, kind: exp.DataType, *, required: bool = False) -> dict[str, Any]:
    """A field out of a column of CREATE TABLE."""
    mode = "REQUIRED" if required else "NULLABLE"
    if kind.this == exp.DType.ARRAY:
        inner = kind.expressions[0] if kind.expressions else exp.DataType.build("TEXT")
        return {**of_column(name, inner), "mode": "REPEATED"}
    if kind.this == exp.DType.STRUCT:
        fields = [of_column(d.name, d.args["kind"]) for d in kind.expressions]
        return {"name": name, "type": "RECORD", "mode": mode, "fields": fields}
    text = kind.sql(dialect="bigquery").partition("(")[0].upper()
    return {"name": name, "type": _STANDARD.get(text, text), "mode": mode}
