"""What Pub/Sub does as time goes by, on a clock that the test moves; and all of it made again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.pubsub_v1.types import pubsub as types

from emulator.apis.monitoring.sources.subscriptions import backlog_blocks
from emulator.apis.monitoring.telemetry import Telemetry
from emulator.apis.pubsub import broker, build
from emulator.apis.pubsub.exports import service_agent
from emulator.apis.pubsub.push import Pushing
from emulator.context import Cloud, make_cloud
from emulator.journal.file import Appender, Reader
from emulator.journal.http import Loop
from emulator.journal.replay import Replay
from emulator.settings import Settings
from emulator.wire.call import Call, invoke
from emulator.wire.errors import ApiError
from emulator.wire.mount import Mount

P = "projects/heartwood-demo"
TOPIC, DEAD, SUB, LOST = (f"{P}/topics/t-one", f"{P}/topics/t-dead",
                          f"{P}/subscriptions/s-one", f"{P}/subscriptions/s-lost")  # fmt: skip
_WAITING, _AGE = "num_undelivered_messages", "oldest_unacked_message_age"
_BEGAN = 1_795_000_020.0


class Project:
    """An emulator's Pub/Sub in this process, its journal a file, its clock ours."""

    def __init__(self, journal: Path) -> None:
        self.now = _BEGAN
        self.cloud: Cloud = make_cloud(Settings(scenario="empty-project"), _BEGAN)
        self.cloud.clock.wall = lambda: self.now
        self.mounts: list[Mount] = build(self.cloud)
        self.cloud.changes.serve(self.mounts)
        self.journal = journal
        self.methods = {m.name: (mount, m) for mount in self.mounts for m in mount.methods()}

    def write(self) -> None:
        """From now on changes are written down."""
        self.cloud.changes.journal = Appender(self.journal, 0)

    def __call__(self, name: str, request: Any) -> Any:
        """Call a method as the wires do."""
        self.now += 0.001
        mount, method = self.methods[name]
        return invoke(self.cloud, mount.handler, request, Call("grpc", method, {}))

    def pull(self, name: str = SUB, most: int = 100) -> list[types.ReceivedMessage]:
        """What is there at once."""
        asked = types.PullRequest(subscription=name, max_messages=most, return_immediately=True)
        return list(self("pull", asked).received_messages)

    def data(self, name: str = SUB, most: int = 100) -> list[str]:
        """The same, the messages' data alone."""
        return [r.message.data.decode() for r in self.pull(name, most)]

    def publish(self, *texts: str, topic: str = TOPIC, key: str = "", **attributes: str) -> None:
        """Publish one message per text."""
        messages = [{"data": t.encode(), "ordering_key": key, "attributes": attributes}
                    for t in texts]  # fmt: skip
        self("publish", types.PublishRequest(topic=topic, messages=messages))

    def subscribe(self, name: str = SUB, topic: str = TOPIC, **more: Any) -> None:
        """Make a subscription."""
        self("create_subscription", types.Subscription(name=name, topic=topic, **more))

    def nack(self, received: list[types.ReceivedMessage], deadline_s: int = 0) -> None:
        """Give messages back, or have them for longer."""
        self("modify_ack_deadline", types.ModifyAckDeadlineRequest(
            subscription=SUB, ack_ids=[r.ack_id for r in received],
            ack_deadline_seconds=deadline_s))  # fmt: skip

    def ack(self, received: list[types.ReceivedMessage], name: str = SUB) -> None:
        """Acknowledge messages."""
        ids = [r.ack_id for r in received]
        self("acknowledge", types.AcknowledgeRequest(subscription=name, ack_ids=ids))


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """With one topic; what it was is made again at the end, and is the same."""
    made = Project(tmp_path / "journal")
    made.write()
    made("create_topic", types.Topic(name=TOPIC))
    yield made
    again = Project(tmp_path / "other")
    records = list(Reader(made.journal).records())
    done = Replay(again.cloud, again.mounts, {}, Loop(), tmp_path).run(records)
    again.now = made.now
    again.cloud.operations.settle()
    assert (done.changes, done.otherwise) == (len(records), 0)
    assert state(again.cloud) == state(made.cloud)


def state(cloud: Cloud) -> Mapping[str, Any]:
    """All of Pub/Sub's that a later call depends on."""
    found = build(cloud)[1].handler._state  # type: ignore[attr-defined]
    found.settle()
    return {
        "topics": {n: (t.message, list(t.kept)) for n, t in found.topics.items()},
        "subscriptions": {n: (s.message, s.active_at, s.backlog.unacked, s.backlog.retained,
                              s.backlog.history) for n, s in found.subscriptions.items()},
        "snapshots": {n: (s.message, s.held) for n, s in found.snapshots.items()},
        "messages": found.messages,
    }  # fmt: skip


