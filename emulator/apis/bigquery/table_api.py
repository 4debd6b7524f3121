"""Handlers of datasets, tables and their rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from emulator.apis.bigquery import resources, schema_fields, streamed, values
from emulator.apis.bigquery.errors import BigQueryError
from emulator.apis.bigquery.jobs import Jobs
from emulator.apis.bigquery.pages import page
from emulator.apis.bigquery.queries import Queries
from emulator.apis.bigquery.store import Dataset, Store, Table
from emulator.context import Cloud

Body = Mapping[str, Any]


class TableApi:
    """Each handler takes the request and its JSON body."""

    def __init__(self, cloud: Cloud, store: Store, jobs: Jobs) -> None:
        self._cloud, self._store, self._jobs = cloud, store, jobs
        self._queries = Queries(cloud, store)

    # --- datasets -------------------------------------------------------------------------------

    def list_datasets(self, request: Request, body: Body) -> dict[str, Any]:
        """datasets.list."""
        shown = [resources.listed_dataset(self._cloud.project, d)
                 for _, d in sorted(self._store.datasets.items())]  # fmt: skip
        wanted = request.query_params.get("filter", "")
        if wanted:
            shown = [d for d in shown if _labelled(d.get("labels", {}), wanted)]
        part, token = _part(shown, request)
        return {"kind": "bigquery#datasetList", "etag": "1", "datasets": part, **token}

    def get_dataset(self, request: Request, body: Body) -> dict[str, Any]:
        """datasets.get."""
        return self._dataset(request, self._store.dataset(request.path_params["dataset"]))

    def insert_dataset(self, request: Request, body: Body) -> dict[str, Any]:
        """datasets.insert."""
        reference = body.get("datasetReference")
        name = reference.get("datasetId") if isinstance(reference, dict) else None
        if not isinstance(name, str):
            raise BigQueryError("invalid", "Required parameter is missing: datasetId")
        kept = resources.given(body, resources.DATASET_FIELDS)
        with self._cloud.lock:
            return self._dataset(request, self._store.add_dataset(name, kept))

    def change_dataset(self, request: Request, body: Body) -> dict[str, Any]:
        """datasets.patch and datasets.update; the location stays."""
        with self._cloud.lock:
            found = self._store.dataset(request.path_params["dataset"])
            self._store.writable(found)
            _check_match(request, self._dataset(request, found)["etag"])
            place = found.body.get("location", "US")
            if str(body.get("location") or place).upper() != str(place).upper():
                raise BigQueryError("invalid", "Cannot change a dataset's location.")
            if request.method == "PUT":
                after = resources.given(body, resources.DATASET_FIELDS)
            else:
                after = resources.patched(found.body, body, resources.DATASET_FIELDS)
            found.body = {**after, "location": place}
            self._store.touch(found)
            return self._dataset(request, found)

    def delete_dataset(self, request: Request, body: Body) -> None:
        """datasets.delete."""
        contents = request.query_params.get("deleteContents", "").lower() == "true"
        with self._cloud.lock:
            self._store.drop_dataset(request.path_params["dataset"], contents=contents)

    def _dataset(self, request: Request, found: Dataset) -> dict[str, Any]:
        return resources.dataset(self._cloud.project, found, base_url(request))

    # --- tables ---------------------------------------------------------------------------------

    def list_tables(self, request: Request, body: Body) -> dict[str, Any]:
        """tables.list."""
        home = self._store.dataset(request.path_params["dataset"])
        project = self._cloud.project
        shown = [resources.listed_table(project, t) for _, t in sorted(home.tables.items())]
        part, token = _part(shown, request)
        total = {"totalItems": len(shown)}
        return {"kind": "bigquery#tableList", "etag": "1", "tables": part, **total, **token}

    def get_table(self, request: Request, body: Body) -> dict[str, Any]:
        """tables.get."""
        return self._table(request, self._found(request))

    def insert_table(self, request: Request, body: Body) -> dict[str, Any]:
        """tables.insert: a table or a view."""
        reference = body.get("tableReference")
        name = reference.get("tableId") if isinstance(reference, dict) else None
        if not isinstance(name, str):
            raise BigQueryError("invalid", "Required parameter is missing: tableId")
        for kind in ("materializedView", "externalDataConfiguration", "snapshotDefinition"):
            if body.get(kind):
                raise BigQueryError("notImplemented", f"The emulator has no tables of {kind}.")
        kept = resources.given(body, resources.TABLE_FIELDS)
        dataset = request.path_params["dataset"]
        view = body.get("view")
        with self._cloud.lock:
            if isinstance(view, dict):
                query = str(view.get("query", ""))
                if view.get("useLegacySql", True) not in (False, "false"):
                    raise BigQueryError("invalid", "The emulator does not know legacy SQL.")
                fields = self._view_fields(query)
                made = self._store.add_table(dataset, name, fields, kept, query=query)
            else:
                fields = _schema(body)
                resources.check_layout(kept, fields)
                made = self._store.add_table(dataset, name, fields, kept)
            return self._table(request, made)

    def _view_fields(self, query: str) -> list[dict[str, Any]]:
        answer = self._queries.run({"query": query}, dry=True)
        if answer.rows is None:
            raise BigQueryError("invalidQuery", "A view's query must be a SELECT statement.")
        return values.columns(answer.rows)

    def change_table(self, request: Request, body: Body) -> dict[str, Any]:
        """tables.patch and tables.update."""
        with self._cloud.lock:
            found = self._found(request)
            self._store.writable(found)
            _check_match(request, self._table(request, found)["etag"])
            known = resources.TABLE_FIELDS
            if request.method == "PUT":
                after = resources.given(body, known)
            else:
                after = resources.patched(found.body, body, known)
            if (body.get("schema") or {}).get("fields") and not found.query:
                self._store.set_fields(found, _schema(body))
            view = body.get("view")
            if found.query and isinstance(view, dict) and view.get("query"):
                found.fields = self._view_fields(str(view["query"]))
                found.query = str(view["query"])
            resources.check_layout(after, found.fields)
            found.body = after
            self._store.touch(found)
            return self._table(request, found)

    def delete_table(self, request: Request, body: Body) -> None:
        """tables.delete."""
        with self._cloud.lock:
            self._store.drop_table(request.path_params["dataset"], request.path_params["table"])

    def _found(self, request: Request) -> Table:
        return self._store.table(request.path_params["dataset"], request.path_params["table"])

    def _table(self, request: Request, found: Table) -> dict[str, Any]:
        return resources.table(self._cloud.project, self._store, found, base_url(request))

    # --- rows -----------------------------------------------------------------------------------

    def list_rows(self, request: Request, body: Body) -> dict[str, Any]:
        """tabledata.list, of a table or of a job's result."""
        name = request.path_params["table"]
        if name.startswith("anon") and request.path_params["dataset"] == "_results":
            found = self._jobs.get(name.removeprefix("anon")).result
        else:
            if self._found(request).query:
                raise BigQueryError("invalid", "Cannot list a table of type VIEW.")
            found = self._jobs.rows_of(request.path_params["dataset"], name)
        if found is None:
            raise BigQueryError("notFound", f"Not found: Table {name}")
        chosen = request.query_params.get("selectedFields")
        if chosen:
            try:
                found = found.select(chosen.split(","))
            except KeyError as error:
                raise BigQueryError("invalid", f"No such field: {error}") from error
        return {
            "kind": "bigquery#tableDataList",
            "totalRows": str(found.num_rows),
            **page(found, dict(request.query_params)),
        }

    def insert_rows(self, request: Request, body: Body) -> dict[str, Any]:
        """tabledata.insertAll."""
        with self._cloud.lock:
            found = self._found(request)
            self._store.writable(found)
            if not found.stored:
                raise BigQueryError("invalid", "Cannot add rows to a table of type VIEW.")
            rows, errors = streamed.read_rows(found.fields, body)
            if rows is not None and rows.num_rows:
                self._store.warehouse.append(found.stored, rows)
                found.modified_at = self._cloud.clock.now()
        answer: dict[str, Any] = {"kind": "bigquery#tableDataInsertAllResponse"}
        return answer | ({"insertErrors": errors} if errors else {})


