"""Where Pub/Sub's messages go and come from: endpoints, BigQuery's tables, sinks of Logging."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from google.api_core import exceptions

from tests.emulator.clients import HTTP, PROJECT
from tests.emulator.side_services.pubsub_clients import Clients, P
from tests.processes import EmulatorProcess
from tests.waiting import wait_until

AGENT = "serviceAccount:service-482910573316@gcp-sa-pubsub.iam.gserviceaccount.com"


@contextmanager
def endpoint(statuses: list[int]) -> Iterator[tuple[str, list[Any]]]:
    """An address that answers with those statuses, then with 204; what it was sent."""
    got: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append((dict(self.headers), body))
            self.send_response(statuses.pop(0) if statuses else 204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/push?a=b", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_endpoints(beside: EmulatorProcess) -> None:
    """A loopback endpoint gets the message in Google's envelope until it takes it, or the bare
    data; who pulls from such a subscription is refused.
    """
    own = Clients(beside, "rest", "push")
    with endpoint([500]) as (address, got):
        own.subscribe(push_config={"push_endpoint": address})
        (wanted,) = own.publish(b"hello", a="b")
        wait_until(lambda: len(got) == 2)
        first, second = (json.loads(body) for _, body in got)
        assert first == second
        assert first["subscription"] == own.name
        assert base64.b64decode(first["message"]["data"]) == b"hello"
        assert first["message"]["attributes"] == {"a": "b"}
        assert first["message"]["messageId"] == first["message"]["message_id"] == wanted
        with pytest.raises(exceptions.BadRequest, match="not supported for this subscription"):
            own.pull()
        bare = {"push_endpoint": address, "no_wrapper": {"write_metadata": True}}
        own.subscriber.modify_push_config(subscription=own.name, push_config=bare)
        (wanted,) = own.publish(b"bare")
        wait_until(lambda: len(got) == 3)
        headers = {k.lower(): v for k, v in got[2][0].items()}
        assert (got[2][1], headers["x-goog-pubsub-message-id"]) == (b"bare", wanted)
    own.subscriber.modify_push_config(subscription=own.name, push_config={})
    own.publish(b"pulled")
    assert own.pull()[-1].message.data == b"pulled"


def _table(beside: EmulatorProcess, name: str, fields: list[dict[str, str]]) -> str:
    """Make a table; its address."""
    place = f"{beside.rest_url}/bigquery/bigquery/v2/{P}/datasets"
    HTTP.post(place, json={"datasetReference": {"datasetId": "messages"}})
    body = {"tableReference": {"tableId": name}, "schema": {"fields": fields}}
    HTTP.post(f"{place}/messages/tables", json=body).raise_for_status()
    return f"{place}/messages/tables/{name}"


def _rows(address: str) -> list[list[Any]]:
    rows = HTTP.get(f"{address}/data").json().get("rows", [])
    return [[cell["v"] for cell in row["f"]] for row in rows]


def _grant(beside: EmulatorProcess, *roles: str) -> None:
    """Have the project's policy give Pub/Sub's account those roles and no others."""
    place = f"{beside.rest_url}/cloudresourcemanager/v3/{P}"
    policy = HTTP.post(f"{place}:getIamPolicy", json={}).json()
    kept = [b for b in policy["bindings"] if AGENT not in b["members"]]
    policy["bindings"] = kept + [{"role": f"roles/{r}", "members": [AGENT]} for r in roles]
    HTTP.post(f"{place}:setIamPolicy", json={"policy": policy}).raise_for_status()


def test_messages_become_rows(beside: EmulatorProcess) -> None:
    """With the rest of the message beside it; while the table does not take them the subscription
    says why and keeps them.
    """
    fields = [{"name": "data", "type": "STRING"}, {"name": "subscription_name", "type": "STRING"},
              {"name": "message_id", "type": "STRING"}, {"name": "attributes", "type": "JSON"},
              {"name": "publish_time", "type": "TIMESTAMP"}]  # fmt: skip
    address = _table(beside, "raw", fields)
    own = Clients(beside, "grpc", "rows")
    config = {"table": f"{PROJECT}.messages.raw", "write_metadata": True}
    with pytest.raises(exceptions.PermissionDenied, match=r"bigquery\.tables\.updateData"):
        own.subscribe(bigquery_config=config)
    _grant(beside, "bigquery.dataEditor")
    made = own.subscribe(bigquery_config=config)
    assert (made.state.name, made.bigquery_config.state.name) == ("ACTIVE", "ACTIVE")
    (wanted,) = own.publish(b"hello", a="b")
    (row,) = _rows(address)
    assert row[:4] == ["hello", own.name, wanted, '{"a": "b"}']
    _grant(beside)
    assert _state(own) == ("RESOURCE_ERROR", "PERMISSION_DENIED")
    _grant(beside, "bigquery.dataEditor")
    HTTP.delete(address)
    assert _state(own) == ("RESOURCE_ERROR", "NOT_FOUND")
    own.publish(b"kept")
    _table(beside, "raw", [{"name": "data", "type": "INTEGER"}])
    assert _state(own) == ("RESOURCE_ERROR", "SCHEMA_MISMATCH")
    HTTP.delete(address)
    _table(beside, "raw", fields)
    wait_until(lambda: _rows(address))
    assert _rows(address)[0][0] == "kept"
    regions = {"allowed_persistence_regions": ["europe-west4"], "enforce_in_transit": True}
    own.publisher.update_topic(
        topic={"name": own.topic, "message_storage_policy": regions},
        update_mask={"paths": ["message_storage_policy"]},
    )
    assert _state(own) == ("RESOURCE_ERROR", "IN_TRANSIT_LOCATION_RESTRICTION")


def _state(own: Clients) -> tuple[str, str]:
    found = own.subscriber.get_subscription(subscription=own.name)
    return found.state.name, found.bigquery_config.state.name


def test_fields_of_a_message_become_columns(beside: EmulatorProcess) -> None:
    """With the table's schema; a field that it has not is dropped, or keeps the message waiting, as
    does what cannot be read.
    """
    address = _table(beside, "fields", [{"name": "n", "type": "INTEGER"},
                                        {"name": "s", "type": "STRING"}])  # fmt: skip
    _grant(beside, "bigquery.dataEditor")
    own = Clients(beside, "rest", "fields")
    config = {"table": f"{PROJECT}.messages.fields", "use_table_schema": True}
    own.subscribe(bigquery_config=config)
    own.publish(b'{"n": 1, "s": "a"}', b"no JSON", b"[" * 9999, b'{"n": 2, "more": 3}')
    assert _rows(address) == [["1", "a"]]
    own.subscriber.update_subscription(
        subscription={"name": own.name, "bigquery_config": {**config, "drop_unknown_fields": True}},
        update_mask={"paths": ["bigquery_config"]},
    )
    wait_until(lambda: ["2", None] in _rows(address))
    assert len(_rows(address)) == 2


def test_logs_are_published(beside: EmulatorProcess) -> None:
    """What a sink to a topic lets through, of written entries and of the audit log, once the sink's
    account may publish.
    """
    own = Clients(beside, "grpc", "logs")
    own.subscribe()
    body = {"name": "to-topic", "destination": f"pubsub.googleapis.com/{own.topic}",
            "filter": 'severity>=ERROR OR protoPayload.methodName="pubsub.topic.created"',
            "exclusions": [{"name": "not", "filter": 'textPayload="secret"'}]}  # fmt: skip
    sinks = f"{beside.rest_url}/logging/v2/{P}/sinks"
    made = HTTP.post(f"{sinks}?uniqueWriterIdentity=true", json=body).raise_for_status().json()

    def write(severity: str, text: str) -> None:
        entry = {"logName": f"{P}/logs/app", "resource": {"type": "global"},
                 "severity": severity, "textPayload": text}  # fmt: skip
        address = f"{beside.rest_url}/logging/v2/entries:write"
        HTTP.post(address, json={"entries": [entry]}).raise_for_status()

    write("ERROR", "nobody may")
    bindings = [{"role": "roles/pubsub.publisher", "members": [made["writerIdentity"]]}]
    request = {"resource": own.topic, "policy": {"bindings": bindings}}
    own.publisher.set_iam_policy(request=request)
    assert own.publisher.get_iam_policy(request={"resource": own.topic}).bindings
    asked = {"resource": own.topic, "permissions": ["pubsub.topics.publish"]}
    assert own.publisher.test_iam_permissions(request=asked).permissions
    for severity, text in (("INFO", "calm"), ("ERROR", "secret"), ("ERROR", "seen")):
        write(severity, text)
    own.publisher.create_topic(name=f"{P}/topics/audited")
    found = [json.loads(r.message.data) for r in own.pull()]
    assert [f.get("textPayload") for f in found] == ["seen", None]
    assert found[1]["protoPayload"]["resourceName"] == f"{P}/topics/audited"
    HTTP.delete(f"{sinks}/to-topic").raise_for_status()
