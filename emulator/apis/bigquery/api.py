"""BigQuery v2 over REST: its routes, and the handlers of jobs; table_api.py has the rest."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emulator.apis.bigquery import job_messages
from emulator.apis.bigquery.discovery import document
from emulator.apis.bigquery.errors import BigQueryError
from emulator.apis.bigquery.jobs import Job, Jobs
from emulator.apis.bigquery.model import Warehouse
from emulator.apis.bigquery.store import Store
from emulator.apis.bigquery.table_api import TableApi, base_url
from emulator.context import Cloud

_LOG = logging.getLogger("emulator")
Handler = Callable[[Request, Mapping[str, Any]], dict[str, Any] | None]
_PROJECT = "/projects/{project}"
_QUERY_FIELDS: Final = (
    "query", "useLegacySql", "queryParameters", "parameterMode", "defaultDataset",
    "maximumBytesBilled", "useQueryCache", "destinationTable", "writeDisposition",
    "createDisposition",
)  # fmt: skip


class BigQuery:
    """The application; its own handlers take the request and its JSON body."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._store = Store(cloud, Warehouse(cloud))
        self._jobs = Jobs(cloud, self._store)
        self._tables = TableApi(cloud, self._store, self._jobs)

    def app(self) -> Starlette:
        """The application: paths under /bigquery/v2, and the same without that."""
        datasets = f"{_PROJECT}/datasets"
        dataset = f"{datasets}/{{dataset}}"
        tables = f"{dataset}/tables"
        table, own = f"{tables}/{{table}}", self._tables
        served: tuple[tuple[str, str, str, Handler], ...] = (
            ("jobs.query", "POST", f"{_PROJECT}/queries", self._query),
            ("jobs.getQueryResults", "GET", f"{_PROJECT}/queries/{{job}}", self._results),
            ("jobs.insert", "POST", f"{_PROJECT}/jobs", self._insert),
            ("jobs.list", "GET", f"{_PROJECT}/jobs", self._list_jobs),
            ("jobs.get", "GET", f"{_PROJECT}/jobs/{{job}}", self._job),
            ("jobs.cancel", "POST", f"{_PROJECT}/jobs/{{job}}/cancel", self._cancel),
            ("jobs.delete", "DELETE", f"{_PROJECT}/jobs/{{job}}/delete", self._delete_job),
            ("projects.list", "GET", "/projects", self._projects),
            ("datasets.list", "GET", datasets, own.list_datasets),
            ("datasets.insert", "POST", datasets, own.insert_dataset),
            ("datasets.get", "GET", dataset, own.get_dataset),
            ("datasets.patch", "PATCH", dataset, own.change_dataset),
            ("datasets.update", "PUT", dataset, own.change_dataset),
            ("datasets.delete", "DELETE", dataset, own.delete_dataset),
            ("tables.list", "GET", tables, own.list_tables),
            ("tables.insert", "POST", tables, own.insert_table),
            ("tables.get", "GET", table, own.get_table),
            ("tables.patch", "PATCH", table, own.change_table),
            ("tables.update", "PUT", table, own.change_table),
            ("tables.delete", "DELETE", table, own.delete_table),
            ("tabledata.list", "GET", f"{table}/data", own.list_rows),
            ("tabledata.insertAll", "POST", f"{table}/insertAll", own.insert_rows),
        )
        routes = [
            Route(prefix + path, self._endpoint(name, handler), methods=[verb])
            for prefix in ("/bigquery/v2", "/v2", "")
            for name, verb, path, handler in served
        ]
        for path in ("/$discovery/rest", "/discovery/v1/apis/bigquery/v2/rest"):
            routes.append(Route(path, self._discovery, methods=["GET"]))
        return Starlette(routes=routes, exception_handlers={404: _unknown_path, 405: _unknown_path})

    def _endpoint(self, name: str, handler: Handler) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            raw = await request.body()
            return await asyncio.get_running_loop().run_in_executor(None, answer, request, raw)

        def answer(request: Request, raw: bytes) -> Response:
            code = "OK"
            try:
                self._check(request)
                body = handler(request, _body(raw))
                return Response(status_code=204) if body is None else JSONResponse(body)
            except BigQueryError as error:
                code = error.reason
                return JSONResponse(error.envelope(), error.status)
            except Exception:  # noqa: BLE001 - a caller never gets less than Google's envelope
                code = "backendError"
                _LOG.exception("bigquery %s failed", name)
                error = BigQueryError("backendError", "An internal error occurred.")
                return JSONResponse(error.envelope(), error.status)
            finally:
                self._cloud.calls.count("bigquery", name, "rest", code)

        return endpoint

    def _check(self, request: Request) -> None:
        project = request.path_params.get("project")
        own = self._cloud.project
        if project not in (None, own.id, own.number):
            raise BigQueryError(
                "accessDenied", f"Access Denied: Project {project}: User does not have permission."
            )

    def _insert(self, request: Request, body: Mapping[str, Any]) -> dict[str, Any]:
        reference = _object(body.get("jobReference"))
        configuration = _object(body.get("configuration"))
        job = self._jobs.insert(
            configuration, str(reference.get("jobId") or ""), str(reference.get("location") or "")
        )
        if job.dry and job.error:
            raise job.error
        return self._shown(job, request)

    def _query(self, request: Request, body: Mapping[str, Any]) -> dict[str, Any]:
        query = {k: v for k, v in body.items() if k in _QUERY_FIELDS}
        configuration: dict[str, Any] = {"query": query, "dryRun": bool(body.get("dryRun"))}
        if isinstance(body.get("labels"), dict):
            configuration["labels"] = body["labels"]
        job = self._jobs.insert(configuration, "", str(body.get("location", "")))
        options = {"maxResults": body["maxResults"]} if "maxResults" in body else {}
        for name, value in _object(body.get("formatOptions")).items():
            options[f"formatOptions.{name}"] = str(value)
        found = job_messages.results(self._cloud.project, job, options)
        changed = job_messages.changed(job)
        return {"kind": "bigquery#queryResponse", "queryId": job.id, **found, **changed}

    def _results(self, request: Request, body: Mapping[str, Any]) -> dict[str, Any]:
        job = self._jobs.get(request.path_params["job"])
        found = job_messages.results(self._cloud.project, job, dict(request.query_params))
        return {"kind": "bigquery#getQueryResultsResponse", "etag": job.id, **found}

    def _job(self, request: Request, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._shown(self._jobs.get(request.path_params["job"]), request)

    def _shown(self, job: Job, request: Request) -> dict[str, Any]:
        return job_messages.resource(self._cloud.project, job, base_url(request))

    def _cancel(self, request: Request, body: Mapping[str, Any]) -> dict[str, Any]:
        return {"kind": "bigquery#jobCancelResponse", "job": self._job(request, body)}

    def _delete_job(self, request: Request, body: Mapping[str, Any]) -> None:
        self._jobs.forget(request.path_params["job"])

    def _list_jobs(self, request: Request, body: Mapping[str, Any]) -> dict[str, Any]:
        query = request.query_params
        try:
            size, start = int(query.get("maxResults") or 50), int(query.get("pageToken") or 0)
            after = float(query.get("minCreationTime") or 0) / 1000
            before = float(query.get("maxCreationTime") or "inf") / 1000
        except ValueError as error:
            raise BigQueryError("invalid", f"Invalid value: {error}") from error
        states = [s.upper() for s in query.getlist("stateFilter")]
        jobs = [j for j in self._jobs.newest() if after <= j.started_at <= before]
        jobs = jobs if not states or "DONE" in states else []
        start, size = max(start, 0), max(size, 0)
        shown = [self._shown(j, request) for j in jobs[start : start + size]]
        found: dict[str, Any] = {
            "kind": "bigquery#jobList", "etag": "1",
            "jobs": [
                {k: v for k, v in r.items() if k not in ("etag", "selfLink")}
                | {"state": r["status"]["state"]}
                for r in shown
            ],
        }  # fmt: skip
        more = start + size < len(jobs)
        return found | ({"nextPageToken": str(start + size)} if more else {})

    def _projects(self, request: Request, body: Mapping[str, Any]) -> dict[str, Any]:
        own = self._cloud.project
        return {
            "kind": "bigquery#projectList",
            "totalItems": 1,
            "projects": [{
                "kind": "bigquery#project", "id": own.id, "numericId": own.number,
                "friendlyName": own.id, "projectReference": {"projectId": own.id},
            }],
        }  # fmt: skip

    async def _discovery(self, request: Request) -> Response:
        return JSONResponse(document(base_url(request)))


def _object(value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BigQueryError("invalid", "An object is expected.")
    return value


def _body(raw: bytes) -> Mapping[str, Any]:
    if not raw.strip():
        return {}
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BigQueryError("invalid", f"Parse Error: {error}") from error
    if not isinstance(body, dict):
        raise BigQueryError("invalid", "Root element must be a message.")
    return body


async def _unknown_path(request: Request, error: Exception) -> Response:
    found = BigQueryError("notFound", f"Not Found: {request.method} {request.url.path}")
    return JSONResponse(found.envelope(), 404)
