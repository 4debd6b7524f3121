"""Jobs: entered at once, run on threads of their own, remembered for a while, read page by page.

The long part of a job that changes something is done beside all other calls; then it takes its turn
(turns.py), and is done again where another has changed its tables meanwhile. What it asked clock
and dice for is written down, so that it comes out the same when it is made again.
"""

from __future__ import annotations

import logging
import math
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import pyarrow as pa

from emulator.apis.bigquery import loads
from emulator.apis.bigquery.errors import BigQueryError
from emulator.apis.bigquery.instant import chance_of
from emulator.apis.bigquery.queries import Answer, Prepared, Queries
from emulator.apis.bigquery.running import Guard
from emulator.apis.bigquery.statements import Outcome
from emulator.apis.bigquery.store import Store
from emulator.context import Cloud
from emulator.journal.changes import Made
from emulator.wire.errors import ApiError

_LOG = logging.getLogger("emulator")
_KEPT: Final = 200
_KEPT_BYTES: Final = 64 * 1024 * 1024
_THREADS: Final = 8
_TRIES: Final = 3
# How long a statement may hold up everybody else, once its tables have changed under it again.
_TURN_S: Final = 2.0
_STALE: Final = Made(None, False, 0)
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,1024}")


@dataclass(slots=True)
class Job:
    """One job: a query, a copy of a table, or a load.

    Attributes:
        started_at, ended_at: Unix seconds; ended_at is 0 while it runs.
        chance: what its RAND() follows.
        guard: how long it may run.
        running: done once it is.
    """

    id: str
    location: str
    configuration: dict[str, Any]
    started_at: float
    chance: float
    guard: Guard
    ended_at: float = 0.0
    answer: Answer | None = None
    error: BigQueryError | None = None
    running: Future[None] | None = None

    @property
    def done(self) -> bool:
        """Whether it ended, well or not."""
        return self.ended_at > 0

    @property
    def result(self) -> pa.Table | None:
        """The rows of a SELECT."""
        return self.answer.rows if self.answer else None

    @property
    def dry(self) -> bool:
        """Whether it only checks."""
        return self.configuration.get("dryRun") in (True, "true")


@dataclass(frozen=True, slots=True)
class Change:
    """What the journal keeps of a job that changes something.

    Attributes:
        record: its request (`journal.http.record_of`).
        told: the whole answer to it once the job has ended, as a change's outcome.
    """

    record: Mapping[str, Any]
    told: Callable[[Job], Made]


