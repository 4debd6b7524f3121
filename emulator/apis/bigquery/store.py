"""The project's datasets and tables: what they are called and hold, and how they come and go.

Contents lie in DuckDB under numbered names, since BigQuery's names are case-sensitive and DuckDB's
are not. The billing export is a table like the others that nobody can change.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from emulator.apis.bigquery import schema_fields
from emulator.apis.bigquery.errors import BigQueryError
from emulator.apis.bigquery.model import Warehouse
from emulator.apis.bigquery.schema import EXPORT
from emulator.context import Cloud
from emulator.regions import is_region

_DATASET: Final = re.compile(r"[A-Za-z0-9_]{1,1024}")
_TABLE: Final = re.compile(r"[\w\- ]{1,1024}")
# Rows of one table that the emulator keeps; DuckDB has 160 MB for all.
MOST_ROWS: Final = 2_000_000


@dataclass(slots=True)
class Table:
    """One table or view.

    Attributes:
        stored: its name in DuckDB; "" for a view.
        fields: schema; of a view what its query gives.
        body: what else the caller gave (labels, description, timePartitioning …).
        query: a view's.
    """

    name: str
    dataset: str
    stored: str
    fields: list[dict[str, Any]]
    created_at: float
    modified_at: float
    body: dict[str, Any] = field(default_factory=dict)
    query: str = ""
    revision: int = 0
    export: bool = False


@dataclass(slots=True)
class Dataset:
    """One dataset."""

    name: str
    created_at: float
    modified_at: float
    body: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)
    revision: int = 0
    export: bool = False


def store_of(cloud: Cloud) -> Store:
    """The emulator's one."""
    return cloud.store(Store, lambda: Store(cloud, Warehouse(cloud)))


