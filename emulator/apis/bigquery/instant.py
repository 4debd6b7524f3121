"""What a statement asks of clock and chance: one instant per statement, chance from the seed.

So that a statement which is made again after a restart writes the same rows.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import duckdb
from sqlglot import exp

from emulator.apis.bigquery.errors import BigQueryError
from emulator.context import Cloud

_NOW: Final[tuple[tuple[type[exp.Expression], str, str], ...]] = (
    (exp.CurrentTimestamp, "TIMESTAMPTZ", "%Y-%m-%d %H:%M:%S.%f+00:00"),
    (exp.CurrentDatetime, "TIMESTAMP", "%Y-%m-%d %H:%M:%S.%f"),
    (exp.CurrentDate, "DATE", "%Y-%m-%d"),
    (exp.CurrentTime, "TIME", "%H:%M:%S.%f"),
)


def at_instant(tree: exp.Expression, now: float) -> exp.Expression:
    """The tree with CURRENT_TIMESTAMP and its like as they are at `now` (Unix seconds).

    Raises:
        BigQueryError: invalidQuery: a time zone that there is not.
    """
    moment = datetime.fromtimestamp(now, UTC)

    def fixed(node: exp.Expression) -> exp.Expression:
        for kind, title, form in _NOW:
            if isinstance(node, kind):
                text = moment.astimezone(_zone(node)).strftime(form)
                return exp.cast(exp.Literal.string(text), title)
        return node

    return tree.transform(fixed)


def _zone(node: exp.Expression) -> ZoneInfo:
    given = node.this
    if not isinstance(given, exp.Literal) or not given.is_string:
        return ZoneInfo("UTC")
    try:
        return ZoneInfo(str(given.this))
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise BigQueryError("invalidQuery", f"Invalid time zone: {given.this}") from error


def chance_of(cloud: Cloud) -> float:
    """What RAND() and GENERATE_UUID() of one statement are drawn from."""
    return int(cloud.new_id("bigquery.chance", 4), 16) / 2**32


def seeded(
    cloud: Cloud, cursor: duckdb.DuckDBPyConnection, chance: float | None
) -> duckdb.DuckDBPyConnection:
    """The connection, its RAND() and GENERATE_UUID() drawn from that, or from the next chance."""
    drawn = chance_of(cloud) if chance is None else chance
    cursor.execute("SELECT setseed(?)", [drawn]).fetchall()
    return cursor
