"""What a query's names mean, and the run of one statement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
from sqlglot import exp

from emulator.apis.bigquery import schema_fields, sql, values
from emulator.apis.bigquery.errors import BigQueryError
from emulator.apis.bigquery.instant import at_instant
from emulator.apis.bigquery.statements import Outcome, Statement
from emulator.apis.bigquery.store import Store, Table
from emulator.context import Cloud

_DEEPEST: Final = 16
_WRITES: Final = ("WRITE_EMPTY", "WRITE_TRUNCATE", "WRITE_APPEND")


@dataclass(slots=True)
class Names:
    """Resolves the tables of one statement, and remembers which it read."""

    cloud: Cloud
    store: Store
    project: str
    dataset: str
    read: dict[tuple[str, str], Table] = field(default_factory=dict)
    _depth: int = 0

    def find(self, project: str, dataset: str, name: str) -> str:
        """SQL that reads the table; "" for a name that is only checked for its project.

        Raises:
            BigQueryError: notFound, accessDenied, or invalid for a name without dataset.
        """
        own = self.cloud.project
        dataset = dataset or self.dataset
        project = project or self.project
        if project not in ("", own.id, own.number):
            raise BigQueryError(
                "accessDenied",
                f"Access Denied: Table {project}:{dataset}.{name}: User does not have permission "
                f"to query table {project}:{dataset}.{name}, or perhaps it does not exist.",
            )
        if not name:
            return ""
        if not dataset:
            raise BigQueryError(
                "invalid", f'Table "{name}" must be qualified with a dataset (e.g. dataset.table).'
            )
        known = self.store.datasets.get(dataset)
        tables = known.tables if known else {}
        hits = [tables[name]] if name in tables else []
        if name.endswith("*"):
            hits = [t for n, t in tables.items() if n.startswith(name[:-1]) and not t.query]
        if not hits:
            path = self.store.path(dataset, name)
            raise BigQueryError("notFound", f"Not found: Table {path} was not found in location US")
        return " UNION ALL BY NAME ".join(self._source(t) for t in hits)

    def _source(self, table: Table) -> str:
        self.read[table.dataset, table.name] = table
        if table.export:
            now = f"to_timestamp({self.cloud.clock.now():.6f})"
            return f"SELECT * FROM export WHERE export_time <= {now}"
        if not table.fields:
            path = self.store.path(table.dataset, table.name)
            raise BigQueryError("invalidQuery", f"Table {path} does not have a schema.")
        if not table.query:
            return f"SELECT * FROM {table.stored}"
        if self._depth >= _DEEPEST:
            raise BigQueryError("invalidQuery", "Views are nested too deeply.")
        self._depth += 1
        tree = at_instant(sql.parse(table.query), self.cloud.clock.now())
        text = sql.to_duckdb(tree, self.find)
        self._depth -= 1
        return text


@dataclass(slots=True)
class Answer:
    """What a statement gave: rows of a SELECT, or what it changed."""

    rows: pa.Table | None
    outcome: Outcome
    bytes_read: int
    tables: tuple[tuple[str, str], ...] = ()


class Queries:
    """Runs statements on the store."""

    def __init__(self, cloud: Cloud, store: Store) -> None:
        self._cloud = cloud
        self._store = store

    def run(self, query: Mapping[str, Any], *, dry: bool = False) -> Answer:
        """One statement; a dry run checks it alone and gives no rows.

        Raises:
            BigQueryError: whatever BigQuery refuses.
        """
        default = query.get("defaultDataset") or {}
        names = Names(
            self._cloud, self._store, str(default.get("projectId", "")),
            str(default.get("datasetId", "")),
        )  # fmt: skip
        text = str(query["query"])
        given = values.parameters(query.get("queryParameters") or ())
        tree = sql.parse(text)
        if not isinstance(tree, exp.Create):  # a view asks the clock whenever it is read
            tree = at_instant(tree, self._cloud.clock.now())
        if isinstance(tree, exp.Query):
            rows = self._select(tree, text, names, given, dry=dry)
            if not dry and query.get("destinationTable"):
                self.write(query, rows)
            outcome = Outcome("SELECT")
        else:
            statement = Statement(
                tree, text, self._store, names.find, (names.project, names.dataset), given,
                lambda inner: self._select(inner.copy(), text, names, given),
            )  # fmt: skip
            rows, outcome = None, self._change(statement, dry=dry)
        read = sum(self._store.bytes_of(t) for t in names.read.values())
        return Answer(rows, outcome, read, tuple(names.read))

    def _change(self, statement: Statement, *, dry: bool) -> Outcome:
        if dry:
            if statement.kind in ("INSERT", "UPDATE", "DELETE", "MERGE"):
                statement.check()
            return Outcome(statement.kind)
        with self._cloud.lock:
            return statement.run()

    def _select(
        self, tree: exp.Expression, text: str, names: Names, given: Mapping[str, Any], *,
        dry: bool = False,
    ) -> pa.Table:  # fmt: skip
        translated = sql.to_duckdb(at_instant(tree, self._cloud.clock.now()), names.find)
        if dry:
            translated = f"SELECT * FROM ({translated}) LIMIT 0"
        cursor = self._store.warehouse.cursor()
        try:
            return sql.run(cursor, translated, text, given)
        finally:
            cursor.close()

    def write(self, options: Mapping[str, Any], rows: pa.Table) -> None:
        """Put rows into options' destinationTable by its dispositions.

        Raises:
            BigQueryError: notFound, duplicate (it has rows), accessDenied or invalid.
        """
        to = options["destinationTable"]
        dataset, name = str(to.get("datasetId", "")), str(to.get("tableId", ""))
        how = str(options.get("writeDisposition") or "WRITE_EMPTY")
        if how not in _WRITES:
            raise BigQueryError("invalid", f"Invalid value for writeDisposition: {how}")
        store = self._store
        with self._cloud.lock:
            found = store.dataset(dataset).tables.get(name)
            if found is None and options.get("createDisposition") == "CREATE_NEVER":
                raise BigQueryError("notFound", f"Not found: Table {store.path(dataset, name)}")
            if found and how == "WRITE_EMPTY" and store.rows_of(found):
                raise BigQueryError(
                    "duplicate", f"Already Exists: Table {store.path(dataset, name)}"
                )
            if found and how == "WRITE_APPEND":
                store.writable(found)
                store.warehouse.append(found.stored, rows)
                store.touch(found)
                return
            if found:
                store.drop_table(dataset, name)
            fields = schema_fields.checked(values.columns(rows))
            body = {k: options[k] for k in ("timePartitioning", "clustering") if k in options}
            store.add_table(dataset, name, fields, body, rows=rows)
