"""A publisher and a subscriber of Google's over one wire, for the tests of Pub/Sub."""

from __future__ import annotations

from typing import Any

from google.pubsub_v1.types import pubsub as types

from tests.emulator.clients import PROJECT, make_client
from tests.processes import EmulatorProcess

P = f"projects/{PROJECT}"


class Clients:
    """A publisher and a subscriber over one wire, with a topic of their own."""

    def __init__(self, beside: EmulatorProcess, wire: str, name: str) -> None:
        self.publisher = make_client("PublisherClient", wire, beside)
        self.subscriber = make_client("SubscriberClient", wire, beside)
        self.topic = f"{P}/topics/{name}-{wire}"
        self.name = f"{P}/subscriptions/{name}-{wire}"
        self.publisher.create_topic(name=self.topic)

    def subscribe(self, **more: Any) -> types.Subscription:
        """Make the subscription."""
        return self.subscriber.create_subscription(
            request={"name": self.name, "topic": self.topic, **more}
        )

    def publish(self, *data: bytes, **attributes: str) -> list[str]:
        """Publish one message per text."""
        messages = [types.PubsubMessage(data=d, attributes=attributes) for d in data]
        return list(self.publisher.publish(topic=self.topic, messages=messages).message_ids)

    def pull(self, most: int = 10) -> list[types.ReceivedMessage]:
        """Messages, waiting for the first."""
        found = self.subscriber.pull(subscription=self.name, max_messages=most)
        return list(found.received_messages)
