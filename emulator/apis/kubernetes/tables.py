"""Lists as Tables, in which `kubectl get` wants them: the usual columns, printed by the server.

What the cells hold stands in cells.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from emulator.apis.kubernetes.cells import cells_of
from emulator.apis.kubernetes.resources import Column, Kind
from emulator.apis.kubernetes.store import Item


def table_columns(kind: Kind) -> list[dict[str, Any]]:
    """columnDefinitions."""
    return [_column(column) for column in kind.columns]


def _column(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        # kubectl would turn a date into an age a second time.
        "type": "string" if column.type == "date" else column.type,
        "format": column.format,
        "description": column.name,
        "priority": column.priority,
    }


def table_rows(kind: Kind, items: Iterable[Item], now: float, include: str) -> list[dict[str, Any]]:
    """Rows; `include` says what of the object comes along: Metadata, Object or None."""
    rows: list[dict[str, Any]] = []
    for item in items:
        row: dict[str, Any] = {"cells": cells_of(kind, item.body, now)}
        if include == "Object":
            row["object"] = item.body
        elif include != "None":
            row["object"] = {
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": item.body["metadata"],
            }
        rows.append(row)
    return rows
