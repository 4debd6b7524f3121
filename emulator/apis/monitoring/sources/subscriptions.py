"""Metrics of Pub/Sub subscriptions: how much waits in them, and for how long."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from emulator.apis.monitoring.block import Block, Gap
from emulator.apis.monitoring.columns import table
from emulator.apis.monitoring.telemetry import Telemetry
from emulator.world.noise import Floats, Ints

if TYPE_CHECKING:
    from emulator.apis.pubsub.model import Subscription

RESOURCE: Final = "pubsub_subscription"


def backlog_blocks(telemetry: Telemetry, name: str) -> list[Block]:
    """num_undelivered_messages, or oldest_unacked_message_age in seconds."""
    # Pub/Sub writes to BigQuery, which bills by Monitoring's telemetry.
    from emulator.apis.pubsub.model import pubsub_state

    state = pubsub_state(telemetry.cloud)
    with telemetry.cloud.lock:
        found = list(state.subscriptions.values())
    if not found:
        return []
    labels = table(
        len(found),
        resource={
            "project_id": telemetry.cloud.project.id,
            "subscription_id": [s.name.rpartition("/")[2] for s in found],
        },
        metric={},
    )
    gaps = tuple(
        Gap(np.arange(len(found)) == row, 0.0, 60.0 * next(iter(s.backlog.history), 0))
        for row, s in enumerate(found)
    )
    ages = name.startswith("oldest")
    return [Block(RESOURCE, labels, np.eye(len(found)), partial(_values, found, ages), gaps)]


def _values(found: list[Subscription], ages: bool, minutes: Ints) -> Floats:
    """One row per subscription, its value at each minute's end."""
    values = np.zeros((len(found), len(minutes)))
    for row, subscription in enumerate(found):
        history = sorted(subscription.backlog.history.items())
        if not history:
            continue
        places = np.searchsorted([minute for minute, _ in history], minutes, side="right") - 1
        counts = np.array([count for _, (count, _) in history], dtype=float)[places.clip(0)]
        counts[places < 0] = 0.0
        oldest = np.array([at for _, (_, at) in history])[places.clip(0)]
        waited = np.maximum(60.0 * (minutes + 1) - oldest, 0.0) * (counts > 0)
        values[row] = np.floor(waited) if ages else counts
    return values
