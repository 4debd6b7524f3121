"""BigQuery v2 over REST: jobs, datasets, tables and their rows; reads only."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emulator.apis.bigquery.discovery import document
from emulator.apis.bigquery.errors import BigQueryError
from emulator.apis.bigquery.jobs import Jobs, page
from emulator.apis.bigquery.model import Warehouse
from emulator.context import Cloud

Handler = Callable[[Request, Mapping[str, Any]], dict[str, Any]]
_PROJECT = "/projects/{project}"


class BigQuery:
    """The handlers; each takes the request and its JSON body."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._warehouse = Warehouse(cloud)
        self._jobs = Jobs(cloud, self._warehouse)

    def app(self) -> Starlette:
        """The application: paths under /bigquery/v2, and the same without that."""
        dataset = f"{_PROJECT}/datasets/{{dataset}}"
        table = f"{dataset}/tables/{{table}}"
        served: tuple[tuple[str, str, str, Handler], ...] = (
            ("jobs.query", "POST", f"{_PROJECT}/queries", self._query),
            ("jobs.getQueryResults", "GET", f"{_PROJECT}/queries/{{job}}", self._results),
            ("jobs.insert", "POST", f"{_PROJECT}/jobs", self._insert),
            ("jobs.list", "GET", f"{_PROJECT}/jobs", self._list_jobs),
            ("jobs.get", "GET", f"{_PROJECT}/jobs/{{job}}", self._job),
            ("jobs.cancel", "POST", f"{_PROJECT}/jobs/{{job}}/cancel", self._cancel),
            ("projects.list", "GET", "/projects", self._projects),
            ("datasets.list", "GET", f"{_PROJECT}/datasets", self._datasets),
            ("datasets.get", "GET", dataset, self._dataset),
            ("tables.list", "GET", f"{dataset}/tables", self._tables),
            ("tables.get", "GET", table, self._table),
            ("tabledata.list", "GET", f"{table}/data", self._rows),
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
            return await asyncio.to_thread(answer, request, raw)

        def answer(request: Request, raw: bytes) -> Response:
            code = "OK"
            try:
                self._check(request)
                body = handler(request, _body(raw))
                return JSONResponse(body)
            except BigQueryError as error:
                code = error.reason
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

    # --- jobs -----------------------------------------------------------------------------------

    def _insert(self, request: Request, body: Mapping[str, Any]) -> dict[str, Any]:
        reference = body.get("jobReference") or {}
        configuration = body.get("configuration") or {}
        job = self._jobs.insert(
            configuration, str(reference.get("jobId", "")), str(reference.get("location", ""))
        )
        return self._jobs.resource(job, _base(request))

    def _query(self, request: Request, body: Mapping[str, Any]) -> dict[str, Any]:
        query = {k: v for k, v in body.items() if k in _QUERY_FIELDS}
        configuration = {"query": query, "dryRun": bool(body.get("dryRun"))}
        job = self._jobs.insert(configuration, "", str(body.get("location", "")))
        options = {"maxResults": body["maxResults"]} if "maxResults" in body else {}
        for name, value in (body.get("formatOptions") or {}).items():
            options[f"formatOptions.{name}"] = str(value)
        return {
            "kind": "bigquery#queryResponse",
            "queryId": job.id,
            **self._jobs.results(job, options),
        }

    def _results(self, request: Request, body: Mapping[str, Any]) -> dict[str, Any]:
        job = self._jobs.get(request.path_params["job"])
        found = self._jobs.results(job, dict(request.query_params))
        return {"kind": "bigquery#getQueryResultsResponse", "etag": job.id, **found}

    def _job(self, request: Request, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._jobs.resource(self._jobs.get(request.path_params["job"]), _base(request))

    def _cancel(self, request: Request, body: Mapping[str, Any]) -> dict[str, Any]:
        return {"kind": "bigquery#jobCancelResponse", "job": self._job(request, body)}

    def _list_jobs(self, request: Request, body: Mapping[str, Any]) -> dict[str, Any]:
        size = request.query_params.get("maxResults", "50")
        jobs = self._jobs.newest()[: int(size) if size.isdigit() else 50]
        resources = [self._jobs.resource(j, _base(request)) for j in jobs]
        return {
            "kind": "bigquery#jobList",
            "jobs": [
                {k: v for k, v in r.items() if k not in ("etag", "selfLink")}
                | {"state": r["status"]["state"]}
                for r in resources
            ],
        }

    # --- data -----------------------------------------------------------------------------------

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

    def _dataset_resource(self) -> dict[str, Any]:
        own = self._cloud.project
        millis = str(int(1000 * self._cloud.clock.epoch()))
        return {
            "kind": "bigquery#dataset", "id": f"{own.id}:{own.dataset}", "location": "US",
            "datasetReference": {"projectId": own.id, "datasetId": own.dataset},
            "creationTime": millis, "lastModifiedTime": millis, "etag": "export", "type": "DEFAULT",
        }  # fmt: skip

    def _datasets(self, request: Request, body: Mapping[str, Any]) -> dict[str, Any]:
        whole = self._dataset_resource()
        listed = {k: whole[k] for k in ("kind", "id", "location", "datasetReference")}
        return {"kind": "bigquery#datasetList", "etag": "1", "datasets": [listed]}

    def _dataset(self, request: Request, body: Mapping[str, Any]) -> dict[str, Any]:
        own, name = self._cloud.project, request.path_params["dataset"]
        if name != own.dataset:
            raise BigQueryError("notFound", f"Not found: Dataset {own.id}:{name}")
        return self._dataset_resource()

    def _table_resource(self, *, whole: bool) -> dict[str, Any]:
        own, name = self._cloud.project, self._warehouse.table
        found: dict[str, Any] = {
            "kind": "bigquery#table", "id": f"{own.id}:{own.dataset}.{name}", "type": "TABLE",
            "tableReference": {
                "projectId": own.id, "datasetId": own.dataset, "tableId": name,
            },
            "creationTime": str(int(1000 * self._cloud.clock.epoch())),
            "timePartitioning": {"type": "DAY"},
        }  # fmt: skip
        if whole:
            rows = self._warehouse.number_of_rows()
            found |= {
                "schema": {"fields": self._warehouse.fields()}, "numRows": str(rows),
                "numBytes": str(rows * 512), "location": "US", "etag": "export",
                "lastModifiedTime": str(int(1000 * self._cloud.clock.now())),
            }  # fmt: skip
        return found

    def _tables(self, request: Request, body: Mapping[str, Any]) -> dict[str, Any]:
        self._dataset(request, body)
        tables = [self._table_resource(whole=False)]
        return {"kind": "bigquery#tableList", "etag": "1", "tables": tables, "totalItems": 1}

    def _table(self, request: Request, body: Mapping[str, Any]) -> dict[str, Any]:
        self._dataset(request, body)
        name, own = request.path_params["table"], self._cloud.project
        if name != self._warehouse.table:
            raise BigQueryError("notFound", f"Not found: Table {own.id}:{own.dataset}.{name}")
        return self._table_resource(whole=True)

    def _rows(self, request: Request, body: Mapping[str, Any]) -> dict[str, Any]:
        own, name = self._cloud.project, request.path_params["table"]
        if name.startswith("anon"):
            found = self._jobs.get(name.removeprefix("anon")).result
        else:
            self._table(request, body)
            job = self._jobs.insert(
                {"query": {"useLegacySql": False,
                           "query": f"SELECT * FROM `{own.id}.{own.dataset}.{name}`"}}, "", "",
            )  # fmt: skip
            found = job.result
        if found is None:
            raise BigQueryError("notFound", f"Not found: Table {name}")
        return {
            "kind": "bigquery#tableDataList",
            "totalRows": str(found.num_rows),
            **page(found, dict(request.query_params)),
        }

    async def _discovery(self, request: Request) -> Response:
        return JSONResponse(document(_base(request)))


_QUERY_FIELDS = (
    "query", "useLegacySql", "queryParameters", "parameterMode", "defaultDataset",
    "maximumBytesBilled", "useQueryCache",
)  # fmt: skip


def _base(request: Request) -> str:
    return str(request.base_url).rstrip("/")


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