def test_what_is_not_acknowledged_comes_again(project: Project) -> None:
    """After the deadline, at once when given back, later when it was extended; never once it is
    acknowledged, by whichever handing-out.
    """
    project.subscribe(ack_deadline_seconds=20)
    project.publish("a", "b")
    first = project.pull()
    assert [r.delivery_attempt for r in first] == [0, 0]
    project.now += 19
    assert project.pull() == []
    project.nack(first[1:], 60)
    project.now += 2
    assert project.data() == ["a"]
    project.ack(first[:1])  # late, and yet it counts
    project.now += 30
    assert project.pull() == []
    project.now += 40
    again = project.pull()
    assert [r.message.message_id for r in again] == [first[1].message.message_id]
    project.nack(again)
    assert project.data() == ["b"]


def test_exactly_once_tells_what_came_too_late(project: Project) -> None:
    """An ack id of a handing-out that has ended is refused, the others of the call count."""
    project.subscribe(enable_exactly_once_delivery=True)
    project.publish("a", "b")
    first = project.pull(most=1)
    project.now += 11
    late, fresh = project.pull()
    with pytest.raises(ApiError, match="ids in the request were invalid") as caught:
        project.ack([*first, fresh])
    assert dict(caught.value.details[0].metadata) == {  # type: ignore[attr-defined]
        first[0].ack_id: "PERMANENT_FAILURE_INVALID_ACK_ID"}  # fmt: skip
    project.now += 11
    assert project.data() == [late.message.data.decode()]


def test_backoff_grows(project: Project) -> None:
    """A retry policy's pause doubles with each handing-out, up to its maximum."""
    policy = types.RetryPolicy(minimum_backoff={"seconds": 10}, maximum_backoff={"seconds": 30})
    project.subscribe(retry_policy=policy)
    project.publish("a")
    for pause_s in (10, 20, 30, 30):
        project.nack(project.pull())
        project.now += pause_s - 0.5
        assert project.pull() == []
        project.now += 0.5


def test_messages_with_a_key_keep_their_order(project: Project) -> None:
    """None before an earlier one of its key is done; when one comes again, all behind it do."""
    project.subscribe(enable_message_ordering=True)
    project.publish("a1", "a2", "a3", key="a")
    project.publish("b1", key="b")
    first = project.pull(most=2)
    assert [r.message.data for r in first] == [b"a1", b"a2"]
    assert project.data() == ["b1"]
    project.nack(first[:1])
    assert project.data() == ["a1", "a2", "a3"]


def test_dead_letters(project: Project) -> None:
    """After five handings-out, by deadline or given back, if Pub/Sub's account may."""
    project("create_topic", types.Topic(name=DEAD))
    project.subscribe(LOST, DEAD)
    project.subscribe(dead_letter_policy={"dead_letter_topic": DEAD})
    project.publish("a", colour="red")
    for attempt in range(1, 6):
        assert [r.delivery_attempt for r in project.pull()] == [attempt]
        project.now += 11
    assert project.pull(LOST) == []  # it may not
    agent = f"serviceAccount:{service_agent(project.cloud)}"
    for name, role in ((DEAD, "publisher"), (SUB, "subscriber")):
        bindings = [policy_pb2.Binding(role=f"roles/pubsub.{role}", members=[agent])]
        policy = policy_pb2.Policy(bindings=bindings)
        asked = iam_policy_pb2.SetIamPolicyRequest(resource=name, policy=policy)
        project("set_iam_policy", asked)
    assert [r.delivery_attempt for r in project.pull()] == [6]
    project.now += 11
    (dead,) = project.pull(LOST)
    assert dead.message.data == b"a"
    assert dead.message.attributes["colour"] == "red"
    assert dead.message.attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "6"
    assert dead.message.attributes["CloudPubSubDeadLetterSourceSubscription"] == "s-one"
    assert project.pull() == []


def test_seeking_goes_back_and_forth(project: Project) -> None:
    """To a time, among what is retained; to a snapshot, with all that came since."""
    project.subscribe(retain_acked_messages=True)
    project.publish("a")
    project.now += 60
    middle = project.now
    project.publish("b")
    project.ack(project.pull(most=1))
    snapshot = f"{P}/snapshots/p-one"
    project("create_snapshot", types.CreateSnapshotRequest(name=snapshot, subscription=SUB))
    project.now += 60
    project.publish("c")
    project.ack(project.pull())
    seconds = {"seconds": int(middle)}
    project("seek", types.SeekRequest(subscription=SUB, time=seconds))
    assert project.data() == ["b", "c"]
    project("seek", types.SeekRequest(subscription=SUB, time={"seconds": int(_BEGAN)}))
    assert project.data() == ["a", "b", "c"]
    project("seek", types.SeekRequest(subscription=SUB, snapshot=snapshot))
    assert project.data() == ["b", "c"]
    ahead = {"seconds": int(project.now) + 100}
    project("seek", types.SeekRequest(subscription=SUB, time=ahead))
    project.publish("d")
    assert project.pull() == []
    project.now += 200
    project.publish("e")
    assert project.data() == ["e"]


