"""GoogleSQL → DuckDB: translation by sqlglot, table names, parameters, and Google's errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import duckdb
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from emulator.apis.bigquery.arrays import without_subqueries
from emulator.apis.bigquery.errors import BigQueryError

_POSITIONAL: Final = "positional_"
_UNKNOWN_COLUMN: Final = re.compile(r'(?:Referenced column|column) "([^"]+)"')


def translate(text: str, find_table: Callable[[str, str, str], str]) -> str:
    """One SELECT statement of GoogleSQL in DuckDB's dialect; parameters become $name.

    Args:
        find_table: (project, dataset, table), parts "" when not given → SQL to read instead.

    Raises:
        BigQueryError: invalidQuery: it is no such statement; whatever `find_table` raises.
    """
    try:
        statements = [s for s in sqlglot.parse(text, read="bigquery") if s is not None]
    except SqlglotError as error:
        raise _syntax_error(error) from error
    except RecursionError as error:
        raise BigQueryError("invalidQuery", "The query is nested too deeply.") from error
    if len(statements) != 1:
        raise BigQueryError("invalidQuery", "Exactly one statement is expected.")
    tree = statements[0]
    if not isinstance(tree, exp.Query):
        kind = type(tree).__name__.upper()
        raise BigQueryError("invalidQuery", f"The emulator runs SELECT statements, no {kind}.")
    _name_parameters(tree)
    _replace_tables(tree, find_table)
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


def _replace_tables(tree: exp.Expression, find_table: Callable[[str, str, str], str]) -> None:
    known = {cte.alias_or_name.lower() for cte in tree.find_all(exp.CTE)}
    for table in list(tree.find_all(exp.Table)):
        if isinstance(table.this, exp.Func):
            function = table.this.sql(dialect="bigquery").split("(")[0]
            raise BigQueryError("invalidQuery", f"Table-valued function not found: {function}")
        if not table.name or (not table.db and table.name.lower() in known):
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
        BigQueryError: invalidQuery, with the place where it can be told.
    """
    wanted = set(re.findall(r"\$(\w+)", translated))
    given = {name: value for name, value in values.items() if name in wanted}
    missing = sorted(wanted - set(given))
    if missing:
        raise BigQueryError("invalidQuery", f"Query parameter '{missing[0]}' not found")
    try:
        return cursor.sql(translated, params=given or None).to_arrow_table()
    except duckdb.Error as error:
        raise BigQueryError("invalidQuery", _explain(str(error), original)) from error


def _explain(message: str, original: str) -> str:
    first = message.split("\n", 1)[0]
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
