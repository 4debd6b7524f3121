"""Logging: entries and the query language, sinks with their writers, log metrics."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud.logging_v2.types import logging_config

from emulator.apis.logging.query import compile_query
from emulator.wire.errors import ApiError
from tests.emulator.clients import PROJECT, make_client
from tests.emulator.platform.conftest import Rest
from tests.processes import EmulatorProcess

PARENT = f"projects/{PROJECT}"
DOCUMENT = ("logging.v2", "/logging")
DATASET = f"bigquery.googleapis.com/{PARENT}/datasets/logs"
ENTRY: Mapping[str, Any] = {
    "logName": f"{PARENT}/logs/app%2Fserver",
    "severity": "ERROR",
    "timestamp": "2026-11-21T10:00:00.123456789Z",
    "resource": {"type": "k8s_container", "labels": {"namespace_name": "small"}},
    "labels": {"k8s-pod/app": "server"},
    "jsonPayload": {"message": "HBM Out Of Memory", "tokens": 512, "ok": False,
                    "peers": [{"ip": "10.1.2.3"}, {"ip": "192.168.0.9"}]},
}  # fmt: skip


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        ("", True),
        ("severity=ERROR", True),
        ("severity>=WARNING", True),
        ("severity<error", False),
        ('resource.type="k8s_container" resource.labels.namespace_name=small', True),
        ('resource.type="k8s_container" AND NOT jsonPayload.message:memory', False),
        ("-severity=INFO", True),
        ('jsonPayload.message="hbm out of memory"', True),
        ('jsonPayload.message=~"Out .f"', True),
        ('jsonPayload.message!~"out .f"', True),
        ("jsonPayload.tokens>500", True),
        ("jsonPayload.tokens>1e3", False),
        ("jsonPayload.ok=false", True),
        ("jsonPayload.nothing:*", False),
        ("jsonPayload.tokens:*", True),
        ("json_payload.tokens=512", True),
        ('labels."k8s-pod/app"=server', True),
        ('timestamp>="2026-11-21T09:00:00+00:00" timestamp<"2026-11-22"', True),
        ('timestamp<"2026-11-21T10:00:00Z"', False),
        ("memory", True),
        ('"out of" -disk', True),
        ("disk", False),
        ('log_id("app/server")', True),
        ('log_id("other")', False),
        ('SEARCH("memory hbm")', True),
        ('ip_in_net(jsonPayload.peers.ip, "192.168.0.0/16")', True),
        ('ip_in_net(jsonPayload.peers.ip, "172.16.0.0/12")', False),
        ("severity=(INFO OR ERROR)", True),
        ("jsonPayload.message:(memory AND disk)", False),
        # OR binds closer than AND: (INFO or ERROR) and disk.
        ("severity=INFO OR severity=ERROR AND disk", False),
        ("severity=INFO -- a remark\nOR severity=ERROR", True),
    ],
)
def test_the_query_language(query: str, fits: bool) -> None:
    """As Google's documentation tells it, on one entry."""
    assert compile_query(query)(ENTRY) is fits


@pytest.mark.parametrize(
    "query",
    ["severity=", "(severity=ERROR", "AND", "severity=LOUD", "bogus.field=1", 'a="', "x=~", "f(1)",
     'jsonPayload.a=~"["', "timestamp>yesterday", "NOT", "(" * 60, "a,b",
     'ip_in_net(labels.a, "x")'],
)  # fmt: skip
def test_malformed_queries_are_refused(query: str) -> None:
    """With INVALID_ARGUMENT, whatever is wrong."""
    with pytest.raises(ApiError) as refused:
        compile_query(query)
    assert refused.value.code.name == "INVALID_ARGUMENT"


def _write(client: Any, log: str, *entries: Mapping[str, Any], **more: Any) -> None:
    client.write_log_entries(
        request={
            "log_name": f"{PARENT}/logs/{log}",
            "resource": {"type": "global"},
            "labels": {"run": "one"},
            "entries": list(entries),
            **more,
        }
    )


def test_entries_are_written_and_found(platform: EmulatorProcess) -> None:
    """Defaults are filled in; the order and the pages hold; a log is listed and deleted."""
    client = make_client("LoggingServiceV2Client", "grpc", platform)
    _write(client, "hw-a", *({"text_payload": f"line {i}", "severity": "INFO"} for i in range(5)))
    request = {
        "resource_names": [PARENT], "filter": 'log_id("hw-a") labels.run=one',
        "order_by": "timestamp desc", "page_size": 2,
    }  # fmt: skip
    found = list(client.list_log_entries(request=request))
    assert {e.text_payload for e in found} == {f"line {i}" for i in range(5)}
    assert len({e.insert_id for e in found}) == 5
    assert found[0].resource.labels["project_id"] == PROJECT
    assert found[0].timestamp >= found[-1].timestamp
    assert f"{PARENT}/logs/hw-a" in list(client.list_logs(parent=PARENT))
    client.delete_log(log_name=f"{PARENT}/logs/hw-a")
    assert list(client.list_log_entries(request=request)) == []
    with pytest.raises(exceptions.NotFound):
        client.delete_log(log_name=f"{PARENT}/logs/hw-a")


