"""BigQuery v2 over REST: its routes, and the handlers of jobs; table_api.py has the rest."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emulator.apis.bigquery import job_messages, loads
from emulator.apis.bigquery.discovery import document
from emulator.apis.bigquery.errors import BigQueryError
from emulator.apis.bigquery.jobs import Change, Job, Jobs
from emulator.apis.bigquery.store import store_of
from emulator.apis.bigquery.table_api import TableApi, base_url
from emulator.apis.bigquery.uploads import Uploads
from emulator.context import Cloud
from emulator.journal.changes import Made
from emulator.journal.http import Answer, Body, record_of
from emulator.journal.reading import may_be_query, query_reads
from emulator.wire.errors import ApiError
from emulator.wire.partial import asked_for

_LOG = logging.getLogger("emulator")
Handler = Callable[[Request, Mapping[str, Any]], dict[str, Any] | Response | None]
# Enters a job → the job, how it is answered, how long the caller waits for its end (seconds).
Begin = Callable[[Request, bytes], tuple[Job, Handler, float]]
_WAIT_S: Final = 10.0
_CANCEL: Final = re.compile(r"/bigquery(/bigquery)?(/v2)?/projects/[^/]+/jobs/[^/]+/cancel")
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
        self._store = store_of(cloud)
        self._jobs = Jobs(cloud, self._store)
        self._tables = TableApi(cloud, self._store, self._jobs)
        self._uploads = Uploads(
            cloud, lambda body: loads.asked(_object(body.get("configuration"))), self._loaded
        )

    def app(self) -> Starlette:
        """The application: paths under /bigquery/v2, and the same without that."""
        datasets = f"{_PROJECT}/datasets"
        dataset = f"{datasets}/{{dataset}}"
        tables = f"{dataset}/tables"
        table, own = f"{tables}/{{table}}", self._tables
        served: tuple[tuple[str, str, str, Handler], ...] = (
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
        waiting: tuple[tuple[str, str, str, Begin], ...] = (
            ("jobs.query", "POST", f"{_PROJECT}/queries", self._begin_query),
            ("jobs.getQueryResults", "GET", f"{_PROJECT}/queries/{{job}}", self._begin_results),
            ("jobs.insert", "POST", f"{_PROJECT}/jobs", self._begin_insert),
        )
        endpoints = [(v, p, self._endpoint(n, handler)) for n, v, p, handler in served]
        endpoints += [(v, p, self._waiting(n, begin)) for n, v, p, begin in waiting]
        routes = [
            Route(prefix + path, endpoint, methods=[verb])
            for prefix in ("/bigquery/v2", "/v2", "")
            for verb, path, endpoint in endpoints
        ]
        for upload in ("/upload", "/resumable/upload"):
            path = f"{upload}/bigquery/v2{_PROJECT}/jobs"
            routes.append(Route(path, self._upload, methods=["POST", "PUT", "DELETE"]))
        for path in ("/$discovery/rest", "/discovery/v1/apis/bigquery/v2/rest"):
            routes.append(Route(path, self._discovery, methods=["GET"]))
        return Starlette(routes=routes, exception_handlers={404: _unknown_path, 405: _unknown_path})

    def _endpoint(self, name: str, handler: Handler) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            raw = await request.body()
            return await asyncio.get_running_loop().run_in_executor(None, answer, request, raw)

        def answer(request: Request, raw: bytes) -> Response:
            found, code = self._answer(lambda r, b: handler(r, loads.body_of(raw)), request, {})
            self._cloud.calls.count("bigquery", name, "rest", code)
            return found

        return endpoint

    def _waiting(self, name: str, begin: Begin) -> Callable[[Request], Any]:
        """An endpoint that answers once a job has ended, or when the caller's time is up."""

        async def endpoint(request: Request) -> Response:
            raw = await request.body()
            within = asyncio.get_running_loop().run_in_executor
            begun: list[tuple[Job, Handler, float]] = []

            def started(request: Request, body: Mapping[str, Any]) -> None:
                begun.append(begin(request, raw))

            found, code = await within(None, self._answer, started, request, {})
            if begun:
                job, handler, wait_s = begun[0]
                if job.running is not None:
                    await asyncio.wait([asyncio.wrap_future(job.running)], timeout=wait_s)
                body = loads.body_of(raw)
                found, code = await within(None, self._answer, handler, request, body)
            self._cloud.calls.count("bigquery", name, "rest", code)
            return found

        return endpoint

    def _answer(
        self, handler: Handler, request: Request, body: Mapping[str, Any]
    ) -> tuple[Response, str]:
        """What the handler answers or refuses, and the code to count it by."""
        try:
            self._check(request)
            keep = asked_for(request.query_params)
            found = handler(request, body)
            if isinstance(found, Response):
                return found, "OK"
            return (Response(status_code=204) if found is None else JSONResponse(keep(found))), "OK"
        except BigQueryError as error:
            return JSONResponse(error.envelope(), error.status), error.reason
        except ApiError as error:
            refused = BigQueryError("invalid", error.message)
            return JSONResponse(refused.envelope(), refused.status), refused.reason
        except Exception:  # noqa: BLE001 - a caller never gets less than Google's envelope
            _LOG.exception("bigquery %s failed", request.url.path)
            error = BigQueryError("backendError", "An internal error occurred.")
            return JSONResponse(error.envelope(), error.status), error.reason

    def _check(self, request: Request) -> None:
        project = request.path_params.get("project")
        own = self._cloud.project
        if project not in (None, own.id, own.number):
            raise BigQueryError(
                "accessDenied", f"Access Denied: Project {project}: User does not have permission."
            )

    # --- jobs: begun in one step, answered in another, once they ended or the caller's time is up

    def _begin_insert(self, request: Request, raw: bytes) -> tuple[Job, Handler, float]:
        body = loads.body_of(raw)
        reference = _object(body.get("jobReference"))
        job = self._jobs.begin(
            _object(body.get("configuration")), str(reference.get("jobId") or ""),
            str(reference.get("location") or ""),
            self._change(request, raw, body, self._inserted),
        )  # fmt: skip
        return job, partial(self._inserted, job), _WAIT_S

    def _inserted(self, job: Job, request: Request, body: Mapping[str, Any]) -> dict[str, Any]:
        if job.dry and job.error:
            raise job.error
        return self._shown(job, request)

    def _begin_query(self, request: Request, raw: bytes) -> tuple[Job, Handler, float]:
        body = loads.body_of(raw)
        query = {k: v for k, v in body.items() if k in _QUERY_FIELDS}
        configuration: dict[str, Any] = {"query": query, "dryRun": bool(body.get("dryRun"))}
        if isinstance(body.get("labels"), dict):
            configuration["labels"] = body["labels"]
        if body.get("jobTimeoutMs"):
            configuration["jobTimeoutMs"] = body["jobTimeoutMs"]
        wait_s = _wait_s(body.get("timeoutMs"))
        change = self._change(request, raw, body, self._queried)
        job = self._jobs.begin(configuration, "", str(body.get("location", "")), change)
        return job, partial(self._queried, job), wait_s

    def _queried(self, job: Job, request: Request, body: Mapping[str, Any]) -> dict[str, Any]:
        options = {"maxResults": body["maxResults"]} if "maxResults" in body else {}
        for name, value in _object(body.get("formatOptions")).items():
            options[f"formatOptions.{name}"] = str(value)
        found = job_messages.results(self._cloud.project, job, options)
        changed = job_messages.changed(job)
        return {"kind": "bigquery#queryResponse", "queryId": job.id, **found, **changed}

    def _begin_results(self, request: Request, raw: bytes) -> tuple[Job, Handler, float]:
        job = self._jobs.get(request.path_params["job"])
        return job, self._results, _wait_s(request.query_params.get("timeoutMs"))

    async def _upload(self, request: Request) -> Response:
        """A load job whose rows come with it."""
        raw, root = await request.body(), base_url(request)
        within = asyncio.get_running_loop().run_in_executor
        found, code = await within(
            None, self._answer, lambda r, _: self._uploads.answer(r, raw, root), request, {}
        )
        self._cloud.calls.count("bigquery", "jobs.insert", "rest", code)
        return found

    def _loaded(self, request: Request, body: Mapping[str, Any], rows: bytes) -> dict[str, Any]:
        reference = _object(body.get("jobReference"))
        made = self._jobs.load(
            _object(body.get("configuration")), str(reference.get("jobId") or ""),
            str(reference.get("location") or ""), rows,
        )  # fmt: skip
        return self._shown(made, request)

    def _change(
        self, request: Request, raw: bytes, body: Mapping[str, Any],
        handler: Callable[[Job, Request, Mapping[str, Any]], dict[str, Any]],
    ) -> Change | None:  # fmt: skip
        """What the journal keeps of a job that changes something."""
        if query_reads(body):
            return None

        def told(job: Job) -> Made:
            answer = self._answer(partial(handler, job), request, body)[0]
            return Answer(answer.status_code, (), bytes(answer.body)).made()

        return Change(record_of(request.scope, Body(raw, size=len(raw))), told)

    def _results(self, request: Request, body: Mapping[str, Any]) -> dict[str, Any]:
        job = self._jobs.get(request.path_params["job"])
        found = job_messages.results(self._cloud.project, job, dict(request.query_params))
        return {"kind": "bigquery#getQueryResultsResponse", "etag": job.id, **found}

    def _job(self, request: Request, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._shown(self._jobs.get(request.path_params["job"]), request)

    def _shown(self, job: Job, request: Request) -> dict[str, Any]:
        return job_messages.resource(self._cloud.project, job, base_url(request))

    def _cancel(self, request: Request, body: Mapping[str, Any]) -> dict[str, Any]:
        job = self._jobs.cancel(request.path_params["job"])
        return {"kind": "bigquery#jobCancelResponse", "job": self._shown(job, request)}

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


def own_turns(verb: str, path: str) -> bool:
    """Whether a request begins or cancels a job: those take their turns when they are ready."""
    return may_be_query(verb, path) or (verb == "POST" and bool(_CANCEL.fullmatch(path)))


def _wait_s(timeout_ms: Any) -> float:
    try:
        return _WAIT_S if timeout_ms is None else min(max(float(timeout_ms), 0.0) / 1000, 200.0)
    except (TypeError, ValueError) as error:
        raise BigQueryError("invalid", f"Invalid value for timeoutMs: {error}") from error


def _object(value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BigQueryError("invalid", "An object is expected.")
    return value


async def _unknown_path(request: Request, error: Exception) -> Response:
    found = BigQueryError("notFound", f"Not Found: {request.method} {request.url.path}")
    return JSONResponse(found.envelope(), 404)