def test_a_topic_keeps_messages_for_those_who_come_later(project: Project) -> None:
    """What was published before a subscription was made is there once it seeks back."""
    project("update_topic", types.UpdateTopicRequest(
        topic={"name": TOPIC, "message_retention_duration": {"seconds": 3600}},
        update_mask={"paths": ["message_retention_duration"]}))  # fmt: skip
    project.publish("a")
    project.now += 3000
    project.publish("b")
    project.subscribe()
    assert project.pull() == []
    project.now += 1000
    project("seek", types.SeekRequest(subscription=SUB, time={"seconds": int(_BEGAN)}))
    assert project.data() == ["b"]


def test_time_ends_messages_snapshots_and_subscriptions(project: Project) -> None:
    """A message after its retention, a snapshot seven days after the oldest message that it holds,
    a subscription when nobody used it for its ttl; none comes back with its namesake's policy.
    """
    day = 86_400
    expiring: dict[str, Any] = {"expiration_policy": {"ttl": {"seconds": 2 * day}},
                                "message_retention_duration": {"seconds": day}}  # fmt: skip
    project.subscribe(**expiring)
    binding = policy_pb2.Binding(role="roles/pubsub.viewer", members=["user:a@example.com"])
    project("set_iam_policy", iam_policy_pb2.SetIamPolicyRequest(
        resource=SUB, policy=policy_pb2.Policy(bindings=[binding])))  # fmt: skip
    project.publish("a")
    project.now += day / 2
    snapshot = f"{P}/snapshots/p-one"
    made = project("create_snapshot", types.CreateSnapshotRequest(name=snapshot, subscription=SUB))
    assert made.expire_time.timestamp() == pytest.approx(_BEGAN + 7 * day, abs=2)
    for path in ("expire_time", "expire_time.seconds"):
        late = types.Snapshot(name=snapshot, expire_time={"seconds": int(_BEGAN) + 9 * day})
        with pytest.raises(ApiError, match="expire_time"):
            project("update_snapshot", types.UpdateSnapshotRequest(
                snapshot=late, update_mask={"paths": [path]}))  # fmt: skip
    project.now += day / 2 + 1
    assert project.pull() == []  # which is a use of it
    project.now += 2 * day - 10
    project("get_subscription", types.GetSubscriptionRequest(subscription=SUB))
    project.now += 20
    with pytest.raises(ApiError, match=r"Resource not found \(resource=s-one\)"):
        project("get_subscription", types.GetSubscriptionRequest(subscription=SUB))
    project.subscribe()
    asked = iam_policy_pb2.GetIamPolicyRequest(resource=SUB)
    assert not project("get_iam_policy", asked).bindings
    project.now = _BEGAN + 7 * day + 5
    with pytest.raises(ApiError, match=r"Resource not found \(resource=p-one\)"):
        project("get_snapshot", types.GetSnapshotRequest(snapshot=snapshot))


def test_there_is_room_for_so_much(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attributes take as much as data does; what is acknowledged makes room again."""
    monkeypatch.setattr(broker, "_MOST_BYTES", 20_000)
    project.subscribe()
    large = {f"a{n}": "v" * 1000 for n in range(10)}
    project.publish("a", **large)
    with pytest.raises(ApiError, match="of messages in all backlogs"):
        project.publish("b", **large)
    project.ack(project.pull())
    project.publish("c", **large)
    assert project.data() == ["c"]


def test_what_waits_is_a_metric(project: Project) -> None:
    """How many messages and how old the oldest is, minute by minute; nothing before there was a
    subscription.
    """
    minute = int(_BEGAN // 60)
    project.now = 60.0 * minute + 30
    project.subscribe()
    project.publish("a", "b")
    project.now += 120
    project.ack(project.pull(most=1))
    telemetry = Telemetry(project.cloud)
    minutes = np.arange(minute, minute + 4)
    found = {n: backlog_blocks(telemetry, n)[0] for n in (_WAITING, _AGE)}
    assert found[_WAITING].basis(minutes).tolist() == [[2, 2, 1, 1]]
    assert found[_AGE].basis(minutes).tolist() == [[29, 89, 149, 209]]
    assert (found[_AGE].gaps[0].end, found[_AGE].labels.columns["resource.subscription_id"].at(0)) \
        == (60.0 * minute, "s-one")  # fmt: skip


def test_nothing_is_sent_elsewhere(project: Project) -> None:
    """A message for an endpoint that is not on this machine stays, even if it was one on this
    machine when it was the subscription's turn.
    """
    project.subscribe(push_config={"push_endpoint": "https://elsewhere.example/"})
    project.publish("a")
    subscriber: Any = project.mounts[1].handler
    (found,) = subscriber._state.subscriptions.values()
    Pushing(project.cloud, subscriber, {n: m for n, (_, m) in project.methods.items()})._send(found)
    assert [d.attempts for d in found.backlog.unacked.values()] == [0]