def test_bad_entries_are_refused(platform: EmulatorProcess) -> None:
    """All or, by partial success, the bad ones alone; a dry run writes nothing."""
    client = make_client("LoggingServiceV2Client", "grpc", platform)
    good, bad = {"text_payload": "good"}, {"text_payload": "bad", "resource": {"type": "moon"}}
    _write(client, "hw-b", good, dry_run=True)
    with pytest.raises(exceptions.InvalidArgument, match="moon"):
        _write(client, "hw-b", good, bad)
    with pytest.raises(exceptions.InvalidArgument):
        _write(client, "hw-b", good, bad, partial_success=True)
    future = {"text_payload": "x", "timestamp": {"seconds": int(time.time()) + 90_000}}
    for name, entry in (("hw b", good), ("hw-b", future)):
        with pytest.raises(exceptions.InvalidArgument):
            _write(client, name, entry)
    request = {"resource_names": [PARENT], "filter": 'log_id("hw-b")'}
    assert [e.text_payload for e in client.list_log_entries(request=request)] == ["good"]
    for wrong in ({"filter": "severity="}, {"order_by": "severity"}, {"resource_names": []},
                  {"resource_names": ["moon"]}):  # fmt: skip
        with pytest.raises(exceptions.InvalidArgument):
            client.list_log_entries(request={"resource_names": [PARENT], **wrong})
    with pytest.raises(exceptions.PermissionDenied):
        client.list_log_entries(request={"resource_names": ["projects/other"]})


def test_changes_leave_audit_entries(platform: EmulatorProcess, rest: Rest) -> None:
    """Who changed what, in the activity log, which nobody deletes."""
    metric = {"name": "hw-audited", "filter": "severity=ERROR"}
    rest(*DOCUMENT, "POST", f"v2/{PARENT}/metrics", metric)
    query = 'log_id("cloudaudit.googleapis.com/activity") protoPayload.resourceName:"hw-audited"'
    body = {"resourceNames": [PARENT], "filter": query, "orderBy": "timestamp desc"}
    (entry,) = rest(*DOCUMENT, "POST", "v2/entries:list", body)["entries"]
    assert entry["protoPayload"]["methodName"] == "logging.metric.created"
    log = f"v2/{PARENT}/logs/cloudaudit.googleapis.com%2Factivity"
    rest(*DOCUMENT, "DELETE", log, status=403)


def test_a_sinks_life(platform: EmulatorProcess) -> None:
    """Its writer is unique where asked and absent for an own log bucket; masks, refusals."""
    client = make_client("ConfigServiceV2Client", "grpc", platform)

    def create(name: str, destination: str, *, unique: bool = True) -> logging_config.LogSink:
        sink = {"name": name, "destination": destination, "filter": "severity>=ERROR"}
        return client.create_sink(
            request={"parent": PARENT, "sink": sink, "unique_writer_identity": unique}
        )

    made = create("hw-errors", DATASET)
    assert made.writer_identity == (
        "serviceAccount:service-482910573316@gcp-sa-logging.iam.gserviceaccount.com"
    )
    shared = create("hw-shared", "storage.googleapis.com/hw-logs", unique=False)
    assert shared.writer_identity.endswith("cloud-logs@system.gserviceaccount.com")
    bucket = f"logging.googleapis.com/{PARENT}/locations/global/buckets/_Default"
    assert create("hw-bucket", bucket).writer_identity == ""
    with pytest.raises(exceptions.AlreadyExists):
        create("hw-errors", DATASET)
    for name, destination in (("hw bad", DATASET), ("hw-bad", "bigquery.googleapis.com/x")):
        with pytest.raises(exceptions.InvalidArgument):
            create(name, destination)
    name = f"{PARENT}/sinks/hw-errors"
    update = {
        "sink_name": name, "sink": {"description": "d", "filter": "x"},
        "update_mask": {"paths": ["description"]},
    }  # fmt: skip
    changed = client.update_sink(request=update)
    assert (changed.description, changed.filter) == ("d", "severity>=ERROR")
    with pytest.raises(exceptions.InvalidArgument):
        client.update_sink(request={**update, "update_mask": {"paths": ["writer_identity"]}})
    names = [s.name for s in client.list_sinks(request={"parent": PARENT, "page_size": 2})]
    assert {"_Default", "_Required", "hw-errors", "hw-shared"} <= set(names)
    for sink in ("hw-errors", "hw-shared", "hw-bucket"):
        client.delete_sink(sink_name=f"{PARENT}/sinks/{sink}")
    with pytest.raises(exceptions.NotFound):
        client.get_sink(sink_name=name)
    with pytest.raises(exceptions.InvalidArgument):
        client.delete_sink(sink_name=f"{PARENT}/sinks/_Required")


