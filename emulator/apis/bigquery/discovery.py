"""The discovery document that `bq` asks its endpoint for."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any


def document(base_url: str) -> dict[str, Any]:
    """Google's own document with our address, where google-api-python-client is installed.

    Without it a short one of our own, which names the methods that are served.
    """
    found = _shipped() or _own()
    return {
        **found, "rootUrl": f"{base_url}/", "baseUrl": f"{base_url}/bigquery/v2/",
        "servicePath": "bigquery/v2/", "basePath": "/bigquery/v2/",
    }  # fmt: skip


def _shipped() -> dict[str, Any] | None:
    package = importlib.util.find_spec("googleapiclient")
    if package is None or not package.submodule_search_locations:
        return None
    folder = Path(next(iter(package.submodule_search_locations)))
    path = folder / "discovery_cache" / "documents" / "bigquery.v2.json"
    return json.loads(path.read_text("utf-8")) if path.is_file() else None


def _method(name: str, verb: str, path: str, *parameters: str, body: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": f"bigquery.{name}", "httpMethod": verb, "path": path, "flatPath": path,
        "parameters": {
            p: {"type": "string", "location": "path" if f"{{+{p}}}" in path else "query"}
            for p in parameters
        },
        "response": {"$ref": "JsonObject"},
    }  # fmt: skip
    if body:
        found["request"] = {"$ref": "JsonObject"}
    return found


def _own() -> dict[str, Any]:
    project, job = "projects/{+projectId}", "projects/{+projectId}/jobs/{+jobId}"
    dataset = f"{project}/datasets/{{+datasetId}}"
    table = f"{dataset}/tables/{{+tableId}}"
    pages = ("maxResults", "pageToken")
    methods = {
        "jobs": {
            "insert": _method("jobs.insert", "POST", f"{project}/jobs", "projectId", body="Job"),
            "query": _method("jobs.query", "POST", f"{project}/queries", "projectId", body="Job"),
            "get": _method("jobs.get", "GET", job, "projectId", "jobId", "location"),
            "list": _method("jobs.list", "GET", f"{project}/jobs", "projectId", *pages,
                            "projection", "allUsers", "stateFilter"),
            "getQueryResults": _method(
                "jobs.getQueryResults", "GET", f"{project}/queries/{{+jobId}}", "projectId",
                "jobId", *pages, "startIndex", "timeoutMs", "location"),
        },
        "datasets": {
            "list": _method("datasets.list", "GET", f"{project}/datasets", "projectId", *pages,
                            "all", "filter"),
            "get": _method("datasets.get", "GET", dataset, "projectId", "datasetId"),
        },
        "tables": {
            "list": _method("tables.list", "GET", f"{dataset}/tables", "projectId", "datasetId",
                            *pages),
            "get": _method("tables.get", "GET", table, "projectId", "datasetId", "tableId"),
        },
        "tabledata": {
            "list": _method("tabledata.list", "GET", f"{table}/data", "projectId", "datasetId",
                            "tableId", *pages, "startIndex", "selectedFields"),
        },
        "projects": {"list": _method("projects.list", "GET", "projects", *pages)},
    }  # fmt: skip
    return {
        "kind": "discovery#restDescription", "discoveryVersion": "v1", "id": "bigquery:v2",
        "name": "bigquery", "version": "v2", "revision": "0", "title": "BigQuery API",
        "protocol": "rest", "batchPath": "batch/bigquery/v2",
        "parameters": {"alt": {"type": "string", "location": "query", "default": "json"}},
        "schemas": {"JsonObject": {
            "id": "JsonObject", "type": "object", "additionalProperties": {"type": "any"}}},
        "resources": {name: {"methods": found} for name, found in methods.items()},
    }  # fmt: skip
