"""Calls beyond Compute that few people make: each answers in Google's shape and takes effect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.emulator.clients import LOCATION, PROJECT
from tests.processes import EmulatorProcess

P = f"projects/{PROJECT}"
ACCOUNT = "billingAccounts/01A2B3-C4D5E6-F7A8B9"


class Rest:
    """Plain REST; what is said is held against Google's documents when the session ends."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def __call__(self, verb: str, path: str, body: Any = None) -> Any:
        """The JSON answer of a call that must succeed."""
        answer = self._client.request(verb, f"/{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None


@pytest.fixture
def rest(living: EmulatorProcess) -> Iterator[Rest]:
    """On an emulator that may be changed."""
    with httpx.Client(base_url=living.rest_url, timeout=30) as client:
        yield Rest(client)


def test_models_and_their_operations(rest: Rest) -> None:
    """A model is renamed; its operation is waited for, read, cancelled in vain and forgotten."""
    begun = rest(
        "POST",
        f"aiplatform/v1/{LOCATION}/models:upload",
        {
            "model": {
                "displayName": "seldom",
                "containerSpec": {"imageUri": "us-docker.pkg.dev/p/r/vllm:1"},
            }
        },
    )
    name = begun["name"]
    ended = rest("POST", f"aiplatform/v1/{name}:wait?timeout=20s")
    assert ended["done"]
    model = ended["response"]["model"]
    path = f"aiplatform/v1/{model}?updateMask=displayName"
    assert rest("PATCH", path, {"displayName": "renamed"})["displayName"] == "renamed"
    rest("POST", f"aiplatform/v1/{name}:cancel", {})
    assert rest("GET", f"aiplatform/v1/{name}")["done"]
    rest("DELETE", f"aiplatform/v1/{name}")


def test_nodes_operations(rest: Rest) -> None:
    """A TPU's operation is cancelled in vain once it has ended, and forgotten."""
    zone = f"tpu/v2/{P}/locations/us-central1-b"
    begun = rest(
        "POST",
        f"{zone}/nodes?nodeId=seldom",
        {"acceleratorType": "v6e-8", "runtimeVersion": "v2-alpha-tpuv6e"},
    )
    rest("POST", f"tpu/v2/{begun['name']}:cancel", {})
    rest("DELETE", f"tpu/v2/{begun['name']}")
    found = rest("GET", f"{zone}/operations").get("operations", [])
    assert begun["name"] not in [operation["name"] for operation in found]


def test_tables_are_replaced_and_deleted(rest: Rest) -> None:
    """BigQuery's whole replacements, its list of projects, and a job that is forgotten."""
    assert rest("GET", "bigquery/v2/projects")["projects"][0]["id"] == PROJECT
    sets = f"bigquery/v2/{P}/datasets"
    reference = {"projectId": PROJECT, "datasetId": "seldom"}
    rest("POST", sets, {"datasetReference": reference})
    rest("PUT", f"{sets}/seldom", {"datasetReference": reference, "description": "anew"})
    assert rest("GET", f"{sets}/seldom")["description"] == "anew"
    schema = {"fields": [{"name": "n", "type": "INTEGER"}]}
    table = {"tableReference": {**reference, "tableId": "t"}, "schema": schema}
    rest("POST", f"{sets}/seldom/tables", table)
    rest("PUT", f"{sets}/seldom/tables/t", table | {"description": "anew"})
    assert rest("GET", f"{sets}/seldom/tables/t")["description"] == "anew"
    rest("DELETE", f"{sets}/seldom/tables/t")
    rest("DELETE", f"{sets}/seldom")
    asked = {"configuration": {"query": {"query": "SELECT 1", "useLegacySql": False}}}
    job = rest("POST", f"bigquery/v2/{P}/jobs", asked)["jobReference"]
    rest("DELETE", f"bigquery/v2/{P}/jobs/{job['jobId']}/delete?location={job['location']}")


def test_buckets_and_objects_are_replaced(rest: Rest) -> None:
    """Storage's whole replacements, and an object that is moved inside a bucket."""
    rest(
        "POST",
        f"storage/v1/b?project={PROJECT}",
        {
            "name": "seldom-bucket",
            "iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}},
        },
    )
    bucket = rest("PUT", "storage/v1/b/seldom-bucket", {"labels": {"a": "b"}})
    assert bucket["labels"] == {"a": "b"}
    rest("POST", "upload/storage/v1/b/seldom-bucket/o?uploadType=media&name=one", {})
    o = "storage/v1/b/seldom-bucket/o"
    rest("PUT", f"{o}/one", {"metadata": {"a": "b"}, "contentType": "application/json"})
    assert rest("POST", f"{o}/one/moveTo/o/two")["metadata"] == {"a": "b"}
    assert [item["name"] for item in rest("GET", o)["items"]] == ["two"]


def test_accounts_descriptors_and_tokens(rest: Rest) -> None:
    """What is read seldom."""
    assert rest("GET", f"billing/v1/{ACCOUNT}")["open"]
    projects = rest("GET", f"billing/v1/{ACCOUNT}/projects")["projectBillingInfo"]
    assert [p["projectId"] for p in projects] == [PROJECT]
    found = rest("GET", f"monitoring/v3/{P}/monitoredResourceDescriptors/k8s_container")
    assert "pod_name" in [label["key"] for label in found["labels"]]
    account = rest("POST", f"iam/v1/{P}/serviceAccounts", {"accountId": "seldom-account"})
    token = rest("POST", f"iamcredentials/v1/projects/-/serviceAccounts/{account['email']}"
                 ":generateAccessToken",
                 {"scope": ["https://www.googleapis.com/auth/cloud-platform"]})  # fmt: skip
    assert token["accessToken"]
    rest("GET", f"serviceusage/v1/operations?filter={P}")
    made = rest(
        "POST",
        f"monitoring/v3/{P}/services?serviceId=seldom",
        {"displayName": "seldom", "custom": {}},
    )
    assert rest("GET", f"monitoring/v3/{made['name']}") == made