class Jobs:
    """The project's newest jobs."""

    def __init__(self, cloud: Cloud, store: Store) -> None:
        self._cloud = cloud
        self._store = store
        self._queries = Queries(cloud, store)
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._lock = threading.Lock()
        # Apart from each other: changes wait for their turns, reads for nobody.
        self._reads = ThreadPoolExecutor(_THREADS, thread_name_prefix="bigquery-read")
        self._changes = ThreadPoolExecutor(_THREADS, thread_name_prefix="bigquery-change")
        cloud.on_stop(self.stop)

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

    def begin(self, configuration: Mapping[str, Any], name: str, location: str,
              change: Change | None) -> Job:  # fmt: skip
        """Enter a job and let it run; a query that fails makes a job with an error.

        Within a change that is made again it has ended when this returns.

        Raises:
            BigQueryError: it is no job that the emulator runs, or its id is taken.
        """
        query, copy = configuration.get("query"), configuration.get("copy")
        if isinstance(query, dict) and isinstance(query.get("query"), str):
            if query.get("useLegacySql", True) not in (False, "false"):
                raise BigQueryError("invalid", "The emulator does not know legacy SQL.")
        elif not isinstance(copy, dict):
            raise BigQueryError(
                "notImplemented",
                "The emulator runs query and copy jobs, and load jobs whose rows are uploaded with "
                "them.",
            )
        if name and not _ID.fullmatch(name):
            raise BigQueryError("invalid", f"Invalid job ID: {name}")
        if self._cloud.turns.inside:
            return self._again(configuration, name, location)
        id_ = name or "job_" + self._cloud.new_id("bigquery.job")
        job = Job(id_, location or "US", _kept(configuration), self._cloud.clock.now(),
                  chance_of(self._cloud), Guard(_limit_s(configuration)))  # fmt: skip
        self._enter(job)
        threads = self._changes if change else self._reads
        job.running = threads.submit(self._run, job, change)
        return job

    def load(
        self, configuration: Mapping[str, Any], name: str, location: str, data: bytes
    ) -> Job:  # fmt: skip
        """Put the rows that came with a request into a table, within the request's turn.

        Raises:
            BigQueryError: it is no such job, or its id is taken.
        """
        load = loads.asked(configuration)
        if name and not _ID.fullmatch(name):
            raise BigQueryError("invalid", f"Invalid job ID: {name}")
        id_ = name or "job_" + self._cloud.new_id("bigquery.job")
        now = self._cloud.clock.now()
        job = Job(id_, location or "US", dict(configuration), now, 0.0, Guard())
        self._enter(job)
        try:
            self._store.dataset(str(load["destinationTable"].get("datasetId", "")))
            rows, fields = loads.read(self._store, load, data)
            options = {"writeDisposition": "WRITE_APPEND", **load}
            self._queries.write(options, rows, fields)
            job.answer = Answer(None, Outcome("LOAD", {"inserted": rows.num_rows}), len(data))
        except BigQueryError as error:
            job.error = error
        job.ended_at = now
        self._trim()
        return job

    def _enter(self, job: Job) -> None:
        with self._lock:
            if job.id in self._jobs:
                raise BigQueryError(
                    "duplicate", f"Already Exists: Job {self._cloud.project.id}:{job.id}"
                )
            if not job.dry:
                self._jobs[job.id] = job

    def _run(self, job: Job, change: Change | None) -> None:
        try:
            if change is None:
                self._end(job, self._prepared(job))
            else:
                self._change(job, change)
        except BigQueryError as error:
            job.error = error
        except ApiError as error:  # the journal cannot be written
            job.error = BigQueryError("backendError", error.message)
        except Exception:  # noqa: BLE001 - a caller never gets less than Google's error
            _LOG.exception("bigquery job %s failed", job.id)
            job.error = BigQueryError("backendError", "An internal error occurred.")
        job.ended_at = job.ended_at or self._cloud.clock.now()
        self._trim()

    def _prepared(self, job: Job, guard: Guard | None = None) -> Prepared | BigQueryError:
        query = job.configuration.get("query")
        if query is None:
            copy = job.configuration["copy"]
            query = {**copy, "query": self._whole(copy)}
        try:
            return self._queries.prepare(
                query, guard or job.guard, dry=job.dry, instant=job.started_at, chance=job.chance
            )
        except BigQueryError as error:
            return error

    def _end(self, job: Job, prepared: Prepared | BigQueryError) -> None:
        """Carry out what is left to do."""
        if isinstance(prepared, BigQueryError):
            job.error = prepared
        else:
            try:
                job.answer = prepared.store()
                if "copy" in job.configuration:
                    job.answer.rows = None
            except BigQueryError as error:
                job.error = error
            finally:
                prepared.drop()
        job.ended_at = self._cloud.clock.now()

    def _change(self, job: Job, change: Change) -> None:
        for left in reversed(range(_TRIES)):
            prepared = self._prepared(job)
            try:
                made = self._cloud.changes.make(
                    change.record, partial(self._turn, job, change, prepared, last=not left)
                )
            finally:
                if not isinstance(prepared, BigQueryError):
                    prepared.drop()
            if made is not _STALE:
                return

    def _turn(
        self, job: Job, change: Change, prepared: Prepared | BigQueryError, *, last: bool
    ) -> Made:
        if not isinstance(prepared, BigQueryError) and not prepared.current():
            if not last:
                return _STALE
            # Its tables change all the time: nobody else may, for a moment.
            prepared.drop()
            prepared = self._prepared(job, Guard(statement_s=_TURN_S))
        said: dict[str, Any] = {"id": job.id, "at": job.started_at, "chance": job.chance}
        if isinstance(prepared, BigQueryError):
            said["error"] = [prepared.reason, prepared.message, prepared.location]
        self._cloud.decided("bigquery.job", lambda: said)
        self._end(job, prepared)
        return change.told(job)

    def _again(self, configuration: Mapping[str, Any], name: str, location: str) -> Job:
        """A job that is made again, with what was decided then."""
        cloud = self._cloud
        said = cloud.decided("bigquery.job", lambda: {
            "id": name or "job_" + cloud.new_id("bigquery.job"), "at": cloud.clock.now(),
            "chance": chance_of(cloud),
        })  # fmt: skip
        job = Job(said["id"], location or "US", _kept(configuration), said["at"], said["chance"],
                  Guard(statement_s=math.inf))  # fmt: skip
        self._enter(job)
        failed = said.get("error")
        self._end(job, BigQueryError(*failed) if failed else self._prepared(job))
        self._trim()
        return job

    def cancel(self, name: str) -> Job:
        """End a job that runs; nothing happens to one that ended.

        Raises:
            BigQueryError: notFound.
        """
        job = self.get(name)
        job.guard.cancel()
        return job

    def stop(self) -> None:
        """End all that run; the process does."""
        for job in self.newest():
            job.guard.cancel()
        for threads in (self._reads, self._changes):
            threads.shutdown(wait=False, cancel_futures=True)

    def _trim(self) -> None:
        """Forget the oldest beyond 200, and the oldest results beyond 64 MiB."""
        with self._lock:
            ended = [j for j in self._jobs.values() if j.done]
            held = sum(j.result.nbytes for j in ended if j.result is not None)
            for job in ended[:-1]:
                if len(self._jobs) <= _KEPT and held <= _KEPT_BYTES:
                    return
                del self._jobs[job.id]
                held -= job.result.nbytes if job.result is not None else 0

    def _whole(self, copy: Mapping[str, Any]) -> str:
        source = copy.get("sourceTable") or next(iter(copy.get("sourceTables") or ()), {})
        dataset, name = str(source.get("datasetId", "")), str(source.get("tableId", ""))
        project = str(source.get("projectId") or self._cloud.project.id)
        return f"SELECT * FROM `{project}.{dataset}.{name}`"

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


def _kept(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as answers show it: callers may write 64-bit integers as numbers too."""
    limit = configuration.get("jobTimeoutMs")
    return {**configuration, **({"jobTimeoutMs": str(limit)} if limit else {})}


def _limit_s(configuration: Mapping[str, Any]) -> float:
    try:
        return float(configuration.get("jobTimeoutMs") or math.inf) / 1000
    except (TypeError, ValueError) as error:
        raise BigQueryError("invalid", f"Invalid value for jobTimeoutMs: {error}") from error
