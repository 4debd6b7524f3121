"""Values on BigQuery's wire: Arrow types → schema fields, cells → JSON, parameters → Python."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa

from emulator.apis.bigquery.errors import BigQueryError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def field(name: str, kind: pa.DataType) -> dict[str, Any]:
    """A TableFieldSchema for a result column."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inner = field(name, kind.value_type)
        return {**inner, "mode": "REPEATED"}
    found: dict[str, Any] = {"name": name, "type": _name(kind), "mode": "NULLABLE"}
    if pa.types.is_struct(kind):
        found["fields"] = [field(f.name, f.type) for f in kind]
    return found


def _name(kind: pa.DataType) -> str:
    tests = (
        (pa.types.is_boolean, "BOOLEAN"),
        (pa.types.is_integer, "INTEGER"),
        (pa.types.is_floating, "FLOAT"),
        (pa.types.is_date, "DATE"),
        (pa.types.is_time, "TIME"),
        (pa.types.is_binary, "BYTES"),
        (pa.types.is_struct, "RECORD"),
    )
    for test, name in tests:
        if test(kind):
            return name
    if pa.types.is_timestamp(kind):
        return "TIMESTAMP" if kind.tz else "DATETIME"
    if pa.types.is_decimal(kind):
        # DuckDB sums whole numbers in a type of 38 digits without places.
        return "INTEGER" if kind.scale == 0 else "NUMERIC"
    return "INTEGER" if pa.types.is_null(kind) else "STRING"


def columns(table: pa.Table) -> list[dict[str, Any]]:
    """The schema's fields of a result."""
    names = [_anonymous(name, i) for i, name in enumerate(table.column_names)]
    return [field(n, f.type) for n, f in zip(names, table.schema, strict=True)]


def _anonymous(name: str, index: int) -> str:
    """BigQuery names what has no name f0_, f1_ …"""
    return name if name.isidentifier() else f"f{index}_"


def rows(table: pa.Table, *, times: str) -> list[dict[str, Any]]:
    """The rows; `times`: how timestamps look: FLOAT64 (s), INT64 (µs) or ISO8601_STRING."""
    cells = [
        [cell(v, times=times) for v in _plain(table.column(i))] for i in range(table.num_columns)
    ]
    return [{"f": [{"v": v} for v in row]} for row in zip(*cells, strict=True)]


def _plain(column: pa.ChunkedArray) -> list[Any]:
    return column.to_pylist()


def cell(value: Any, *, times: str) -> Any:
    """One cell's JSON."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return {"f": [{"v": cell(v, times=times)} for v in value.values()]}
    if isinstance(value, list):
        return [{"v": cell(v, times=times)} for v in value]
    if isinstance(value, datetime):
        return _moment(value, times=times)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    if isinstance(value, float):
        return _float(value)
    return str(value)


def _float(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(value)


def _moment(value: datetime, *, times: str) -> str:
    if value.tzinfo is None:
        return value.isoformat()
    since = value - _EPOCH
    micros = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    if times == "ISO8601_STRING":
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return str(micros) if times == "INT64" else repr(micros / 1e6)


def parameters(given: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Query parameters by name; positional ones as positional_0 …

    Raises:
        BigQueryError: invalid: a type or value that cannot be read.
    """
    found: dict[str, Any] = {}
    for number, parameter in enumerate(given):
        name = parameter.get("name") or f"positional_{number}"
        try:
            kind, value = parameter["parameterType"], parameter["parameterValue"]
            found[name] = _parameter(kind, value)
        except (KeyError, ValueError, TypeError, ArithmeticError) as error:
            raise BigQueryError(
                "invalid", f"Invalid value for query parameter '{name}': {error}"
            ) from error
    return found


def _parameter(kind: Mapping[str, Any], value: Mapping[str, Any]) -> Any:
    name = kind["type"].upper()
    if name == "ARRAY":
        return [_parameter(kind["arrayType"], v) for v in value.get("arrayValues", ())]
    if name == "STRUCT":
        types = {t["name"]: t["type"] for t in kind["structTypes"]}
        return {n: _parameter(types[n], v) for n, v in value.get("structValues", {}).items()}
    text = value.get("value")
    if text is None:
        return None
    if name in ("INT64", "INTEGER"):
        return int(text)
    if name in ("FLOAT64", "FLOAT"):
        return float(text)
    if name in ("BOOL", "BOOLEAN"):
        return str(text).lower() == "true"
    if name in ("NUMERIC", "BIGNUMERIC"):
        return Decimal(text)
    if name == "DATE":
        return date.fromisoformat(text)
    if name == "TIMESTAMP":
        moment = datetime.fromisoformat(text.strip().replace(" UTC", "+00:00"))
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if name == "DATETIME":
        return datetime.fromisoformat(text).replace(tzinfo=None)
    if name == "BYTES":
        return base64.b64decode(text)
    return str(text)
