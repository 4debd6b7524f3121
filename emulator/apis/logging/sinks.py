"""Sinks whose destination is a Pub/Sub topic: what they let through is published there.

Sinks to BigQuery, Cloud Storage and log buckets are kept and export nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from google.cloud.logging_v2.types import logging_config

from emulator.apis.iam.callers import Caller
from emulator.apis.iam.enforcement import may
from emulator.apis.logging.audit import audit_entry
from emulator.apis.logging.model import Entry, logging_state, tree_of
from emulator.apis.logging.query import compile_query
from emulator.apis.pubsub.broker import Draft, broker_of
from emulator.context import Cloud
from emulator.log import Change
from emulator.wire.errors import ApiError

_TOPIC: Final = "pubsub.googleapis.com/"
_query = lru_cache(maxsize=64)(compile_query)


def topic_sinks(cloud: Cloud) -> list[logging_config.LogSink]:
    """The sinks that publish."""
    found = list(logging_state(cloud).sinks.values())
    return [s for s in found if s.destination.startswith(_TOPIC) and not s.disabled]


def route(cloud: Cloud, entries: Iterable[Entry]) -> None:
    """Publish entries to the topics of the sinks that let them through.

    What has no topic, or whose sink may not publish, is lost, as it is with Google.
    """
    sinks = topic_sinks(cloud)
    if not sinks:
        return
    broker, kept = broker_of(cloud), list(entries)
    for sink in sinks:
        topic = _own(cloud, sink.destination.removeprefix(_TOPIC))
        drafts = [_draft(e) for e in kept if _passes(sink, e.tree)]
        if drafts and topic in broker.state.topics and _may_publish(cloud, sink, topic):
            try:
                broker.publish_as_caller(topic, drafts)
            except ApiError:
                cloud.calls.lost("no_room", len(drafts))  # Pub/Sub's backlogs are full


def route_change(cloud: Cloud, number: int, change: Change) -> None:
    """The same of a change's entry in the audit log."""
    if cloud.turns.inside and topic_sinks(cloud):
        message = audit_entry(cloud, number, change)
        route(cloud, [Entry(change.at, message, tree_of(message))])


def _own(cloud: Cloud, topic: str) -> str:
    own = cloud.project
    return topic.replace(f"projects/{own.number}/", f"projects/{own.id}/", 1)


def _passes(sink: logging_config.LogSink, tree: Mapping[str, Any]) -> bool:
    if not _query(sink.filter)(tree):
        return False
    return not any(_query(e.filter)(tree) for e in sink.exclusions if not e.disabled)


def _may_publish(cloud: Cloud, sink: logging_config.LogSink, topic: str) -> bool:
    return may(cloud, Caller(str(sink.writer_identity)), "pubsub.topics.publish", topic)


def _draft(entry: Entry) -> Draft:
    """An entry as a message: its JSON, and where it is from and when as attributes."""
    tree = entry.tree
    attributes = {
        "logging.googleapis.com/timestamp": str(tree.get("timestamp", "")),
    }
    return json.dumps(tree).encode(), {k: v for k, v in attributes.items() if v}, ""
