"""Pub/Sub over both wires with Google's clients: resources, refusals, pulls and streams."""

from __future__ import annotations

import threading
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.cloud import pubsub_v1
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from google.pubsub_v1.types import pubsub as types

from tests.emulator.clients import PROJECT, WIRES
from tests.emulator.side_services.pubsub_clients import Clients, P
from tests.processes import EmulatorProcess
from tests.waiting import wait_until


@pytest.mark.parametrize("wire", WIRES)
def test_topics_and_subscriptions(beside: EmulatorProcess, wire: str) -> None:
    """Made with Google's defaults, listed, changed by mask, detached, and left without a topic."""
    own = Clients(beside, wire, "life")
    publisher, subscriber = own.publisher, own.subscriber
    made = own.subscribe(labels={"team": "ops"}, filter='attributes.tier = "small"')
    assert (made.ack_deadline_seconds, made.state.name) == (10, "ACTIVE")
    assert made.message_retention_duration.total_seconds() == 604_800
    assert made.expiration_policy.ttl.total_seconds() == 2_678_400
    assert own.name in [s.name for s in subscriber.list_subscriptions(project=P)]
    assert own.topic in [t.name for t in publisher.list_topics(project=P)]
    assert list(publisher.list_topic_subscriptions(topic=own.topic)) == [own.name]
    changed = publisher.update_topic(
        topic={"name": own.topic, "labels": {"a": "b"},
               "message_retention_duration": {"seconds": 600}},
        update_mask={"paths": ["labels", "message_retention_duration"]},
    )  # fmt: skip
    assert publisher.get_topic(topic=own.topic) == changed
    found = subscriber.update_subscription(
        subscription={"name": own.name, "retry_policy": {}, "ack_deadline_seconds": 30},
        update_mask={"paths": ["retry_policy", "ack_deadline_seconds"]},
    )
    assert found.retry_policy.maximum_backoff.total_seconds() == 600
    assert found.topic_message_retention_duration.total_seconds() == 600
    own.publish(b"no", tier="large")
    (wanted,) = own.publish(b"yes", tier="small")
    (received,) = own.pull()
    assert (received.message.message_id, received.message.data) == (wanted, b"yes")
    snapshot = subscriber.create_snapshot(name=f"{P}/snapshots/life-{wire}", subscription=own.name)
    changed = subscriber.update_snapshot(
        snapshot={"name": snapshot.name, "labels": {"a": "b"}}, update_mask={"paths": ["labels"]}
    )
    assert subscriber.get_snapshot(snapshot=snapshot.name) == changed
    assert changed in list(subscriber.list_snapshots(project=P))
    assert list(publisher.list_topic_snapshots(topic=own.topic)) == [snapshot.name]
    subscriber.seek(request={"subscription": own.name, "snapshot": snapshot.name})
    assert [r.message.data for r in own.pull()] == [b"yes"]
    subscriber.delete_snapshot(snapshot=snapshot.name)
    publisher.delete_topic(topic=own.topic)
    assert subscriber.get_subscription(subscription=own.name).topic == "_deleted-topic_"
    publisher.detach_subscription(request={"subscription": own.name})
    with pytest.raises(exceptions.FailedPrecondition if wire == "grpc" else exceptions.BadRequest,
                       match="detached"):  # fmt: skip
        own.pull()
    subscriber.delete_subscription(subscription=own.name)
    with pytest.raises(exceptions.NotFound, match=rf"Resource not found \(resource=life-{wire}\)"):
        subscriber.get_subscription(subscription=own.name)


