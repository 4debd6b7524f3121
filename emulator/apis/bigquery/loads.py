"""Load jobs' rows, as they were uploaded: CSV and JSON lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from email.parser import BytesParser
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv
import pyarrow.json

from emulator.apis.bigquery import schema_fields, streamed, values
from emulator.apis.bigquery.errors import BigQueryError
from emulator.apis.bigquery.store import Store

_PIECE: Final = 10_000  # rows that are checked together


def parts_of(content_type: str, raw: bytes) -> tuple[Mapping[str, Any], bytes]:
    """The job and the rows of a multipart/related body.

    Raises:
        BigQueryError: invalid.
    """
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1", "replace")
    parts = BytesParser().parsebytes(head + raw).get_payload()
    if not isinstance(parts, list) or len(parts) != 2:
        raise BigQueryError(
            "invalid", "The body must be multipart/related: the job, then its rows."
        )
    texts = [part.get_payload(decode=True) for part in parts]
    return body_of(bytes(texts[0])), bytes(texts[1])


def body_of(raw: bytes) -> Mapping[str, Any]:
    """A request's JSON body; empty without one.

    Raises:
        BigQueryError: invalid.
    """
    if not raw.strip():
        return {}
    try:
        job = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BigQueryError("invalid", f"Parse Error: {error}") from error
    if not isinstance(job, dict):
        raise BigQueryError("invalid", "Root element must be a message.")
    return job


def asked(configuration: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a load job asks for.

    Raises:
        BigQueryError: it is no load job.
    """
    load = configuration.get("load")
    if not isinstance(load, dict) or not isinstance(load.get("destinationTable"), dict):
        raise BigQueryError("invalid", "Required parameter is missing: load.destinationTable")
    return load


def read(
    store: Store, load: Mapping[str, Any], data: bytes
) -> tuple[pa.Table, list[dict[str, Any]]]:  # fmt: skip
    """The rows of a load job, and the fields that they have.

    Raises:
        BigQueryError: invalid: rows that do not fit; notImplemented: another format.
    """
    kind = str(load.get("sourceFormat") or "CSV")
    if kind not in ("CSV", "NEWLINE_DELIMITED_JSON"):
        raise BigQueryError(
            "notImplemented", f"The emulator loads CSV and newline-delimited JSON, not {kind}."
        )
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise _bad(f"The rows are not in UTF-8: {error}") from error
    fields = _fields(store, load)
    if kind == "CSV":
        fields, rows = _from_csv(load, fields, text)
    else:
        fields, rows = _from_json(fields, text)
    return _checked(fields, rows, load), fields


def _fields(store: Store, load: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Those of the table that is added to, else those given; None: they are to be found out."""
    to = load.get("destinationTable") or {}
    home = store.datasets.get(str(to.get("datasetId", "")))
    table = home.tables.get(str(to.get("tableId", ""))) if home else None
    given = (load.get("schema") or {}).get("fields")
    if table and table.fields and load.get("writeDisposition") != "WRITE_TRUNCATE":
        return table.fields
    if given:
        return schema_fields.checked(given)
    if load.get("autodetect") in (True, "true"):
        return None
    if table and table.fields:
        return table.fields
    raise BigQueryError("invalid", "No schema specified on job or table.")


def _from_json(
    fields: list[dict[str, Any]] | None, text: str
) -> tuple[list[dict[str, Any]], list[Any]]:  # fmt: skip
    try:
        rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        if fields is None:
            found = pyarrow.json.read_json(io.BytesIO(text.encode()))
            fields = _found_out(found)
    except (ValueError, RecursionError) as error:
        raise _bad(f"JSON parsing error: {error}") from error
    return fields, rows


def _found_out(table: pa.Table) -> list[dict[str, Any]]:
    """The fields of rows as Arrow reads them; it drops zones, BigQuery takes times for UTC's."""
    columns = values.columns(table)
    for column in columns:
        column["type"] = {"DATETIME": "TIMESTAMP"}.get(column["type"], column["type"])
    return schema_fields.checked(columns)


def _from_csv(
    load: Mapping[str, Any], fields: list[dict[str, Any]] | None, text: str
) -> tuple[list[dict[str, Any]], list[Any]]:  # fmt: skip
    comma = {"tab": "\t", "\\t": "\t"}.get(str(load.get("fieldDelimiter") or ","))
    comma = comma or str(load.get("fieldDelimiter") or ",")
    try:
        skipped = int(load.get("skipLeadingRows") or 0)
        lines = [row for row in csv.reader(io.StringIO(text), delimiter=comma) if row]
        if fields is None:
            options = pyarrow.csv.ParseOptions(delimiter=comma)
            found = pyarrow.csv.read_csv(io.BytesIO(text.encode()), parse_options=options)
            fields, skipped = _found_out(found), max(skipped, 1)
    except (ValueError, TypeError, csv.Error) as error:
        raise _bad(f"CSV parsing error: {error}") from error
    null = str(load.get("nullMarker") or "")
    rows: list[Any] = []
    for number, cells in enumerate(lines[skipped:], skipped + 1):
        if len(cells) > len(fields):
            raise _bad(f"Too many values in row {number}: {len(cells)} for {len(fields)} columns.")
        rows.append({
            f["name"]: None if cell == null and (cell or f["type"] != "STRING") else cell
            for f, cell in zip(fields, cells, strict=False)
        })  # fmt: skip
    return fields, rows


def _checked(
    fields: list[dict[str, Any]], rows: Sequence[Any], load: Mapping[str, Any]
) -> pa.Table:  # fmt: skip
    schema = pa.schema([pa.field(f["name"], streamed.arrow_type(f)) for f in fields])
    tables = [schema.empty_table()]
    for begin in range(0, len(rows), _PIECE):
        piece = [{"json": row} for row in rows[begin : begin + _PIECE]]
        body = {"rows": piece, "ignoreUnknownValues": load.get("ignoreUnknownValues")}
        found, errors = streamed.read_rows(fields, body)
        if found is None:
            first = errors[0]
            raise _bad(f"Row {begin + first['index'] + 1}: {first['errors'][0]['message']}")
        tables.append(found)
    return pa.concat_tables(tables)


def _bad(message: str) -> BigQueryError:
    return BigQueryError("invalid", f"Error while reading data, error message: {message}")
