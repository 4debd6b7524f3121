"""BigQuery subscriptions: whether messages can be written, and how they become rows.

Where no schema is used the message goes into the column `data`, with `writeMetadata` the rest of it
into columns of fixed names. A topic has no schema here, so that `useTopicSchema` finds none to use.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from google.pubsub_v1.types import pubsub as types

from emulator.apis.bigquery import streamed
from emulator.apis.bigquery.errors import BigQueryError
from emulator.apis.bigquery.store import Store, Table, store_of
from emulator.apis.iam.callers import Caller
from emulator.apis.iam.enforcement import may
from emulator.apis.pubsub.backlog import Message
from emulator.apis.pubsub.checks import bad_argument
from emulator.apis.pubsub.model import Topic
from emulator.clock import rfc3339
from emulator.context import Cloud
from emulator.wire.errors import ApiError, invalid

_TABLE: Final = re.compile(r"(?P<project>[^.:]+)[.:](?P<dataset>[^.]+)\.(?P<table>[^.]+)")
_BIGQUERY: Final = "bigquery.googleapis.com"
_PERMISSIONS: Final = ("bigquery.tables.get", "bigquery.tables.updateData")
_METADATA: Final = {
    "subscription_name": ("STRING",), "message_id": ("STRING",), "publish_time": ("TIMESTAMP",),
    "attributes": ("JSON", "STRING"),
}  # fmt: skip
_DATA: Final = ("BYTES", "STRING", "JSON")
_WRITERS: Final = ("OWNER", "WRITER", "roles/bigquery.dataOwner", "roles/bigquery.dataEditor")
State = types.BigQueryConfig.State
Refusal = tuple[Any, ApiError]


def service_agent(cloud: Cloud) -> str:
    """The account as which Pub/Sub itself acts."""
    return f"service-{cloud.project.number}@gcp-sa-pubsub.iam.gserviceaccount.com"


def check_table(cloud: Cloud, config: types.BigQueryConfig, topic: Topic | None) -> None:
    """Pass a configuration by which messages can be written.

    Raises:
        ApiError: INVALID_ARGUMENT, NOT_FOUND or PERMISSION_DENIED, as creating and updating do.
    """
    if _TABLE.fullmatch(config.table) is None:
        raise bad_argument("bigquery_config.table")
    if refused := _refusal(cloud, config, topic):
        raise refused[1]


def state_of(cloud: Cloud, config: types.BigQueryConfig, topic: Topic | None) -> Any:
    """Whether messages can be written now: ACTIVE, or why not."""
    refused = _refusal(cloud, config, topic)
    return refused[0] if refused else State.ACTIVE


def write(
    cloud: Cloud, config: types.BigQueryConfig, subscription: str, messages: Sequence[Message]
) -> set[int]:
    """Write what fits the table; the places of those messages that do not.

    Call with the cloud's lock, when the state is ACTIVE.
    """
    table = _table(cloud, config)
    rows = [_row(table, config, subscription, message) for message in messages]
    good = [place for place, row in enumerate(rows) if row is not None]
    if not good:
        return set(range(len(rows)))
    body = {
        "rows": [{"json": rows[place]} for place in good],
        "skipInvalidRows": True, "ignoreUnknownValues": config.drop_unknown_fields,
    }  # fmt: skip
    found, errors = streamed.read_rows(table.fields, body)
    if found is not None and found.num_rows:
        try:
            store_of(cloud).warehouse.append(table.stored, found)
        except BigQueryError:
            return set(range(len(rows)))  # there is no room for them: they stay in the backlog
        table.modified_at = cloud.clock.now()
    bad = {good[error["index"]] for error in errors}
    return bad | (set(range(len(rows))) - set(good))


def _table(cloud: Cloud, config: types.BigQueryConfig) -> Table:
    parts = _TABLE.fullmatch(config.table)
    if parts is None or parts["project"] not in (cloud.project.id, cloud.project.number):
        raise BigQueryError("notFound", "")
    store: Store = store_of(cloud)
    found = store.table(parts["dataset"], parts["table"])
    if not found.stored:
        raise BigQueryError("notFound", "")
    return found


def _refusal(cloud: Cloud, config: types.BigQueryConfig, topic: Topic | None) -> Refusal | None:
    """The state and the error while nothing can be written."""
    if _BIGQUERY in cloud.disabled_services:
        return State.PERMISSION_DENIED, _denied(cloud, config)
    try:
        table = _table(cloud, config)
    except BigQueryError:
        return State.NOT_FOUND, ApiError("NOT_FOUND", f"Table not found: {config.table}")
    if table.export or not _may_write(cloud, config, table):
        return State.PERMISSION_DENIED, _denied(cloud, config)
    place = store_of(cloud).dataset(table.dataset).body.get("location", "US")
    policy = topic.message.message_storage_policy if topic else None
    regions = list(policy.allowed_persistence_regions) if policy else []
    if policy and policy.enforce_in_transit and str(place).lower() not in regions:
        text = f"The table's location {place} is not allowed by the topic's storage policy."
        return State.IN_TRANSIT_LOCATION_RESTRICTION, ApiError("FAILED_PRECONDITION", text)
    if problem := _mismatch(table.fields, config):
        return State.SCHEMA_MISMATCH, invalid(problem)
    return None


def _may_write(cloud: Cloud, config: types.BigQueryConfig, table: Table) -> bool:
    email = config.service_account_email or service_agent(cloud)
    caller = Caller(f"serviceAccount:{email}")
    if all(may(cloud, caller, p) for p in _PERMISSIONS):
        return True
    entries = store_of(cloud).dataset(table.dataset).body.get("access") or []
    return any(
        e.get("userByEmail") == email and e.get("role") in _WRITERS
        for e in entries if isinstance(e, dict)
    )  # fmt: skip


def _denied(cloud: Cloud, config: types.BigQueryConfig) -> ApiError:
    email = config.service_account_email or service_agent(cloud)
    return ApiError(
        "PERMISSION_DENIED",
        f"Service account {email} is missing permissions required to write to the BigQuery table: "
        f"{', '.join(_PERMISSIONS)}.",
    )


def _mismatch(fields: Sequence[Mapping[str, Any]], config: types.BigQueryConfig) -> str:
    """Why the table's columns do not take messages; "" if they do."""
    columns = {str(f["name"]).lower(): f for f in fields}
    wanted: dict[str, tuple[str, ...]] = {}
    if not config.use_table_schema:
        wanted["data"] = _DATA
    if config.write_metadata:
        wanted |= _METADATA
    for name, kinds in wanted.items():
        if name not in columns:
            return f"The table has no field {name}, which messages are written to."
        column = columns[name]
        if column["type"] not in kinds or column["mode"] == "REPEATED":
            return (
                f"Incompatible schema type for field {name}: expected {' or '.join(kinds)}, got "
                f"{column['type']}"
            )
    if config.use_table_schema:
        return ""
    missing = [n for n, f in columns.items() if f["mode"] == "REQUIRED" and n not in wanted]
    return f"The field {missing[0]} is required, and messages have none." if missing else ""