class Store:
    """All datasets of the project; changes are made under the cloud's lock."""

    def __init__(self, cloud: Cloud, warehouse: Warehouse) -> None:
        self._cloud = cloud
        self.warehouse = warehouse
        self._serial = 0
        own, epoch = cloud.project, cloud.clock.epoch()
        export = Dataset(own.dataset, epoch, epoch, {"location": "US"}, export=True)
        export.tables[warehouse.table] = Table(
            warehouse.table, own.dataset, "export", EXPORT, epoch, epoch,
            {"timePartitioning": {"type": "DAY"}}, export=True,
        )  # fmt: skip
        self.datasets = {own.dataset: export}

    def path(self, dataset: str, table: str = "") -> str:
        """How BigQuery writes a name in messages."""
        return f"{self._cloud.project.id}:{dataset}" + (f".{table}" if table else "")

    def dataset(self, name: str) -> Dataset:
        """The dataset of that name.

        Raises:
            BigQueryError: notFound.
        """
        found = self.datasets.get(name)
        if found is None:
            raise BigQueryError("notFound", f"Not found: Dataset {self.path(name)}")
        return found

    def table(self, dataset: str, name: str) -> Table:
        """The table of that name.

        Raises:
            BigQueryError: notFound.
        """
        found = self.dataset(dataset).tables.get(name)
        if found is None:
            raise BigQueryError("notFound", f"Not found: Table {self.path(dataset, name)}")
        return found

    def mark(self, dataset: str, name: str) -> tuple[Any, ...]:
        """Differs once the table does, or one of those that a name with * at its end means."""
        home = self.datasets.get(dataset)
        tables = dict(home.tables) if home else {}
        begin = name.removesuffix("*")
        found = tables.values() if begin != name else (tables.get(name),)
        return tuple(
            (t.name, t.stored, t.query, repr(t.fields), self.warehouse.contents(t.stored))
            for t in found if t is not None and t.name.startswith(begin)
        )  # fmt: skip

    def writable(self, found: Dataset | Table) -> None:
        """Pass what callers may change.

        Raises:
            BigQueryError: accessDenied: it is the billing export, which Cloud Billing alone writes.
        """
        if found.export:
            what = "Dataset" if isinstance(found, Dataset) else "Table"
            name = found.name if isinstance(found, Dataset) else f"{found.dataset}.{found.name}"
            raise BigQueryError(
                "accessDenied",
                f"Access Denied: {what} {self.path(name)}: the billing export is read-only.",
            )

    def add_dataset(self, name: str, body: Mapping[str, Any]) -> Dataset:
        """Make a dataset.

        Raises:
            BigQueryError: invalid or duplicate.
        """
        if not _DATASET.fullmatch(name):
            raise BigQueryError(
                "invalid",
                f'Invalid dataset ID "{name}". Dataset IDs must be alphanumeric (plus underscores) '
                "and must be at most 1024 characters long.",
            )
        place = str(body.get("location") or "US")
        if place.upper() not in ("US", "EU") and not is_region(place):
            raise BigQueryError("invalid", f"Invalid storage region '{place}'.")
        if name in self.datasets:
            raise BigQueryError("duplicate", f"Already Exists: Dataset {self.path(name)}")
        now = self._cloud.clock.now()
        made = self.datasets[name] = Dataset(name, now, now, {"location": "US", **body})
        self._cloud.changed("bigquery.dataset.created", self.path(name), "")
        return made

    def drop_dataset(self, name: str, *, contents: bool) -> None:
        """Delete a dataset, with its tables where `contents` says so.

        Raises:
            BigQueryError: notFound, accessDenied, or resourceInUse: it has tables.
        """
        found = self.dataset(name)
        self.writable(found)
        if found.tables and not contents:
            raise BigQueryError("resourceInUse", f"Dataset {self.path(name)} is still in use")
        for table in list(found.tables):
            self.drop_table(name, table)
        del self.datasets[name]
        self._cloud.changed("bigquery.dataset.deleted", self.path(name), "")

    def add_table(
        self, dataset: str, name: str, fields: list[dict[str, Any]], body: Mapping[str, Any],
        *, query: str = "", rows: pa.Table | None = None,
    ) -> Table:  # fmt: skip
        """Make a table (empty, or with rows) or a view.

        Raises:
            BigQueryError: notFound, accessDenied, invalid or duplicate.
        """
        home = self.dataset(dataset)
        self.writable(home)
        if not _TABLE.fullmatch(name):
            raise BigQueryError("invalid", f'Invalid table ID "{name}".')
        if name in home.tables:
            raise BigQueryError("duplicate", f"Already Exists: Table {self.path(dataset, name)}")
        stored = ""
        if not query:
            self._serial += 1
            stored = f"t{self._serial}"
            # DuckDB has no tables without columns: such a one is made when it gets some.
            if fields:
                self.warehouse.run(f"CREATE TABLE {stored} ({schema_fields.columns(fields)})")
            if rows is not None:
                self.warehouse.append(stored, rows)
        now = self._cloud.clock.now()
        made = Table(name, dataset, stored, fields, now, now, dict(body), query)
        home.tables[name] = made
        self._cloud.changed("bigquery.table.created", self.path(dataset, name), "")
        return made

    def drop_table(self, dataset: str, name: str) -> None:
        """Delete a table or view.

        Raises:
            BigQueryError: notFound or accessDenied.
        """
        found = self.table(dataset, name)
        self.writable(found)
        if found.stored and found.fields:
            self.warehouse.run(f"DROP TABLE {found.stored}")
        del self.datasets[dataset].tables[name]
        self._cloud.changed("bigquery.table.deleted", self.path(dataset, name), "")

    def set_fields(self, table: Table, fields: list[dict[str, Any]]) -> None:
        """Change a table's schema: new columns, relaxed ones, descriptions.

        Raises:
            BigQueryError: invalid: any other change.
        """
        name = self.path(table.dataset, table.name)
        if not table.fields and fields:
            self.warehouse.run(f"CREATE TABLE {table.stored} ({schema_fields.columns(fields)})")
            table.fields = fields
            return
        for new in schema_fields.evolved(table.fields, fields, name):
            kind, column = schema_fields.duck_type(new), schema_fields.quoted(new["name"])
            self.warehouse.run(f"ALTER TABLE {table.stored} ADD COLUMN {column} {kind}")
        before = {f["name"].lower(): f["mode"] for f in table.fields}
        for now in fields:
            if before.get(now["name"].lower()) == "REQUIRED" and now["mode"] == "NULLABLE":
                column = schema_fields.quoted(now["name"])
                self.warehouse.run(f"ALTER TABLE {table.stored} ALTER {column} DROP NOT NULL")
        table.fields = fields

    def touch(self, found: Dataset | Table) -> None:
        """Note a change."""
        found.modified_at = self._cloud.clock.now()
        found.revision += 1

    def rows_of(self, table: Table) -> int:
        """How many rows a table has; 0 of a view."""
        if table.export:
            return self.warehouse.number_of_rows()
        return self.warehouse.count(table.stored) if table.stored and table.fields else 0

    def bytes_of(self, table: Table) -> int:
        """What they take, about."""
        size = 512 if table.export else schema_fields.row_bytes(table.fields)
        return self.rows_of(table) * size
