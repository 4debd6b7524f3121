"""JSON answers hold to Google's discovery documents."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from typing import Any

import pytest

from tests.emulator.discovery import response_problems
from tests.processes import EmulatorProcess

P = "projects/heartwood-demo"
TABLE = "gcp_billing_export_resource_v1_01A2B3_C4D5E6_F7A8B9"
SERIES = urllib.parse.urlencode(
    {
        "filter": 'metric.type="loadbalancing.googleapis.com/https/total_latencies"',
        "interval.endTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "interval.startTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 600)),
        "aggregation.alignmentPeriod": "300s",
        "aggregation.perSeriesAligner": "ALIGN_DELTA",
    }
)
CASES = (
    ("monitoring.v3", "/monitoring", f"v3/{P}/timeSeries", SERIES),
    ("monitoring.v3", "/monitoring", f"v3/{P}/metricDescriptors", ""),
    ("monitoring.v3", "/monitoring", f"v3/{P}/monitoredResourceDescriptors", ""),
    ("monitoring.v1", "/monitoring", f"v1/{P}/dashboards", ""),
    ("cloudbilling.v1", "/billing", "v1/billingAccounts", ""),
    ("cloudbilling.v1", "/billing", f"v1/{P}/billingInfo", ""),
    ("cloudbilling.v1", "/billing", "v1/services", ""),
    ("cloudbilling.v1", "/billing", "v1/services/6F81-5844-456A/skus", ""),
    ("billingbudgets.v1", "/billingbudgets",
     "v1/billingAccounts/01A2B3-C4D5E6-F7A8B9/budgets", ""),
    ("bigquery.v2", "/bigquery", f"bigquery/v2/{P}/datasets", ""),
    ("bigquery.v2", "/bigquery", f"bigquery/v2/{P}/datasets/billing_export", ""),
    ("bigquery.v2", "/bigquery", f"bigquery/v2/{P}/datasets/billing_export/tables", ""),
    ("bigquery.v2", "/bigquery", f"bigquery/v2/{P}/datasets/billing_export/tables/{TABLE}", ""),
    ("bigquery.v2", "/bigquery",
     f"bigquery/v2/{P}/datasets/billing_export/tables/{TABLE}/data", "maxResults=2"),
    ("bigquery.v2", "/bigquery", f"bigquery/v2/{P}/jobs", ""),
)  # fmt: skip


@pytest.mark.parametrize(("document", "prefix", "path", "query"), CASES)
def test_reads(
    emulator: EmulatorProcess, document: str, prefix: str, path: str, query: str
) -> None:
    """Every read's body validates."""
    with urllib.request.urlopen(
        f"{emulator.rest_url}{prefix}/{path}?{query}", timeout=30
    ) as answer:
        body = json.load(answer)
    assert body
    assert response_problems(document, "GET", path, body) == []


@pytest.mark.parametrize("path", ["queries", "jobs"])
def test_queries(emulator: EmulatorProcess, path: str) -> None:
    """A query's answer and a job validate."""
    query = {"query": "SELECT 1 AS x, [STRUCT('a' AS b)] AS y", "useLegacySql": False}
    body: dict[str, Any] = query if path == "queries" else {"configuration": {"query": query}}
    request = urllib.request.Request(
        f"{emulator.rest_url}/bigquery/bigquery/v2/{P}/{path}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        found = json.load(answer)
    assert response_problems("bigquery.v2", "POST", f"bigquery/v2/{P}/{path}", found) == []