_TOPIC: dict[str, Any] = {"name": f"{P}/topics/bad"}
_SUB: dict[str, Any] = {"name": f"{P}/subscriptions/bad", "topic": f"{P}/topics/bad-grpc"}
REFUSED = [
    ("create_topic", {"name": f"{P}/topics/goog-x"}, "Invalid resource name given"),
    ("create_topic", {**_TOPIC, "labels": {"Upper": "x"}}, "does not conform"),
    ("create_topic", {**_TOPIC, "message_retention_duration": {"seconds": 599}},
     "You passed 9m59s in the request, but the value must be between 10m and 744h"),
    ("create_topic", {**_TOPIC, "schema_settings": {"schema": f"{P}/schemas/s"}},
     "Resource not found .resource=s"),
    ("create_topic", {**_TOPIC, "kms_key_name": "k"}, "argument=kms_key_name"),
    ("create_subscription", {**_SUB, "topic": f"{P}/topics/nowhere"}, "resource=nowhere"),
    ("create_subscription", {**_SUB, "ack_deadline_seconds": 9}, "between 10 and 600 seconds"),
    ("create_subscription", {**_SUB, "expiration_policy": {"ttl": {"seconds": 3600}}},
     "You passed 1h in the request, but the minimum value is 24h"),
    ("create_subscription", {**_SUB, "filter": "x"}, "Invalid filter"),
    ("create_subscription", {**_SUB, "push_config": {"push_endpoint": "http://example.com"}},
     "Invalid push endpoint given"),
    ("create_subscription", {**_SUB, "dead_letter_policy": {
        "dead_letter_topic": f"{P}/topics/bad-grpc", "max_delivery_attempts": 4}},
     "between 5 and 100"),
    ("create_subscription", {**_SUB, "bigquery_config": {"table": f"{PROJECT}.no.table"}},
     "Table not found"),
    ("create_subscription", {**_SUB, "cloud_storage_config": {"bucket": "b"}}, "not implement"),
    ("publish", {"topic": f"{P}/topics/bad-grpc"}, "minimum value is 1"),
    ("publish", {"topic": f"{P}/topics/bad-grpc", "messages": [{}]}, "must contain either"),
    ("publish", {"topic": f"{P}/topics/bad-grpc", "messages": [
        {"data": b"a", "ordering_key": "a"}, {"data": b"a"}]}, "same ordering key"),
    ("pull", {"subscription": f"{P}/subscriptions/bad", "max_messages": 0}, "max_messages"),
    ("update_subscription", {"subscription": {"name": f"{P}/subscriptions/bad-grpc"},
                             "update_mask": {"paths": ["filter"]}},
     "the 'filter' field in the Subscription is not mutable"),
]  # fmt: skip


def test_what_is_refused(beside: EmulatorProcess) -> None:
    """In Google's words, whatever the wire."""
    own = Clients(beside, "grpc", "bad")
    own.subscribe()
    for name, request, words in REFUSED:
        client = own.publisher if hasattr(own.publisher, name) else own.subscriber
        with pytest.raises(exceptions.GoogleAPICallError, match=words):
            getattr(client, name)(request=request)
    with pytest.raises(exceptions.AlreadyExists, match=r"in the project \(resource=bad-grpc\)"):
        own.publisher.create_topic(name=own.topic)


def test_a_pull_waits_for_what_is_published(beside: EmulatorProcess) -> None:
    """And takes it with it; nobody else gets it meanwhile."""
    own = Clients(beside, "rest", "waiting")
    own.subscribe()
    received: list[types.ReceivedMessage] = []
    thread = threading.Thread(target=lambda: received.extend(own.pull()))
    thread.start()
    own.publish(b"now")
    thread.join(timeout=30)
    assert [r.message.data for r in received] == [b"now"]
    own.subscriber.modify_ack_deadline(
        subscription=own.name, ack_ids=[received[0].ack_id], ack_deadline_seconds=0
    )
    (again,) = own.pull()
    own.subscriber.acknowledge(subscription=own.name, ack_ids=[again.ack_id])


@pytest.mark.parametrize("exactly", [False, True])
def test_streams(beside: EmulatorProcess, exactly: bool) -> None:
    """Google's subscriber gets every message once, in the order of its key, and confirms it."""
    own = Clients(beside, "grpc", f"stream-{exactly}".lower())
    own.subscribe(enable_message_ordering=True, enable_exactly_once_delivery=exactly)
    channel = grpc.insecure_channel(beside.grpc_target)
    subscriber = pubsub_v1.SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
    got: list[bytes] = []
    answers: list[Any] = []

    def take(message: Any) -> None:
        got.append(message.data)
        answers.append(message.ack_with_response())

    # However busy the machine is, no lease ends before its message is acknowledged.
    leases = pubsub_v1.types.FlowControl(min_duration_per_lease_extension=600)
    stream = subscriber.subscribe(own.name, callback=take, flow_control=leases)
    try:
        for start in (0, 20):
            messages = [{"data": b"%d" % n, "ordering_key": "k"} for n in range(start, start + 20)]
            own.publisher.publish(topic=own.topic, messages=messages)
        wait_until(lambda: len(answers) == 40)
        assert {a.result(timeout=30).name for a in answers} == {"SUCCESS"}
    finally:
        stream.cancel()
        stream.result(timeout=30)
    assert got == [b"%d" % n for n in range(40)]
    request = types.PullRequest(subscription=own.name, max_messages=1, return_immediately=True)
    assert not own.subscriber.pull(request=request).received_messages
