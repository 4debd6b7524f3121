"""INFORMATION_SCHEMA's views of what there is: SCHEMATA, TABLES and COLUMNS, as SQL for DuckDB."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from emulator.apis.bigquery.errors import BigQueryError
from emulator.apis.bigquery.store import Dataset, Store

NAME: Final = "INFORMATION_SCHEMA"
_TYPES: Final = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
_COLUMNS: Final = {
    "SCHEMATA": (
        "catalog_name", "schema_name", "creation_time", "last_modified_time", "location",
    ),
    "TABLES": (
        "table_catalog", "table_schema", "table_name", "table_type", "is_insertable_into",
        "creation_time",
    ),
    "COLUMNS": (
        "table_catalog", "table_schema", "table_name", "column_name", "ordinal_position",
        "is_nullable", "data_type",
    ),
}  # fmt: skip


def view(store: Store, project: str, dataset: str, name: str) -> str:
    """SQL that reads a view; `dataset` is one, "region-…" for all, or for SCHEMATA anything.

    Raises:
        BigQueryError: notFound, invalid for a missing dataset, notImplemented for other views.
    """
    kind = name.upper()
    if kind not in _COLUMNS:
        raise BigQueryError("notImplemented", f"The emulator has no view {NAME}.{kind}.")
    chosen = list(store.datasets.values())
    if kind != "SCHEMATA" and not dataset.lower().startswith("region-"):
        if not dataset:
            raise BigQueryError(
                "invalid", f'Table "{NAME}.{kind}" must be qualified with a dataset or region.'
            )
        chosen = [store.dataset(dataset)]
    rows = {"SCHEMATA": _schemata, "TABLES": _tables, "COLUMNS": _columns}[kind]
    return _select(_COLUMNS[kind], list(rows(project, chosen)))


def _schemata(project: str, datasets: Iterable[Dataset]) -> Iterable[Sequence[str]]:
    for found in datasets:
        yield (
            _text(project), _text(found.name), _time(found.created_at), _time(found.modified_at),
            _text(str(found.body.get("location", "US"))),
        )  # fmt: skip


def _tables(project: str, datasets: Iterable[Dataset]) -> Iterable[Sequence[str]]:
    for home in datasets:
        for found in home.tables.values():
            plain = not found.query
            yield (
                _text(project), _text(home.name), _text(found.name),
                _text("BASE TABLE" if plain else "VIEW"), _text("YES" if plain else "NO"),
                _time(found.created_at),
            )  # fmt: skip


def _columns(project: str, datasets: Iterable[Dataset]) -> Iterable[Sequence[str]]:
    for home in datasets:
        for found in home.tables.values():
            for number, field in enumerate(found.fields, 1):
                nullable = field.get("mode", "NULLABLE") == "NULLABLE"
                yield (
                    _text(project), _text(home.name), _text(found.name), _text(field["name"]),
                    str(number), _text("YES" if nullable else "NO"), _text(data_type(field)),
                )  # fmt: skip


def data_type(field: dict[str, Any]) -> str:
    """A field's type as SQL writes it, e.g. ARRAY<STRUCT<key STRING>>."""
    kind = _TYPES.get(str(field["type"]), str(field["type"]))
    if kind in ("RECORD", "STRUCT"):
        inner = ", ".join(f"{f['name']} {data_type(f)}" for f in field.get("fields", ()))
        kind = f"STRUCT<{inner}>"
    return f"ARRAY<{kind}>" if field.get("mode") == "REPEATED" else kind


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _time(at: float) -> str:
    return f"to_timestamp({at})"


def _select(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Those rows, also when there are none."""
    names = ", ".join(columns)
    if not rows:
        return f"SELECT {', '.join(f'NULL AS {c}' for c in columns)} WHERE FALSE"
    values = ", ".join(f"({', '.join(row)})" for row in rows)
    return f"SELECT * FROM (VALUES {values}) AS found({names})"