def base_url(request: Request) -> str:
    """Scheme, host and prefix as the caller addressed them."""
    return str(request.base_url).rstrip("/")


def _schema(body: Body) -> list[dict[str, Any]]:
    schema = body.get("schema") or {}
    if not isinstance(schema, dict):
        raise BigQueryError("invalid", "Invalid value for schema: an object is expected.")
    return schema_fields.checked(schema.get("fields") or [])


def _check_match(request: Request, etag: str) -> None:
    given = request.headers.get("if-match")
    if given and given != etag:
        raise BigQueryError("conditionNotMet", "Precondition check failed.")


def _labelled(labels: Mapping[str, str], wanted: str) -> bool:
    """Whether labels pass a filter "labels.key[:value] …"."""
    for term in wanted.split():
        key, _, value = term.removeprefix("labels.").partition(":")
        if key not in labels or (value and labels[key] != value):
            return False
    return True


def _part(items: list[Any], request: Request) -> tuple[list[Any], dict[str, str]]:
    try:
        start = int(request.query_params.get("pageToken") or 0)
        size = int(request.query_params.get("maxResults") or 1000)
    except ValueError as error:
        raise BigQueryError("invalid", f"Invalid page token or size: {error}") from error
    if start < 0 or size < 0:
        raise BigQueryError("invalid", "pageToken and maxResults must not be negative.")
    after = start + size
    return items[start:after], ({"nextPageToken": str(after)} if after < len(items) else {})