def test_bodies_are_googles(rest: Rest) -> None:
    """Every call over REST, as gcloud makes them."""
    rest(*DOCUMENT, "POST", "v2/entries:write", {
        "entries": [{"logName": f"{PARENT}/logs/hw-rest", "resource": {"type": "global"},
                     "jsonPayload": {"a": 1}, "severity": "NOTICE"}],
    })  # fmt: skip
    body = {"resourceNames": [PARENT], "filter": "jsonPayload.a=1", "pageSize": 1}
    assert rest(*DOCUMENT, "POST", "v2/entries:list", body)["entries"][0]["severity"] == "NOTICE"
    rest(*DOCUMENT, "GET", f"v2/{PARENT}/logs")
    rest(*DOCUMENT, "DELETE", f"v2/{PARENT}/logs/hw-rest")
    rest(*DOCUMENT, "GET", "v2/monitoredResourceDescriptors")
    rest(*DOCUMENT, "GET", f"v2/{PARENT}/locations/global/buckets")
    rest(*DOCUMENT, "GET", f"v2/{PARENT}/locations/global/buckets/_Default")
    sinks = f"v2/{PARENT}/sinks"
    sink = {"name": "hw-rest", "destination": DATASET, "filter": "severity=ERROR"}
    rest(*DOCUMENT, "POST", sinks, sink, uniqueWriterIdentity="true")
    rest(*DOCUMENT, "GET", sinks)
    rest(*DOCUMENT, "PATCH", f"{sinks}/hw-rest", {"disabled": True}, updateMask="disabled")
    rest(*DOCUMENT, "PUT", f"{sinks}/hw-rest", sink)
    rest(*DOCUMENT, "PUT", f"{sinks}/hw-rest", sink, status=400, uniqueWriterIdentity="false")
    rest(*DOCUMENT, "POST", sinks, {"nonsense": 1}, status=400)
    rest(*DOCUMENT, "DELETE", f"{sinks}/hw-rest")
    rest(*DOCUMENT, "DELETE", f"{sinks}/hw-rest", status=404)
    bad = {"entries": [{"jsonPayload": 7}]}
    rest(*DOCUMENT, "POST", "v2/entries:write", bad, status=400)


def test_log_metrics(rest: Rest) -> None:
    """Google fills in the descriptor; names hold slashes; extractors must fit the labels."""
    path = f"v2/{PARENT}/metrics"
    made = rest(*DOCUMENT, "POST", path, {"name": "hw/oom", "filter": "out of memory"})
    descriptor = made["metricDescriptor"]
    assert descriptor["type"] == "logging.googleapis.com/user/hw/oom"
    assert (descriptor["metricKind"], descriptor["valueType"]) == ("DELTA", "INT64")
    rest(*DOCUMENT, "POST", path, {"name": "hw/oom", "filter": "x"}, status=409)
    one = f"{path}/hw%2Foom"
    assert rest(*DOCUMENT, "GET", one) == made
    latency = {
        "name": "hw/oom", "filter": "resource.type=k8s_container",
        "valueExtractor": "EXTRACT(jsonPayload.latency)",
        "labelExtractors": {"tier": 'REGEXP_EXTRACT(labels.tier, "(.*)")'},
        "metricDescriptor": {"metricKind": "DELTA", "valueType": "DISTRIBUTION", "unit": "ms",
                             "labels": [{"key": "tier", "valueType": "STRING"}]},
    }  # fmt: skip
    assert rest(*DOCUMENT, "PUT", one, latency)["createTime"] == made["createTime"]
    for change in (
        {"valueExtractor": "LATENCY"}, {"labelExtractors": {}}, {"filter": ""},
        {"filter": "severity="}, {"name": "other"},
    ):  # fmt: skip
        rest(*DOCUMENT, "PUT", one, {**latency, **change}, status=400)
    assert any(m["name"] == "hw/oom" for m in rest(*DOCUMENT, "GET", path)["metrics"])
    rest(*DOCUMENT, "DELETE", one)
    rest(*DOCUMENT, "GET", one, status=404)
