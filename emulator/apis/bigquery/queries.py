"""What a query's names mean, and the run of one statement."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import duckdb
import pyarrow as pa
from sqlglot import exp

from emulator.apis.bigquery import information_schema, schema_fields, sql, values
from emulator.apis.bigquery.errors import BigQueryError
from emulator.apis.bigquery.instant import at_instant
from emulator.apis.bigquery.running import Guard
from emulator.apis.bigquery.statements import Outcome, Statement
from emulator.apis.bigquery.store import Store, Table
from emulator.context import Cloud

_DEEPEST: Final = 16
_WRITES: Final = ("WRITE_EMPTY", "WRITE_TRUNCATE", "WRITE_APPEND")


@dataclass(slots=True)
class Names:
    """Resolves the tables of one statement, and remembers which it read.

    Attributes:
        marks: the tables that it asked for, as they were (`Store.mark`).
    """

    cloud: Cloud
    store: Store
    project: str
    dataset: str
    read: dict[tuple[str, str], Table] = field(default_factory=dict)
    marks: dict[tuple[str, str], Any] = field(default_factory=dict)
    _depth: int = 0

    def find(self, project: str, dataset: str, name: str) -> str:
        """SQL that reads the table; "" for a name that is only checked for its project.

        Raises:
            BigQueryError: notFound, accessDenied, or invalid for a name without dataset.
        """
        own = self.cloud.project
        if dataset.upper() == information_schema.NAME:
            return information_schema.view(self.store, own.id, project or self.dataset, name)
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
        self.about(dataset, name)
        known = self.store.datasets.get(dataset)
        tables = known.tables if known else {}
        hits = [tables[name]] if name in tables else []
        if name.endswith("*"):
            hits = [t for n, t in tables.items() if n.startswith(name[:-1]) and not t.query]
        if not hits:
            path = self.store.path(dataset, name)
            raise BigQueryError("notFound", f"Not found: Table {path} was not found in location US")
        return " UNION ALL BY NAME ".join(self._source(t) for t in hits)

    def about(self, dataset: str, name: str) -> None:
        """Note a table that the statement is about as it is now."""
        self.marks.setdefault((dataset, name), self.store.mark(dataset, name))

    def unchanged(self) -> bool:
        """Whether all tables are as they were."""
        return all(self.store.mark(*about) == mark for about, mark in self.marks.items())

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


@dataclass(slots=True)
class Prepared:
    """A statement whose long part is done: what it changes is not seen until `store`.

    Attributes:
        instant: what CURRENT_TIMESTAMP was, Unix seconds.
    """

    cloud: Cloud
    instant: float
    names: Names
    bytes_read: int = 0
    commit: Callable[[], tuple[pa.Table | None, Outcome]] | None = None
    cursors: list[duckdb.DuckDBPyConnection] = field(default_factory=list)
    held: threading.Lock | None = None

    def current(self) -> bool:
        """Whether the tables that it is about are still as they were."""
        with self.cloud.clock.at(self.instant):
            return self.names.unchanged()

    def store(self) -> Answer:
        """Carry out the rest: quick, under the cloud's lock.

        Raises:
            BigQueryError: whatever BigQuery refuses.
        """
        assert self.commit is not None
        rows, outcome = self.commit()
        return Answer(rows, outcome, self.bytes_read, tuple(self.names.read))

    def drop(self) -> None:
        """Take back what was not stored, and free what it held."""
        for cursor in self.cursors:
            cursor.close()
        if self.held is not None:
            self.held.release()
            self.held = None


class Queries:
    """Runs statements on the store."""

    def __init__(self, cloud: Cloud, store: Store) -> None:
        self._cloud = cloud
        self._store = store
        # DuckDB refuses whoever changes the same rows second.
        self.changing = threading.Lock()

    def run(self, query: Mapping[str, Any], *, dry: bool = False) -> Answer:
        """One statement at once; a dry run checks it alone and gives no rows.

        Raises:
            BigQueryError: whatever BigQuery refuses.
        """
        prepared = self.prepare(query, Guard(), dry=dry)
        try:
            return prepared.store()
        finally:
            prepared.drop()

    def prepare(
        self, query: Mapping[str, Any], guard: Guard, *, dry: bool = False,
        instant: float | None = None, chance: float | None = None,
    ) -> Prepared:  # fmt: skip
        """Do a statement's long part; `instant` and `chance` are what it asks clock and dice for.

        Raises:
            BigQueryError: whatever BigQuery refuses; stopped or timeout by the guard.
        """
        now = self._cloud.clock.now() if instant is None else instant
        default = query.get("defaultDataset") or {}
        names = Names(
            self._cloud, self._store, str(default.get("projectId", "")),
            str(default.get("datasetId", "")),
        )  # fmt: skip
        made = Prepared(self._cloud, now, names)
        try:
            with self._cloud.clock.at(now):
                made.commit = _Run(self, made, guard, chance, dry).prepare(query)
                made.bytes_read = sum(self._store.bytes_of(t) for t in names.read.values())
        except BaseException:
            made.drop()
            raise
        return made

    def write(
        self, options: Mapping[str, Any], rows: pa.Table,
        fields: list[dict[str, Any]] | None = None,
    ) -> None:  # fmt: skip
        """Put rows into options' destinationTable by its dispositions; a new one has the fields.

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
            fields = fields or schema_fields.checked(values.columns(rows))
            body = {k: options[k] for k in ("timePartitioning", "clustering") if k in options}
            store.add_table(dataset, name, fields, body, rows=rows)


