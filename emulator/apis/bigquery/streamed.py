"""tabledata.insertAll: JSON rows checked against a schema and brought into DuckDB's types."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa

from emulator.apis.bigquery.errors import BigQueryError

_ARROW: Final[dict[str, pa.DataType]] = {
    "STRING": pa.string(), "BYTES": pa.binary(), "INTEGER": pa.int64(), "FLOAT": pa.float64(),
    "BOOLEAN": pa.bool_(), "TIMESTAMP": pa.timestamp("us", tz="UTC"), "DATE": pa.date32(),
    "TIME": pa.time64("us"), "DATETIME": pa.timestamp("us"), "NUMERIC": pa.decimal128(38, 9),
    "BIGNUMERIC": pa.decimal128(38, 9), "JSON": pa.string(),
}  # fmt: skip
_TRUTH: Final = {"true": True, "false": False, "1": True, "0": False}
_MOST: Final = 50_000


class _Bad(ValueError):
    """A value that does not fit; `location` is its field."""

    def __init__(self, location: str, message: str) -> None:
        super().__init__(message)
        self.location = location


def arrow_type(field: Mapping[str, Any]) -> pa.DataType:
    """A field's type in Arrow."""
    if field["type"] == "RECORD":
        kind: pa.DataType = pa.struct([pa.field(f["name"], arrow_type(f)) for f in field["fields"]])
    else:
        kind = _ARROW[field["type"]]
    return pa.list_(kind) if field["mode"] == "REPEATED" else kind


def read_rows(
    fields: Sequence[Mapping[str, Any]], body: Mapping[str, Any]
) -> tuple[pa.Table | None, list[dict[str, Any]]]:
    """(the rows to add, insertErrors) of a request; none is added when one is bad, unless asked.

    Raises:
        BigQueryError: invalid: there are no rows or too many.
    """
    given = body.get("rows")
    if not isinstance(given, list) or not given:
        raise BigQueryError("invalid", "No rows present in the request.")
    if len(given) > _MOST:
        raise BigQueryError("invalid", f"Too many rows present in the request, limit: {_MOST}.")
    loose = body.get("ignoreUnknownValues") in (True, "true")
    good: list[dict[str, Any]] = []
    bad: list[dict[str, Any]] = []
    for index, row in enumerate(given):
        try:
            good.append(_record(fields, row.get("json") if isinstance(row, dict) else None, loose))
        except _Bad as error:
            problem = {"reason": "invalid", "location": error.location, "debugInfo": "",
                       "message": str(error)}  # fmt: skip
            bad.append({"index": index, "errors": [problem]})
    if bad and body.get("skipInvalidRows") not in (True, "true"):
        stopped = {"reason": "stopped", "location": "", "debugInfo": "", "message": ""}
        known = {b["index"] for b in bad}
        bad += [{"index": i, "errors": [stopped]} for i in range(len(given)) if i not in known]
        return None, bad
    schema = pa.schema([pa.field(f["name"], arrow_type(f)) for f in fields])
    return pa.Table.from_pylist(good, schema=schema), bad


def _record(
    fields: Sequence[Mapping[str, Any]], given: Any, loose: bool, path: str = ""
) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise _Bad(path, "This field: is not a record." if path else "Row has no json.")
    by_name = {f["name"].lower(): f for f in fields}
    found: dict[str, Any] = {f["name"]: [] if f["mode"] == "REPEATED" else None for f in fields}
    for name, value in given.items():
        field = by_name.get(str(name).lower())
        if field is None:
            if loose:
                continue
            raise _Bad(f"{path}{name}", f"no such field: {path}{name}.")
        found[field["name"]] = _value(field, value, loose, f"{path}{field['name']}")
    for field in fields:
        if field["mode"] == "REQUIRED" and found[field["name"]] is None:
            raise _Bad(f"{path}{field['name']}", f"Missing required field: {path}{field['name']}.")
    return found


def _value(field: Mapping[str, Any], value: Any, loose: bool, path: str) -> Any:
    if field["mode"] == "REPEATED":
        if not isinstance(value, list):
            raise _Bad(path, f"Repeated field must be imported as a JSON array: {path}.")
        return [_one(field, v, loose, path) for v in value]
    if isinstance(value, list):
        raise _Bad(path, f"Array specified for non-repeated field: {path}.")
    return None if value is None else _one(field, value, loose, path)


def _one(field: Mapping[str, Any], value: Any, loose: bool, path: str) -> Any:
    kind = field["type"]
    if kind == "RECORD":
        return _record(field["fields"], value, loose, f"{path}.")
    try:
        return _scalar(kind, value)
    except (ValueError, TypeError, ArithmeticError, KeyError) as error:
        raise _Bad(path, f"Cannot convert value to {kind.lower()}: {value}") from error


def _scalar(kind: str, value: Any) -> Any:
    if isinstance(value, dict | list):
        raise TypeError(kind)
    if kind == "INTEGER":
        number = int(value) if isinstance(value, str) else value
        if isinstance(number, bool) or int(number) != number or not -(2**63) <= number < 2**63:
            raise ValueError(value)
        return int(number)
    if kind == "FLOAT":
        return float(value)
    if kind == "BOOLEAN":
        return _TRUTH[str(value).lower()]
    if kind == "STRING" or kind == "JSON":
        return str(value).lower() if isinstance(value, bool) else str(value)
    if kind == "BYTES":
        return base64.b64decode(value, validate=True)
    if kind in ("NUMERIC", "BIGNUMERIC"):
        return round(Decimal(str(value)), 9)
    if kind == "TIMESTAMP":
        return _moment(value)
    return {"DATE": date, "TIME": time, "DATETIME": datetime}[kind].fromisoformat(value)


def _moment(value: Any) -> datetime:
    if not isinstance(value, str):
        return datetime.fromtimestamp(float(value), UTC)
    try:
        return datetime.fromtimestamp(float(value), UTC)
    except ValueError:
        moment = datetime.fromisoformat(value.strip().replace(" UTC", "+00:00"))
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
