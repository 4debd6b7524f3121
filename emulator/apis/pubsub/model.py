"""State of Pub/Sub: topics, subscriptions, snapshots; messages are backlog.py's.

Deadlines, retention and expiry are on the wall clock, which subscribers measure them by: the
emulator's speed shortens operations only.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from google.pubsub_v1.types import pubsub as types

from emulator.apis.pubsub.backlog import Backlog, Delivery, Message
from emulator.apis.pubsub.filters import Fits
from emulator.context import Cloud
from emulator.wire.codec import plain

DELETED_TOPIC: Final = "_deleted-topic_"
DAY_S: Final = 86_400.0


@dataclass(slots=True)
class Topic:
    """A topic; `kept` holds what was published within its own retention."""

    message: types.Topic
    kept: deque[Message] = field(default_factory=deque[Message])

    @property
    def retention_s(self) -> float:
        """Seconds for which it keeps messages itself; 0: not at all."""
        return seconds(plain(self.message), "message_retention_duration")


@dataclass(slots=True)
class Subscription:
    """A subscription.

    Attributes:
        serial: counts the project's: a name that is used again has other ack ids.
        active_at: Unix seconds; when somebody last made use of it.
        discard_before: what is published before (Unix seconds) counts as acknowledged.
        retry_at: when the next write to BigQuery is due; 0: none waits.
        failures: how many writes have failed in a row.
    """

    message: types.Subscription
    serial: int
    active_at: float
    fits: Fits
    backlog: Backlog = field(default_factory=Backlog)
    discard_before: float = 0.0
    retry_at: float = 0.0
    failures: int = 0

    @property
    def name(self) -> str:
        """projects/P/subscriptions/ID."""
        return str(self.message.name)

    @property
    def ttl_s(self) -> float:
        """Seconds without use after which it is deleted; 0: never."""
        return seconds(plain(self.message).expiration_policy, "ttl")

    @property
    def retention_s(self) -> float:
        """Seconds for which it keeps messages."""
        return seconds(plain(self.message), "message_retention_duration")

    @property
    def pushes(self) -> bool:
        """Whether messages are sent to an endpoint."""
        return bool(self.message.push_config.push_endpoint) and not self.message.detached

    @property
    def exports(self) -> bool:
        """Whether messages are written to BigQuery."""
        return bool(self.message.bigquery_config.table) and not self.message.detached

    def pause_s(self, attempts: int) -> float:
        """Seconds until a message comes again that was handed out so often."""
        inside = plain(self.message)
        if not inside.HasField("retry_policy"):
            return 0.0
        policy = inside.retry_policy
        least, most = seconds(policy, "minimum_backoff"), seconds(policy, "maximum_backoff")
        return min(least * 2.0 ** min(max(attempts - 1, 0), 20), most)


@dataclass(slots=True)
class Snapshot:
    """What was not acknowledged when it was made, and all that was published since."""

    message: types.Snapshot
    expires_at: float
    held: dict[int, Message]


class State:
    """All of it, by full names; changes are made under the cloud's lock.

    Attributes:
        arrived: is told when messages may have become deliverable.
    """

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.topics: dict[str, Topic] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.snapshots: dict[str, Snapshot] = {}
        self.messages = 0
        self.made = 0
        self.arrived = threading.Condition(cloud.lock)
        self._key = hashlib.blake2s(f"{cloud.seed}/pubsub".encode()).digest()
        self._first = 10**16 + int.from_bytes(self._key[:6]) // 100 * 100

    def settle(self) -> None:
        """Forget what has expired by now; whoever looks when, it is the same."""
        now = self._cloud.clock.now()
        for name, found in list(self.subscriptions.items()):
            if found.ttl_s and found.active_at + found.ttl_s <= now:
                del self.subscriptions[name]
                continue
            found.backlog.forget_before(now - found.retention_s)
        for name, snapshot in list(self.snapshots.items()):
            if snapshot.expires_at <= now:
                del self.snapshots[name]
        for topic in self.topics.values():
            while topic.kept and topic.kept[0].published_at < now - topic.retention_s:
                topic.kept.popleft()

    def new_message(self, data: bytes, attributes: Mapping[str, str], key: str) -> Message:
        """The next message, published now."""
        self.messages += 1
        number = str(self._first + self.messages)
        now = self._cloud.clock.now()
        return Message(self.messages, number, data, dict(sorted(attributes.items())), key, now)

    def of_topic(self, name: str) -> Iterator[Subscription]:
        """The subscriptions of a topic, in the order of their making."""
        for found in self.subscriptions.values():
            if found.message.topic == name and not found.message.detached:
                yield found

    @property
    def bytes(self) -> int:
        """What all messages take, about; those of several subscriptions count for each."""
        backlogs = sum(s.backlog.bytes for s in self.subscriptions.values())
        held = sum(m.size for s in self.snapshots.values() for m in s.held.values())
        return backlogs + held + sum(m.size for t in self.topics.values() for m in t.kept)

    def ack_id(self, found: Subscription, delivery: Delivery) -> str:
        """By which a subscriber acknowledges this handing-out of the message."""
        text = f"{found.serial}:{delivery.message.serial}:{delivery.attempts}"
        return base64.urlsafe_b64encode(self._mark(text) + text.encode()).decode()

    def read_ack_id(self, text: str) -> tuple[int, int, int] | None:
        """(subscription's serial, message's serial, attempt) of an ack id; None: it is none."""
        try:
            whole = base64.urlsafe_b64decode(text.encode())
        except (binascii.Error, ValueError):
            return None
        mark, inside = whole[:12], whole[12:].decode("ascii", "replace")
        if mark != self._mark(inside):
            return None
        subscription, message, attempt = inside.split(":")
        return int(subscription), int(message), int(attempt)

    def _mark(self, text: str) -> bytes:
        return hashlib.blake2s(text.encode(), key=self._key, digest_size=12).digest()


def pubsub_state(cloud: Cloud) -> State:
    """The one instance."""
    return cloud.store(State, lambda: State(cloud))


def seconds(message: Any, name: str) -> float:
    """A field of type Duration in seconds."""
    found = getattr(message, name)
    return float(found.seconds) + found.nanos / 1e9
