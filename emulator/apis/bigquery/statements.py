"""Statements that change something: DML on stored tables, and CREATE, DROP, ALTER, TRUNCATE."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import duckdb
import pyarrow as pa
from sqlglot import exp

from emulator.apis.bigquery import schema_fields, sql, values
from emulator.apis.bigquery.errors import BigQueryError
from emulator.apis.bigquery.running import Guard
from emulator.apis.bigquery.store import MOST_ROWS, Store, Table

Find = Callable[[str, str, str], str]
_DML: Final = {exp.Insert: "INSERT", exp.Update: "UPDATE", exp.Delete: "DELETE", exp.Merge: "MERGE"}
_COUNTS: Final = {"INSERT": "inserted", "UPDATE": "updated", "DELETE": "deleted"}


@dataclass(slots=True)
class Outcome:
    """What a statement did.

    Attributes:
        kind: BigQuery's statementType.
        rows: changed rows by "inserted", "updated", "deleted".
        table: (dataset, table) that a DDL statement was about, and what it did with it.
    """

    kind: str
    rows: dict[str, int] = field(default_factory=dict)
    table: tuple[str, str] = ("", "")
    performed: str = ""


Commit = Callable[[], Outcome]


@dataclass(slots=True)
class Statement:
    """A parsed statement with what it needs: the store, other tables' SQL, parameters.

    Attributes:
        default: project and dataset of names that have none.
        select: runs a query → its rows; none of them where only their types are asked for.
        about: is told of each table that the statement is about, there or not.
        connect: a connection to DuckDB that stays open until the statement is carried out, and
            is the only one meanwhile that changes rows.
        guard: how long it may run.
    """

    tree: exp.Expression
    text: str
    store: Store
    find: Find
    default: tuple[str, str]
    given: Mapping[str, Any]
    select: Callable[[exp.Expression, bool], pa.Table]
    about: Callable[[str, str], None]
    connect: Callable[[], duckdb.DuckDBPyConnection]
    guard: Guard

    @property
    def kind(self) -> str:
        """BigQuery's statementType.

        Raises:
            BigQueryError: notImplemented: the emulator does not know the statement.
        """
        tree = self.tree
        if type(tree) in _DML:
            return _DML[type(tree)]
        what = str(tree.args.get("kind") or "").upper()
        if isinstance(tree, exp.TruncateTable):
            return "TRUNCATE_TABLE"
        if isinstance(tree, exp.Alter) and what == "TABLE":
            return "ALTER_TABLE"
        if isinstance(tree, exp.Create | exp.Drop) and what in ("TABLE", "VIEW", "SCHEMA"):
            verb = "CREATE" if isinstance(tree, exp.Create) else "DROP"
            query = verb == "CREATE" and what == "TABLE" and tree.args.get("expression")
            return f"{verb}_{what}{'_AS_SELECT' if query else ''}"
        name = type(tree).__name__.upper()
        raise BigQueryError("notImplemented", f"The emulator does not run {name} statements.")

    def prepare(self) -> Commit:
        """Do what takes long, so that nobody sees it; what is given carries the rest out.

        Raises:
            BigQueryError: whatever BigQuery refuses of it.
        """
        kind = self.kind
        if kind in _DML.values():
            return self._change_rows(kind)
        verb = kind.split("_", 1)[0]
        if verb == "CREATE":
            return self._create(kind)
        later = {"TRUNCATE": self._truncate, "ALTER": self._alter, "DROP": self._drop}[verb]
        return lambda: later(kind)

    # --- rows -----------------------------------------------------------------------------------

    def check(self) -> tuple[str, Table]:
        """The DuckDB statement of a DML statement on stored tables, and the one that it changes."""
        tree = self.tree
        target = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
        table = self._stored(target)
        if isinstance(tree, exp.Update | exp.Delete) and not tree.args.get("where"):
            raise BigQueryError(
                "invalidQuery", f"{_DML[type(tree)]} must have a WHERE clause at [1:1]"
            )
        alias = target.alias or table.name
        inner = exp.to_table(table.stored)
        if not isinstance(tree, exp.Insert):
            inner.set("alias", exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
        target.replace(inner)
        if isinstance(tree, exp.Update):
            _bare_targets(tree.expressions)
        for update in tree.find_all(exp.Update):
            _bare_targets(update.expressions)
        return sql.to_duckdb(tree, self.find, skip=inner), table

    def _change_rows(self, kind: str) -> Commit:
        translated, table = self.check()
        if kind == "MERGE":
            translated += " RETURNING merge_action"
        cursor = self.connect()
        try:
            with self.guard.over(cursor):
                cursor.execute("BEGIN")
                found = sql.execute(cursor, translated, self.given)
        except duckdb.Error as error:
            raise BigQueryError("invalidQuery", _explain(str(error), self.text)) from error
        rows = dict.fromkeys(_COUNTS.values(), 0)
        if kind == "MERGE":
            for (action,) in found:
                rows[_COUNTS[action]] += 1
        else:
            rows[_COUNTS[kind]] = int(found[0][0]) if found else 0

        def commit() -> Outcome:
            try:
                cursor.execute("COMMIT")
            except duckdb.Error as error:
                raise BigQueryError("invalidQuery", _explain(str(error), self.text)) from error
            self.store.warehouse.touch(table.stored)
            return Outcome(kind, rows)

        return commit

    def _truncate(self, kind: str) -> Outcome:
        target = self.tree.expressions[0]
        table = self._stored(target)
        gone = self.store.rows_of(table)
        self.store.warehouse.run(f"DELETE FROM {table.stored}")
        self.store.warehouse.touch(table.stored)
        return Outcome(kind, {"deleted": gone})

    # --- tables ---------------------------------------------------------------------------------

    def _create(self, kind: str) -> Commit:
        tree, store = self.tree, self.store
        named = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
        if kind == "CREATE_SCHEMA":
            return lambda: self._create_schema(named.name or named.db)
        dataset, name = self._names(named)
        query, before = tree.args.get("expression"), store.dataset(dataset).tables.get(name)
        if before and tree.args.get("exists"):
            return lambda: Outcome(kind, table=(dataset, name), performed="SKIP")
        if before and not tree.args.get("replace"):
            raise BigQueryError("duplicate", f"Already Exists: Table {store.path(dataset, name)}")
        rows = self.select(query, kind == "CREATE_VIEW") if query is not None else None
        fields = self._fields(rows)

        def commit() -> Outcome:
            if before:
                store.drop_table(dataset, name)
            if kind == "CREATE_VIEW":
                text = query.sql(dialect="bigquery")
                store.add_table(dataset, name, fields, {}, query=text)
            else:
                store.add_table(dataset, name, fields, {}, rows=rows)
            return Outcome(kind, table=(dataset, name), performed="REPLACE" if before else "CREATE")

        return commit

    def _create_schema(self, name: str) -> Outcome:
        if self.tree.args.get("exists") and name in self.store.datasets:
            return Outcome("CREATE_SCHEMA", table=(name, ""), performed="SKIP")
        self.store.add_dataset(name, {})
        return Outcome("CREATE_SCHEMA", table=(name, ""), performed="CREATE")

    def _fields(self, rows: pa.Table | None) -> list[dict[str, Any]]:
        if rows is not None:
            if rows.num_rows > MOST_ROWS:
                raise BigQueryError("resourcesExceeded", f"More than {MOST_ROWS} rows.")
            return schema_fields.checked(values.columns(rows))
        defined = self.tree.this.expressions if isinstance(self.tree.this, exp.Schema) else []
        return schema_fields.checked([_column(c) for c in defined if isinstance(c, exp.ColumnDef)])

    def _drop(self, kind: str) -> Outcome:
        tree, store = self.tree, self.store
        named = next(iter(tree.args.get("tables") or [tree.this]))
        if kind == "DROP_SCHEMA":
            name = named.name or named.db
            if tree.args.get("exists") and name not in store.datasets:
                return Outcome(kind, table=(name, ""), performed="SKIP")
            store.drop_dataset(name, contents=bool(tree.args.get("cascade")))
            return Outcome(kind, table=(name, ""), performed="DROP")
        dataset, name = self._names(named)
        if tree.args.get("exists") and name not in store.dataset(dataset).tables:
            return Outcome(kind, table=(dataset, name), performed="SKIP")
        found = store.table(dataset, name)
        is_view = bool(found.query)
        if is_view != (kind == "DROP_VIEW"):
            what = "a view" if is_view else "a table"
            raise BigQueryError("invalidQuery", f"{store.path(dataset, name)} is {what}.")
        store.drop_table(dataset, name)
        return Outcome(kind, table=(dataset, name), performed="DROP")

    def _alter(self, kind: str) -> Outcome:
        table = self._stored(self.tree.this)
        added = self.tree.args.get("actions") or []
        if not added or not all(isinstance(a, exp.ColumnDef) for a in added):
            raise BigQueryError("notImplemented", "The emulator's ALTER TABLE adds columns only.")
        wanted = [*table.fields, *(_column(a) for a in added)]
        self.store.set_fields(table, schema_fields.checked(wanted))
        self.store.touch(table)
        return Outcome(kind, table=(table.dataset, table.name), performed="ALTER")

    def _names(self, named: exp.Expression) -> tuple[str, str]:
        parts = ".".join(
            p for p in (named.args.get("catalog") and named.catalog, named.db, named.name) if p
        ).split(".")
        project, dataset, name = (["", "", *parts])[-3:]
        dataset = dataset or self.default[1]
        if not dataset:
            raise BigQueryError(
                "invalid", f'Table "{name}" must be qualified with a dataset (e.g. dataset.table).'
            )
        self.find(project, dataset, "")
        self.about(dataset, name)
        return dataset, name

    def _stored(self, named: exp.Expression) -> Table:
        dataset, name = self._names(named)
        found = self.store.table(dataset, name)
        self.store.writable(found)
        if not found.stored or not found.fields:
            path = self.store.path(dataset, name)
            raise BigQueryError("invalidQuery", f"{path} is a view or has no columns.")
        return found


def _column(defined: exp.ColumnDef) -> dict[str, Any]:
    kind = defined.args.get("kind") or exp.DataType.build("TEXT")
    required = any(isinstance(c.kind, exp.NotNullColumnConstraint) for c in defined.constraints)
    return schema_fields.of_column(defined.name, kind, required=required)


def _bare_targets(assignments: list[exp.Expression]) -> None:
    """DuckDB wants the columns that SET names without their table."""
    for assignment in assignments:
        column = assignment.this
        if isinstance(column, exp.Column):
            column.set("table", None)


def _explain(message: str, text: str) -> str:
    missing = re.search(r'NOT NULL constraint failed: t\d+\."?(\w+)', message)
    if missing:
        return f"Required field {missing[1]} cannot be null"
    return sql.explain(message, text)
