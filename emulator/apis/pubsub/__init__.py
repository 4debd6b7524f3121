"""Cloud Pub/Sub v1: topics, subscriptions of all kinds but to Cloud Storage, snapshots."""

from __future__ import annotations

from emulator.apis.pubsub.broker import broker_of
from emulator.apis.pubsub.publisher import Publisher
from emulator.apis.pubsub.push import Pushing
from emulator.apis.pubsub.streaming import Streams
from emulator.apis.pubsub.subscriber import Subscriber
from emulator.context import Cloud
from emulator.wire.mount import Mount

_SERVICES = "google.pubsub_v1.services"


def build(cloud: Cloud) -> list[Mount]:
    """Mount both services, and have endpoints asked once the emulator runs."""
    publisher, subscriber = Publisher(cloud), Subscriber(cloud)
    pulling = Mount("/pubsub", f"{_SERVICES}.subscriber.transports", subscriber)
    methods = {method.name: method for method in pulling.methods()}
    publishing = Mount("/pubsub", f"{_SERVICES}.publisher.transports", publisher)
    broker_of(cloud).publishes_by(publisher.publish, publisher, publishing.methods())
    pushing = Pushing(cloud, subscriber, methods)
    cloud.on_start(pushing.start)
    cloud.on_stop(pushing.stop)
    streams = Streams(cloud, subscriber, methods)
    pulling = Mount(
        pulling.prefix, pulling.transports, subscriber,
        streams={"streaming_pull": streams.streaming_pull},
    )  # fmt: skip
    return [publishing, pulling]
