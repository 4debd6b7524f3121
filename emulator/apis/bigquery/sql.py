"""GoogleSQL → DuckDB: translation by sqlglot, table names, parameters, and Google's errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import duckdb
import pyarrow as pa
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from emulator.apis.bigquery.arrays import without_subqueries
from emulator.apis.bigquery.errors import BigQueryError

# The billing export's name in DuckDB; tables that people make have numbers.
EXPORT_VIEW: Final = "export"
_POSITIONAL: Final = "positional_"
# A result larger than that would leave no room for anything else.
_MOST_BYTES: Final = 256 * 1024 * 1024
_BATCH: Final = 100_000
_DIVISION: Final = re.compile(r"Division by zero in expression \(?(.+?)\)?\. Use TRY")
_UNKNOWN_COLUMN: Final = re.compile(r'(?:Referenced column|column) "([^"]+)"')


def parse(text: str) -> exp.Expression:
    """One statement of GoogleSQL as a tree.

    Raises:
        BigQueryError: invalidQuery: it is none, or several.
    """
    try:
        statements = [s for s in sqlglot.parse(text, read="bigquery") if s is not None]
    except SqlglotError as error:
        raise _syntax_error(error) from error
    except RecursionError as error:
        raise BigQueryError("invalidQuery", "The query is nested too deeply.") from error
    if len(statements) != 1:
        raise BigQueryError("invalidQuery", "Exactly one statement is expected.")
    return statements[0]


def to_duckdb(
    tree: exp.Expression,
    find_table: Callable[[str, str, str], str],
    skip: exp.Expression | None = None,
) -> str:
    """A statement in DuckDB's dialect; parameters become $name. The tree is changed.

    Args:
        find_table: (project, dataset, table), parts "" when not given → SQL to read instead.
        skip: a table that is DuckDB's own already.

    Raises:
        BigQueryError: whatever `find_table` raises.
    """
    _name_parameters(tree)
    _replace_tables(tree, find_table, skip)
    if any(table.name == EXPORT_VIEW for table in tree.find_all(exp.Table)):
        tree = tree.transform(_partition_time)
    return tree.transform(without_subqueries).transform(_fit).sql(dialect="duckdb")


def _syntax_error(error: SqlglotError) -> BigQueryError:
    details = getattr(error, "errors", None) or [{}]
    where = details[0]
    token = where.get("highlight") or "end of query"
    line, column = where.get("line") or 1, where.get("col") or 1
    return BigQueryError(
        "invalidQuery",
        f'Syntax error: Unexpected "{token}" at [{line}:{column}]',
    )


def _name_parameters(tree: exp.Expression) -> None:
    for number, placeholder in enumerate(tree.find_all(exp.Placeholder)):
        placeholder.replace(exp.Parameter(this=exp.Var(this=f"{_POSITIONAL}{number}")))


def _replace_tables(
    tree: exp.Expression,
    find_table: Callable[[str, str, str], str],
    skip: exp.Expression | None,
) -> None:
    known = {cte.alias_or_name.lower() for cte in tree.find_all(exp.CTE)}
    for table in list(tree.find_all(exp.Table)):
        if isinstance(table.this, exp.Func):
            function = table.this.sql(dialect="bigquery").split("(")[0]
            raise BigQueryError("invalidQuery", f"Table-valued function not found: {function}")
        if table is skip or not table.name or (not table.db and table.name.lower() in known):
            continue
        parts = ".".join(p for p in (table.catalog, table.db, table.name) if p).split(".")
        project, dataset, name = (["", "", *parts])[-3:]
        inner = sqlglot.parse_one(find_table(project, dataset, name), read="duckdb")
        alias = table.alias or name
        subquery = exp.Subquery(
            this=inner, alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True))
        )
        for join in table.args.get("joins") or ():
            subquery.append("joins", join)
        table.replace(subquery)


def _partition_time(node: exp.Expression) -> exp.Expression:
    """The pseudo-column of a table that is partitioned by the day of ingestion."""
    if not isinstance(node, exp.Column) or node.name.upper() != "_PARTITIONTIME":
        return node
    exported = exp.column("export_time", table=node.args.get("table"))
    return exp.TimestampTrunc(this=exported, unit=exp.var("DAY"))


def _fit(node: exp.Expression) -> exp.Expression:
    """Where the dialects' types differ: decimals are FLOAT64, DATE_TRUNC stays a DATE."""
    if isinstance(node, exp.Literal) and not node.is_string and "." in str(node.this):
        if not isinstance(node.parent, exp.Cast | exp.Interval | exp.DataTypeParam):
            return exp.cast(node.copy(), "DOUBLE")
    elif isinstance(node, exp.DateTrunc) and not isinstance(node.parent, exp.Cast):
        return exp.cast(node.copy(), "DATE")
    elif isinstance(node, exp.DataType) and node.this == exp.DType.DECIMAL:
        return node if node.expressions else exp.DataType.build("DECIMAL(38, 9)")
    return node


def run(
    cursor: duckdb.DuckDBPyConnection, translated: str, original: str, values: Mapping[str, Any]
) -> Any:
    """The rows as an Arrow table.

    Raises:
        BigQueryError: invalidQuery, with the place where it can be told; responseTooLarge.
    """
    given = _wanted(translated, values)
    try:
        reader = cursor.sql(translated, params=given or None).to_arrow_reader(_BATCH)
        batches: list[pa.RecordBatch] = []
        size = 0
        for batch in reader:
            batches.append(batch)
            size += batch.nbytes
            if size > _MOST_BYTES:
                raise BigQueryError("responseTooLarge", "Response too large to return.")
        return pa.Table.from_batches(batches, reader.schema)
    except duckdb.Error as error:
        raise BigQueryError("invalidQuery", explain(str(error), original)) from error


def execute(
    cursor: duckdb.DuckDBPyConnection, translated: str, values: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    """Carry out a statement that changes rows; what DuckDB tells of it.

    Raises:
        duckdb.Error: as DuckDB refuses.
    """
    return cursor.execute(translated, _wanted(translated, values) or None).fetchall()


def _wanted(translated: str, values: Mapping[str, Any]) -> dict[str, Any]:
    wanted = set(re.findall(r"\$(\w+)", translated))
    given = {name: value for name, value in values.items() if name in wanted}
    missing = sorted(wanted - set(given))
    if missing:
        raise BigQueryError("invalidQuery", f"Query parameter '{missing[0]}' not found")
    return given


def explain(message: str, original: str) -> str:
    """DuckDB's words as BigQuery would say it, with the place of a name in the original."""
    first = message.split("\n", 1)[0]
    divided = _DIVISION.search(first)
    if divided:
        return f"division by zero: {divided[1]}"
    found = _UNKNOWN_COLUMN.search(first)
    if found and "not found" in first:
        return f"Unrecognized name: {found[1]}{_place(found[1], original)}"
    return re.sub(r"^\w+ Error: ", "", first)


def _place(name: str, original: str) -> str:
    hit = re.search(rf"\b{re.escape(name)}\b", original)
    if hit is None:
        return ""
    before = original[: hit.start()]
    return f" at [{before.count(chr(10)) + 1}:{hit.start() - before.rfind(chr(10))}]"
