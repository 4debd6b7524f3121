"""Query jobs: run at once, remembered for a while, read page by page."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from emulator.apis.bigquery import sql, values
from emulator.apis.bigquery.errors import BigQueryError
from emulator.apis.bigquery.model import Warehouse
from emulator.context import Cloud

_KEPT: Final = 200
_MOST_ROWS: Final = 10_000
_BYTES_PER_ROW: Final = 512  # what one row of the export holds, about


@dataclass(slots=True)
class Job:
    """One query job."""

    id: str
    location: str
    configuration: dict[str, Any]
    started_at: float
    ended_at: float = 0.0
    result: pa.Table | None = None
    error: BigQueryError | None = None
    bytes_processed: int = 0
    labels: dict[str, str] = field(default_factory=dict)


class Jobs:
    """All jobs of the project."""

    def __init__(self, cloud: Cloud, warehouse: Warehouse) -> None:
        self._cloud = cloud
        self._warehouse = warehouse
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str) -> Job:
        """The job of that id.

        Raises:
            BigQueryError: notFound.
        """
        job = self._jobs.get(name)
        if job is None:
            raise BigQueryError("notFound", f"Not found: Job {self._cloud.project.id}:{name}")
        return job

    def newest(self) -> list[Job]:
        """All that are remembered, newest first."""
        with self._lock:
            return list(reversed(self._jobs.values()))

    def insert(self, configuration: Mapping[str, Any], name: str, location: str) -> Job:
        """Run a query job; a query that fails makes a job with an error.

        Raises:
            BigQueryError: it is no query job, or its id is taken.
        """
        query = configuration.get("query")
        if not isinstance(query, dict) or not isinstance(query.get("query"), str):
            raise BigQueryError("notImplemented", "The emulator runs query jobs alone.")
        if query.get("useLegacySql", True) not in (False, "false"):
            raise BigQueryError("invalid", "The emulator does not know legacy SQL.")
        job = Job(
            name or "job_" + self._cloud.new_id("bigquery.job"), location or "US",
            dict(configuration), self._cloud.clock.now(),
        )  # fmt: skip
        with self._lock:
            if job.id in self._jobs:
                raise BigQueryError(
                    "duplicate", f"Already Exists: Job {self._cloud.project.id}:{job.id}"
                )
            self._jobs[job.id] = job
            while len(self._jobs) > _KEPT:
                self._jobs.popitem(last=False)
        try:
            if not configuration.get("dryRun"):
                job.result = self._run(query)
            job.bytes_processed = self._warehouse.number_of_rows() * _BYTES_PER_ROW
        except BigQueryError as error:
            job.error = error
        job.ended_at = self._cloud.clock.now()
        return job

    def _run(self, query: Mapping[str, Any]) -> pa.Table:
        default = query.get("defaultDataset") or {}

        def find(project: str, dataset: str, table: str) -> str:
            return self._source(
                project or str(default.get("projectId", "")),
                dataset or str(default.get("datasetId", "")), table,
            )  # fmt: skip

        text = str(query["query"])
        translated = sql.translate(text, find)
        given = values.parameters(query.get("queryParameters") or ())
        cursor = self._warehouse.cursor()
        try:
            return sql.run(cursor, translated, text, given)
        finally:
            cursor.close()

    def _source(self, project: str, dataset: str, table: str) -> str:
        """What to read for a table's name.

        Raises:
            BigQueryError: notFound, or invalid for a name without dataset.
        """
        own = self._cloud.project
        if not dataset:
            raise BigQueryError(
                "invalid",
                f'Table "{table}" must be qualified with a dataset (e.g. dataset.table).',
            )
        wild = table.endswith("*") and self._warehouse.table.startswith(table[:-1])
        known = table == self._warehouse.table or wild
        if project not in ("", own.id, own.number) or dataset != own.dataset or not known:
            name = f"{project or own.id}:{dataset}.{table}"
            raise BigQueryError("notFound", f"Not found: Table {name} was not found in location US")
        return (
            f"SELECT * FROM export WHERE export_time <= to_timestamp({self._cloud.clock.now():.6f})"
        )

    # --- JSON -----------------------------------------------------------------------------------

    def reference(self, job: Job) -> dict[str, str]:
        """Its JobReference."""
        return {"projectId": self._cloud.project.id, "jobId": job.id, "location": job.location}

    def resource(self, job: Job, base: str) -> dict[str, Any]:
        """The Job resource."""
        millis = [str(int(1000 * at)) for at in (job.started_at, job.started_at, job.ended_at)]
        status: dict[str, Any] = {"state": "DONE"}
        if job.error:
            status |= {"errorResult": job.error.proto(), "errors": [job.error.proto()]}
        project = self._cloud.project.id
        query = {**job.configuration["query"]}
        if "queryParameters" in query:
            query["queryParameters"] = _texts(query["queryParameters"])
        query.setdefault("destinationTable", {
            "projectId": project, "datasetId": "_results", "tableId": f"anon{job.id}"})  # fmt: skip
        statistics = {
            "statementType": "SELECT", "cacheHit": False,
            "totalBytesProcessed": str(job.bytes_processed),
            "totalBytesBilled": str(job.bytes_processed),
        }  # fmt: skip
        return {
            "kind": "bigquery#job",
            "id": f"{project}:{job.location}.{job.id}",
            "selfLink": f"{base}/bigquery/v2/projects/{project}/jobs/{job.id}",
            "etag": job.id,
            "user_email": f"console@{project}.iam.gserviceaccount.com",
            "jobReference": self.reference(job),
            "configuration": {**job.configuration, "jobType": "QUERY", "query": query},
            "status": status,
            "statistics": {
                "creationTime": millis[0], "startTime": millis[1], "endTime": millis[2],
                "totalBytesProcessed": str(job.bytes_processed), "query": statistics,
            },
        }  # fmt: skip

    def results(self, job: Job, options: Mapping[str, str]) -> dict[str, Any]:
        """A page of its rows, as getQueryResults and jobs.query answer.

        Raises:
            BigQueryError: the job's own error; invalid for a bad page token.
        """
        if job.error:
            raise job.error
        if job.result is None:
            return {"jobReference": self.reference(job), "jobComplete": True, "totalRows": "0",
                    "schema": {"fields": []}, "cacheHit": False,
                    "totalBytesProcessed": str(job.bytes_processed)}  # fmt: skip
        body: dict[str, Any] = {
            "jobReference": self.reference(job),
            "jobComplete": True,
            "schema": {"fields": values.columns(job.result)},
            "totalRows": str(job.result.num_rows),
            "totalBytesProcessed": str(job.bytes_processed),
            "cacheHit": False,
        }
        return body | page(job.result, options)


def _texts(value: Any) -> Any:
    """Numbers as texts, as BigQuery repeats parameter values."""
    if isinstance(value, dict):
        return {k: _texts(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_texts(v) for v in value]
    return value if value is None or isinstance(value, str) else str(value)


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
