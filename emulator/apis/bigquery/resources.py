"""Datasets and tables in BigQuery's JSON, and what a caller may give of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from emulator.apis.bigquery.errors import BigQueryError
from emulator.apis.bigquery.store import Dataset, Store, Table
from emulator.scenario import Project
from emulator.wire.etags import etag_of

DATASET_FIELDS: Final = frozenset({
    "friendlyName", "description", "labels", "location", "access", "defaultTableExpirationMs",
    "defaultPartitionExpirationMs", "maxTimeTravelHours", "isCaseInsensitive", "defaultCollation",
    "storageBillingModel", "resourceTags",
})  # fmt: skip
TABLE_FIELDS: Final = frozenset({
    "friendlyName", "description", "labels", "expirationTime", "timePartitioning",
    "rangePartitioning", "clustering", "requirePartitionFilter", "defaultCollation",
    "resourceTags",
})  # fmt: skip
_LISTED_TABLE: Final = (
    "kind", "id", "tableReference", "type", "creationTime", "friendlyName", "labels",
    "timePartitioning", "rangePartitioning", "clustering", "expirationTime",
)  # fmt: skip
_LISTED_DATASET: Final = (
    "kind", "id", "datasetReference", "location", "friendlyName", "labels", "type",
)  # fmt: skip
_ACCESS: Final = (
    ("WRITER", "projectWriters"), ("OWNER", "projectOwners"), ("READER", "projectReaders"),
)  # fmt: skip
_PARTITIONS: Final = ("HOUR", "DAY", "MONTH", "YEAR")
_IN_TIME: Final = ("DATE", "DATETIME", "TIMESTAMP")


def dataset(project: Project, found: Dataset, base: str) -> dict[str, Any]:
    """The Dataset resource."""
    return {
        "access": [{"role": r, "specialGroup": g} for r, g in _ACCESS], "maxTimeTravelHours": "168",
        **found.body,
        "kind": "bigquery#dataset", "id": f"{project.id}:{found.name}", "type": "DEFAULT",
        "selfLink": f"{base}/bigquery/v2/projects/{project.id}/datasets/{found.name}",
        "datasetReference": {"projectId": project.id, "datasetId": found.name},
        "creationTime": _millis(found.created_at), "lastModifiedTime": _millis(found.modified_at),
        "etag": etag_of(found.name, found.created_at, found.revision),
    }  # fmt: skip


def listed_dataset(project: Project, found: Dataset) -> dict[str, Any]:
    """As datasets.list shows it."""
    whole = dataset(project, found, "")
    return {k: whole[k] for k in _LISTED_DATASET if k in whole}


def table(project: Project, store: Store, found: Table, base: str) -> dict[str, Any]:
    """The Table resource."""
    home = store.datasets[found.dataset]
    folder = f"{base}/bigquery/v2/projects/{project.id}/datasets/{found.dataset}"
    whole: dict[str, Any] = {
        **found.body,
        "kind": "bigquery#table", "id": f"{project.id}:{found.dataset}.{found.name}",
        "selfLink": f"{folder}/tables/{found.name}",
        "tableReference": {
            "projectId": project.id, "datasetId": found.dataset, "tableId": found.name,
        },
        "type": "VIEW" if found.query else "TABLE",
        "schema": {"fields": found.fields}, "location": home.body.get("location", "US"),
        "creationTime": _millis(found.created_at), "lastModifiedTime": _millis(found.modified_at),
        "etag": etag_of(found.dataset, found.name, found.created_at, found.revision),
        "numRows": str(store.rows_of(found)), "numBytes": str(store.bytes_of(found)),
        "numLongTermBytes": "0",
    }  # fmt: skip
    if found.query:
        whole["view"] = {"query": found.query, "useLegacySql": False}
    return whole


def listed_table(project: Project, found: Table) -> dict[str, Any]:
    """As tables.list shows it."""
    whole = {
        **found.body, "kind": "bigquery#table", "type": "VIEW" if found.query else "TABLE",
        "id": f"{project.id}:{found.dataset}.{found.name}",
        "tableReference": {
            "projectId": project.id, "datasetId": found.dataset, "tableId": found.name,
        },
        "creationTime": _millis(found.created_at),
    }  # fmt: skip
    if found.query:
        whole["view"] = {"useLegacySql": False}
    return {k: whole[k] for k in (*_LISTED_TABLE, "view") if k in whole}


def _millis(at: float) -> str:
    return str(int(1000 * at))


def given(body: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """What a caller gave of the fields that are kept; labels must be texts.

    Raises:
        BigQueryError: invalid.
    """
    labels = body.get("labels")
    if labels is not None and not (
        isinstance(labels, dict) and all(isinstance(v, str | None) for v in labels.values())
    ):
        raise BigQueryError("invalid", "Invalid value for labels: texts by name are expected.")
    if "access" in body and not isinstance(body["access"], list):
        raise BigQueryError("invalid", "Invalid value for access: a list is expected.")
    return {k: v for k, v in body.items() if k in known and v is not None}


def patched(before: Mapping[str, Any], body: Mapping[str, Any], known: frozenset[str]) -> Any:
    """The kept fields after a patch: null removes one, labels are merged one by one."""
    after = {**before, **given(body, known)}
    if isinstance(body.get("labels"), dict):
        merged = {**before.get("labels", {}), **body["labels"]}
        after["labels"] = {k: v for k, v in merged.items() if v is not None}
    return {k: v for k, v in after.items() if not (k in body and body[k] is None)}


def check_layout(body: Mapping[str, Any], fields: list[dict[str, Any]]) -> None:
    """Pass partitioning and clustering by columns that the schema has.

    Raises:
        BigQueryError: invalid.
    """
    types = {f["name"]: f["type"] for f in fields}
    partition = body.get("timePartitioning")
    if partition is not None:
        if not isinstance(partition, dict) or partition.get("type", "DAY") not in _PARTITIONS:
            raise BigQueryError("invalid", f"Invalid value for timePartitioning: {partition}")
        name = partition.get("field")
        if name is not None and types.get(name) not in _IN_TIME:
            raise BigQueryError(
                "invalid",
                f"The field specified for partitioning cannot be found in the schema or is no "
                f"DATE, DATETIME or TIMESTAMP: {name}",
            )
    clustering = body.get("clustering")
    names = clustering.get("fields") if isinstance(clustering, dict) else clustering
    if names is None:
        return
    if not isinstance(names, list) or not 1 <= len(names) <= 4:
        raise BigQueryError("invalid", "Clustering takes one to four fields.")
    for name in names:
        if name not in types:
            raise BigQueryError("invalid", f"The clustering field {name} is not in the schema.")