def _row(
    table: Table, config: types.BigQueryConfig, subscription: str, message: Message
) -> dict[str, Any] | None:
    """A row of tabledata.insertAll; None where the data cannot be in such a table."""
    kinds = {str(f["name"]).lower(): str(f["type"]) for f in table.fields}
    try:
        row = _fields(kinds, message) if config.use_table_schema else {
            "data": _data(kinds["data"], message.data)
        }  # fmt: skip
    except (ValueError, RecursionError):
        return None
    if config.write_metadata:
        attributes = dict(message.attributes)
        if message.ordering_key:
            attributes["ordering_key"] = message.ordering_key
        row |= {
            "subscription_name": subscription, "message_id": message.id,
            "publish_time": rfc3339(message.published_at, "microseconds"),
            "attributes": json.dumps(attributes),
        }  # fmt: skip
    return row


def _fields(kinds: Mapping[str, str], message: Message) -> dict[str, Any]:
    found = json.loads(message.data)
    if not isinstance(found, dict):
        raise ValueError("no object")
    return {
        name: json.dumps(value) if kinds.get(str(name).lower()) == "JSON" else value
        for name, value in found.items()
    }


def _data(kind: str, data: bytes) -> str:
    if kind == "BYTES":
        return base64.b64encode(data).decode()
    text = data.decode()
    if kind == "JSON":
        json.loads(text)
    return text
