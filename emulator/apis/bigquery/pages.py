"""A table's rows page by page, as jobs and tables show them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa

from emulator.apis.bigquery import values
from emulator.apis.bigquery.errors import BigQueryError

_MOST_ROWS: Final = 10_000


def page(table: pa.Table, options: Mapping[str, str]) -> dict[str, Any]:
    """Rows and pageToken; options as in the query string: maxResults, startIndex, pageToken …

    Raises:
        BigQueryError: invalid.
    """
    try:
        start = int(options.get("pageToken") or options.get("startIndex") or 0)
        asked = options.get("maxResults")
        size = min(int(asked), _MOST_ROWS) if asked is not None else _MOST_ROWS
    except ValueError as error:
        raise BigQueryError("invalid", f"Invalid page token or size: {error}") from error
    if start < 0 or size < 0:
        raise BigQueryError("invalid", "startIndex and maxResults must not be negative.")
    times = options.get("formatOptions.timestampOutputFormat", "FLOAT64")
    if str(options.get("formatOptions.useInt64Timestamp", "")).lower() == "true":
        times = "INT64"
    found: dict[str, Any] = {}
    part = table.slice(start, size)
    if part.num_rows:
        found["rows"] = values.rows(part, times=times)
    if start + size < table.num_rows:
        found["pageToken"] = str(start + size)
    return found