@dataclass(slots=True)
class _Run:
    """One statement's way to a `Prepared`."""

    queries: Queries
    made: Prepared
    guard: Guard
    chance: float | None
    dry: bool

    def prepare(
        self, query: Mapping[str, Any]
    ) -> Callable[[], tuple[pa.Table | None, Outcome]]:  # fmt: skip
        names, text = self.made.names, str(query["query"])
        given = values.parameters(query.get("queryParameters") or ())
        tree = sql.parse(text)
        if not isinstance(tree, exp.Create):  # a view asks the clock whenever it is read
            tree = at_instant(tree, self.made.instant)
        if isinstance(tree, exp.Query):
            return self._select_into(query, self._select(tree, text, given, dry=self.dry))
        statement = Statement(
            tree, text, names.store, names.find, (names.project, names.dataset), given,
            lambda inner, dry: self._select(inner.copy(), text, given, dry=dry),
            names.about, self._connect_alone, self.guard,
        )  # fmt: skip
        if self.dry:
            if statement.kind in ("INSERT", "UPDATE", "DELETE", "MERGE"):
                statement.check()
            return lambda: (None, Outcome(statement.kind))
        commit = statement.prepare()

        def change() -> tuple[pa.Table | None, Outcome]:
            with names.cloud.lock:
                return None, commit()

        return change

    def _select_into(
        self, query: Mapping[str, Any], rows: pa.Table
    ) -> Callable[[], tuple[pa.Table | None, Outcome]]:  # fmt: skip
        def change() -> tuple[pa.Table | None, Outcome]:
            if not self.dry and query.get("destinationTable"):
                self.queries.write(query, rows)
            return rows, Outcome("SELECT")

        return change

    def _connect_alone(self) -> duckdb.DuckDBPyConnection:
        changing = self.queries.changing
        while not changing.acquire(timeout=0.1):
            self.guard.check()
        self.made.held = changing
        return self._connect()

    def _connect(self) -> duckdb.DuckDBPyConnection:
        cursor = self.made.names.store.warehouse.cursor(self.chance)
        self.made.cursors.append(cursor)
        return cursor

    def _select(
        self, tree: exp.Expression, text: str, given: Mapping[str, Any], *, dry: bool
    ) -> pa.Table:  # fmt: skip
        translated = sql.to_duckdb(at_instant(tree, self.made.instant), self.made.names.find)
        if dry:
            translated = f"SELECT * FROM ({translated}) LIMIT 0"
        cursor = self._connect()
        with self.guard.over(cursor):
            return sql.run(cursor, translated, text, given)
