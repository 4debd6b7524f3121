"""Carries messages: from a publisher to every subscription, to BigQuery, to dead letters.

Changes happen under the cloud's lock, within a turn. What comes due later (a message that was
handed out too often, another try to write to BigQuery) is done at its instant by
`cloud.operations`; endpoints are push.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from google.pubsub_v1.types import pubsub as types

from emulator.apis.iam.callers import Caller
from emulator.apis.iam.enforcement import may
from emulator.apis.pubsub import exports
from emulator.apis.pubsub.backlog import Delivery, Message, size_of
from emulator.apis.pubsub.model import DAY_S, Subscription, pubsub_state
from emulator.clock import rfc3339
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.errors import ApiError
from emulator.wire.library import Method

_MOST_BYTES: Final = 64 * 1024 * 1024
_RETRY_S: Final = (1.0, 60.0)
_BATCH_BYTES: Final = 8 * 1024 * 1024
Draft = tuple[bytes, Mapping[str, str], str]


def broker_of(cloud: Cloud) -> Broker:
    """The emulator's one."""
    return cloud.store(Broker, lambda: Broker(cloud))


class Broker:
    """The ways of messages."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.state = pubsub_state(cloud)
        self._bytes = 0
        self.publish_as_caller: Callable[[str, Sequence[Draft]], list[str]] = self.publish

    def publishes_by(
        self, handle: Callable[[types.PublishRequest, Call], types.PublishResponse],
        handler: object, methods: Sequence[Method],
    ) -> None:  # fmt: skip
        """Have what is published outside a change made one, as if somebody called `handler`."""
        method = next(m for m in methods if m.name == "publish")

        def publish(topic: str, drafts: Sequence[Draft]) -> list[str]:
            if self._cloud.turns.inside:
                with self._cloud.lock:
                    return self.publish(topic, drafts)
            messages = [
                types.PubsubMessage(data=data, attributes=dict(attributes), ordering_key=key)
                for data, attributes, key in drafts
            ]
            request = types.PublishRequest(topic=topic, messages=messages)
            call = Call("grpc", method, {})
            return list(self._cloud.changes.change(handle, handler, request, call).message_ids)

        self.publish_as_caller = publish

    def publish(self, topic: str, drafts: Sequence[Draft]) -> list[str]:
        """Publish data, attributes and ordering key to a topic that is there; the ids.

        Raises:
            ApiError: RESOURCE_EXHAUSTED: the emulator keeps no more.
        """
        self.state.settle()
        self._make_room(sum(size_of(*draft) for draft in drafts))
        made = [self.state.new_message(*draft) for draft in drafts]
        now, home = self._cloud.clock.now(), self.state.topics[topic]
        if home.retention_s:
            home.kept.extend(made)
        for snapshot in self.state.snapshots.values():
            if snapshot.message.topic == topic:
                snapshot.held.update({m.serial: m for m in made})
        exporting: list[Subscription] = []
        for found in self.state.of_topic(topic):
            if self._deliver(found, made, now) and found.exports:
                exporting.append(found)
        for found in exporting:
            self.export(found)
        self.state.arrived.notify_all()
        return [m.id for m in made]

    def _make_room(self, more: int) -> None:
        copies = len(self.state.subscriptions) + 1
        if self._bytes + more * copies > _MOST_BYTES:
            self._bytes = self.state.bytes
        if self._bytes + more > _MOST_BYTES:
            raise ApiError(
                "RESOURCE_EXHAUSTED",
                f"The emulator keeps {_MOST_BYTES >> 20} MiB of messages in all backlogs together.",
            )
        self._bytes += more * copies

    @staticmethod
    def _deliver(found: Subscription, made: Sequence[Message], now: float) -> bool:
        since = found.discard_before
        wanted = [m for m in made if m.published_at >= since and found.fits(m.attributes)]
        for message in wanted:
            found.backlog.unacked[message.serial] = Delivery(message)
        if wanted:
            found.backlog.note(now)
        return bool(wanted)

    def lease(
        self, found: Subscription, most: int, deadline_s: float | None = None
    ) -> list[Delivery]:
        """Hand messages out; those that come back too often become dead letters."""
        now = self._cloud.clock.now()
        wait_s = deadline_s or float(found.message.ack_deadline_seconds)
        leased = found.backlog.lease(now, most, wait_s, _BATCH_BYTES)
        for delivery in leased:
            if self._last(found, delivery):
                self._watch(found, delivery)
        if leased:
            found.backlog.note(now)
        return leased

    def acknowledge(self, found: Subscription, serials: Sequence[int]) -> None:
        """Take messages as done."""
        retain = bool(found.message.retain_acked_messages)
        for serial in serials:
            found.backlog.acknowledge(serial, retain=retain)
        found.backlog.note(self._cloud.clock.now())
        if found.message.enable_message_ordering:
            self.state.arrived.notify_all()

    def give_back(self, found: Subscription, delivery: Delivery) -> None:
        """Have a message come again, or become a dead letter."""
        if not (self._last(found, delivery) and self._bury(found, delivery)):
            found.backlog.give_back(delivery, self._cloud.clock.now())
        self.state.arrived.notify_all()

    def _last(self, found: Subscription, delivery: Delivery) -> bool:
        policy = found.message.dead_letter_policy
        return bool(policy.dead_letter_topic) and delivery.attempts >= policy.max_delivery_attempts

    def _watch(self, found: Subscription, delivery: Delivery) -> None:
        """Look again when the lease ends."""
        attempt = delivery.attempts

        def check() -> None:
            there = self.state.subscriptions.get(found.name) is found
            same = found.backlog.unacked.get(delivery.message.serial) is delivery
            if not there or not same or delivery.attempts != attempt or not delivery.leased_until:
                return
            if delivery.leased_until > self._cloud.clock.now():
                self._watch(found, delivery)
            elif self._last(found, delivery):
                self._bury(found, delivery)

        self._cloud.operations.at(delivery.leased_until, check)

    def _bury(self, found: Subscription, delivery: Delivery) -> bool:
        """Publish a message to the dead letter topic; False where Pub/Sub may not."""
        topic = found.message.dead_letter_policy.dead_letter_topic
        agent = Caller(f"serviceAccount:{exports.service_agent(self._cloud)}")
        if topic not in self.state.topics or not (
            may(self._cloud, agent, "pubsub.topics.publish", topic)
            and may(self._cloud, agent, "pubsub.subscriptions.consume", found.name)
        ):
            return False
        message = delivery.message
        attributes = dict(message.attributes) | {
            "CloudPubSubDeadLetterSourceDeliveryCount": str(delivery.attempts),
            "CloudPubSubDeadLetterSourceSubscription": found.name.rpartition("/")[2],
            "CloudPubSubDeadLetterSourceSubscriptionProject": self._cloud.project.id,
            "CloudPubSubDeadLetterSourceTopicPublishTime": rfc3339(
                message.published_at, "milliseconds"
            ),
        }
        try:
            self.publish(topic, [(message.data, attributes, message.ordering_key)])
        except ApiError:
            return False  # there is no room for it: it stays where it is
        self.acknowledge(found, [message.serial])
        return True

    def export(self, found: Subscription) -> None:
        """Write what waits to BigQuery; what cannot be written is tried again later."""
        topic = self.state.topics.get(found.message.topic)
        config, now = found.message.bigquery_config, self._cloud.clock.now()
        if found.retry_at > now:
            return
        waiting = list(found.backlog.ready(now))[:1000]
        active = exports.state_of(self._cloud, config, topic) == exports.State.ACTIVE
        bad = set(range(len(waiting)))
        if active and waiting:
            bad = exports.write(self._cloud, config, found.name, [d.message for d in waiting])
            done = [d.message.serial for place, d in enumerate(waiting) if place not in bad]
            self.acknowledge(found, done)
            found.active_at = now if done else found.active_at
            for place in sorted(bad):
                waiting[place].attempts += 1
                self.give_back(found, waiting[place])
        found.failures = found.failures + 1 if bad else 0
        self._export_later(found)

    def _export_later(self, found: Subscription) -> None:
        """Have the rest tried again, later and later."""
        now = self._cloud.clock.now()
        due = found.backlog.next_ready(now)
        if due is None:
            found.retry_at = 0.0
            return
        least, most = _RETRY_S
        wait_s = min(least * 2.0 ** min(found.failures - 1, 10), most) if found.failures else 0.0
        when = found.retry_at = max(due, now + max(wait_s, 1e-3))

        def again() -> None:
            known = self.state.subscriptions.get(found.name) is found
            if known and found.exports and found.retry_at == when:
                found.retry_at = 0.0
                self.export(found)

        self._cloud.operations.at(when, again)

    def seek(self, found: Subscription, unacked: set[int], pool: Mapping[int, Message]) -> None:
        """Have these messages of the pool not acknowledged, and all others so."""
        retain = bool(found.message.retain_acked_messages)
        rest = [m for serial, m in pool.items() if serial not in unacked]
        kept = rest if retain else []
        found.backlog.replace([pool[s] for s in unacked], kept)
        found.backlog.note(self._cloud.clock.now())
        if found.exports:
            self.export(found)
        self.state.arrived.notify_all()

    def pool(self, found: Subscription) -> dict[int, Message]:
        """All messages that a seek can bring back: the backlog's, and what the topic kept."""
        backlog = found.backlog
        whole = {s: d.message for s, d in backlog.unacked.items()} | backlog.retained
        topic = self.state.topics.get(found.message.topic)
        if topic is not None and not found.message.detached:
            now = self._cloud.clock.now()
            since = max(now - topic.retention_s, now - 31 * DAY_S)
            whole |= {m.serial: m for m in topic.kept
                      if m.published_at >= since and found.fits(m.attributes)}  # fmt: skip
        return whole
