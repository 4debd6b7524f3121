"""Jobs in BigQuery's JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emulator.apis.bigquery import values
from emulator.apis.bigquery.jobs import Job
from emulator.apis.bigquery.pages import page
from emulator.scenario import Project


def reference(project: Project, job: Job) -> dict[str, str]:
    """Its JobReference; a dry run has no id."""
    found = {"projectId": project.id, "location": job.location}
    return found if job.dry else {**found, "jobId": job.id}


def resource(project: Project, job: Job, base: str) -> dict[str, Any]:
    """The Job resource."""
    begun, ended = (str(int(1000 * at)) for at in (job.started_at, job.ended_at))
    status: dict[str, Any] = {"state": "DONE" if job.done else "RUNNING"}
    if job.error:
        status |= {"errorResult": job.error.proto(), "errors": [job.error.proto()]}
    return {
        "kind": "bigquery#job",
        "id": f"{project.id}:{job.location}.{job.id}",
        "selfLink": f"{base}/bigquery/v2/projects/{project.id}/jobs/{job.id}",
        "etag": job.id,
        "user_email": f"console@{project.id}.iam.gserviceaccount.com",
        "jobReference": reference(project, job),
        "configuration": _configuration(project, job),
        "status": status,
        "statistics": {
            "creationTime": begun, "startTime": begun, **({"endTime": ended} if job.done else {}),
            "totalBytesProcessed": _bytes(job),
            **_statistics(project, job),
        },
    }  # fmt: skip


def _statistics(project: Project, job: Job) -> dict[str, Any]:
    if "copy" in job.configuration:
        return {}
    if "load" not in job.configuration:
        return {"query": _query_statistics(project, job)}
    size = _bytes(job)
    rows = job.answer.outcome.rows["inserted"] if job.answer else 0
    return {"load": {
        "inputFiles": "1", "inputFileBytes": size, "outputRows": str(rows), "outputBytes": size,
        "badRecords": "0",
    }}  # fmt: skip


def _configuration(project: Project, job: Job) -> dict[str, Any]:
    if "copy" in job.configuration:
        return {**job.configuration, "jobType": "COPY"}
    if "load" in job.configuration:
        load = {**job.configuration["load"]}
        for count in ("skipLeadingRows", "maxBadRecords"):  # which clients send as text, too
            if str(load.get(count, "")).isdigit():
                load[count] = int(load[count])
        return {**job.configuration, "jobType": "LOAD", "load": load}
    query = {**job.configuration["query"]}
    if "queryParameters" in query:
        query["queryParameters"] = _texts(query["queryParameters"])
    if kind_of(job) == "SELECT" and not job.dry:
        query.setdefault("destinationTable", _table(project, "_results", f"anon{job.id}"))
    return {**job.configuration, "jobType": "QUERY", "query": query}


def kind_of(job: Job) -> str:
    """BigQuery's statementType."""
    return job.answer.outcome.kind if job.answer else "SELECT"


def _bytes(job: Job) -> str:
    return str(job.answer.bytes_read if job.answer else 0)


def _query_statistics(project: Project, job: Job) -> dict[str, Any]:
    size = _bytes(job)
    found: dict[str, Any] = {
        "statementType": kind_of(job), "cacheHit": False, "totalBytesProcessed": size,
        "totalBytesBilled": "0" if job.dry else size,
    }  # fmt: skip
    if job.answer is None:
        return found
    outcome = job.answer.outcome
    if job.answer.tables:
        found["referencedTables"] = [_table(project, *t) for t in job.answer.tables]
    if job.dry and job.answer.rows is not None:
        found["schema"] = {"fields": values.columns(job.answer.rows)}
    if outcome.rows:
        found |= changed(job)
    if outcome.performed:
        found["ddlOperationPerformed"] = outcome.performed
        dataset, table = outcome.table
        if table:
            found["ddlTargetTable"] = _table(project, dataset, table)
        else:
            found["ddlTargetDataset"] = {"projectId": project.id, "datasetId": dataset}
    return found


def changed(job: Job) -> dict[str, Any]:
    """numDmlAffectedRows and dmlStats."""
    rows = job.answer.outcome.rows if job.answer else {}
    if not rows:
        return {}
    stats = {f"{name}RowCount": str(count) for name, count in rows.items()}
    return {"numDmlAffectedRows": str(sum(rows.values())), "dmlStats": stats}


def _table(project: Project, dataset: str, table: str) -> dict[str, str]:
    return {"projectId": project.id, "datasetId": dataset, "tableId": table}


def _texts(value: Any) -> Any:
    """Numbers as texts, as BigQuery repeats parameter values."""
    if isinstance(value, dict):
        return {k: _texts(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_texts(v) for v in value]
    return value if value is None or isinstance(value, str) else str(value)


def results(project: Project, job: Job, options: Mapping[str, str]) -> dict[str, Any]:
    """A page of its rows, as getQueryResults and jobs.query answer.

    Raises:
        BigQueryError: the job's own error; invalid for a bad page token.
    """
    if job.error:
        raise job.error
    if not job.done:
        return {"jobReference": reference(project, job), "jobComplete": False}
    body: dict[str, Any] = {
        "jobReference": reference(project, job), "jobComplete": True, "cacheHit": False,
        "totalBytesProcessed": _bytes(job), "totalRows": "0", "schema": {"fields": []},
    }  # fmt: skip
    if job.result is None:
        return body | {k: v for k, v in changed(job).items() if k != "dmlStats"}
    body["schema"] = {"fields": values.columns(job.result)}
    if job.dry:
        return body
    return body | {"totalRows": str(job.result.num_rows)} | page(job.result, options)
