"""Jobs: run at once, remembered for a while, read page by page."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from emulator.apis.bigquery import values
from emulator.apis.bigquery.errors import BigQueryError
from emulator.apis.bigquery.queries import Answer, Queries
from emulator.apis.bigquery.store import Store
from emulator.context import Cloud

_KEPT: Final = 200
_KEPT_BYTES: Final = 64 * 1024 * 1024
_MOST_ROWS: Final = 10_000
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,1024}")


@dataclass(slots=True)
class Job:
    """One job: a query, or a copy of a table."""

    id: str
    location: str
    configuration: dict[str, Any]
    started_at: float
    ended_at: float = 0.0
    answer: Answer | None = None
    error: BigQueryError | None = None

    @property
    def result(self) -> pa.Table | None:
        """The rows of a SELECT."""
        return self.answer.rows if self.answer else None

    @property
    def dry(self) -> bool:
        """Whether it only checks."""
        return self.configuration.get("dryRun") in (True, "true")


class Jobs:
    """The project's newest jobs."""

    def __init__(self, cloud: Cloud, store: Store) -> None:
        self._cloud = cloud
        self._store = store
        self._queries = Queries(cloud, store)
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

    def forget(self, name: str) -> None:
        """Drop a job's metadata.

        Raises:
            BigQueryError: notFound.
        """
        self.get(name)
        with self._lock:
            self._jobs.pop(name, None)

    def insert(self, configuration: Mapping[str, Any], name: str, location: str) -> Job:
        """Run a job; a query that fails makes a job with an error.

        Raises:
            BigQueryError: it is no job that the emulator runs, or its id is taken.
        """
        query, copy = configuration.get("query"), configuration.get("copy")
        if isinstance(query, dict) and isinstance(query.get("query"), str):
            if query.get("useLegacySql", True) not in (False, "false"):
                raise BigQueryError("invalid", "The emulator does not know legacy SQL.")
        elif not isinstance(copy, dict):
            raise BigQueryError("notImplemented", "The emulator runs query and copy jobs alone.")
        if name and not _ID.fullmatch(name):
            raise BigQueryError("invalid", f"Invalid job ID: {name}")
        job = self._enter(configuration, name, location)
        try:
            if isinstance(copy, dict):
                job.answer = self._copy(copy)
            else:
                job.answer = self._queries.run(configuration["query"], dry=job.dry)
        except BigQueryError as error:
            job.error = error
        job.ended_at = self._cloud.clock.now()
        self._trim()
        return job

    def _enter(self, configuration: Mapping[str, Any], name: str, location: str) -> Job:
        now = self._cloud.clock.now()
        with self._lock:
            if name and name in self._jobs:
                raise BigQueryError(
                    "duplicate", f"Already Exists: Job {self._cloud.project.id}:{name}"
                )
            known = name or "job_" + self._cloud.new_id("bigquery.job")
            job = Job(known, location or "US", dict(configuration), now)
            if not job.dry:
                self._jobs[known] = job
        return job

    def _trim(self) -> None:
        """Forget the oldest beyond 200, and the oldest results beyond 64 MiB."""
        with self._lock:
            while len(self._jobs) > _KEPT:
                self._jobs.popitem(last=False)
            held = sum(j.result.nbytes for j in self._jobs.values() if j.result is not None)
            while held > _KEPT_BYTES and len(self._jobs) > 1:
                _, gone = self._jobs.popitem(last=False)
                held -= gone.result.nbytes if gone.result is not None else 0

    def _copy(self, copy: Mapping[str, Any]) -> Answer:
        source = copy.get("sourceTable") or next(iter(copy.get("sourceTables") or ()), {})
        dataset, name = str(source.get("datasetId", "")), str(source.get("tableId", ""))
        self._store.table(dataset, name)
        project = str(source.get("projectId") or self._cloud.project.id)
        answer = self._queries.run({"query": f"SELECT * FROM `{project}.{dataset}.{name}`"})
        assert answer.rows is not None
        self._queries.write(copy, answer.rows)
        answer.rows = None
        return answer

    def rows_of(self, dataset: str, name: str) -> pa.Table:
        """All rows of a table.

        Raises:
            BigQueryError: notFound.
        """
        self._store.table(dataset, name)
        project = self._cloud.project.id
        answer = self._queries.run({"query": f"SELECT * FROM `{project}.{dataset}.{name}`"})
        assert answer.rows is not None
        return answer.rows


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
