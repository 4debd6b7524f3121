"""Labels of many series at once: one coded column per label, so that filters and groups are fast.

A column's name says where it belongs: "resource.node_name", "metric.model_name",
"user.heartwood-tier" (metadata.user_labels), "system.region" (metadata.system_labels).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from emulator.world.noise import Ints


@dataclass(frozen=True, slots=True)
class Column:
    """`values[codes[i]]` is the label of series i."""

    codes: Ints
    values: tuple[str, ...]

    def take(self, rows: Ints) -> Column:
        """The column of those rows only."""
        return Column(self.codes[rows], self.values)

    def at(self, row: int) -> str:
        """The label of one series."""
        return self.values[self.codes[row]]


def column(labels: Sequence[str]) -> Column:
    """A column of those labels."""
    known: dict[str, int] = {}
    codes = np.fromiter((known.setdefault(v, len(known)) for v in labels), np.int64, len(labels))
    return Column(codes, tuple(known))


def constant(label: str, size: int) -> Column:
    """A column in which all series agree."""
    return Column(np.zeros(size, dtype=np.int64), (label,))


@dataclass(frozen=True, slots=True)
class Table:
    """All labels of `size` series."""

    size: int
    columns: Mapping[str, Column]

    def take(self, rows: Ints) -> Table:
        """The table of those rows only."""
        return Table(len(rows), {name: col.take(rows) for name, col in self.columns.items()})

    def with_columns(self, columns: Mapping[str, Column]) -> Table:
        """The table with further columns."""
        return Table(self.size, {**self.columns, **columns})


def table(size: int, **groups: Mapping[str, str | Sequence[str]]) -> Table:
    """A table from groups of labels: `table(2, resource={"zone": "a", "name": ["x", "y"]})`.

    A single text stands for all series.
    """
    columns: dict[str, Column] = {}
    for group, labels in groups.items():
        for name, value in labels.items():
            made = constant(value, size) if isinstance(value, str) else column(value)
            columns[f"{group}.{name}"] = made
    return Table(size, columns)
