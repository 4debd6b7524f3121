"""State of Cloud Logging: the newest entries, sinks and log metrics.

Entries lie in memory, the newest MOST_ENTRIES of them. What else the project's log of changes
knows is shown as audit entries by audit.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from google.cloud.logging_v2.types import logging_config, logging_metrics
from google.protobuf import json_format

from emulator.context import Cloud
from emulator.wire.codec import plain
from emulator.wire.errors import invalid

MOST_ENTRIES: Final = 10_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: Google's message, and its JSON form, which queries read."""

    at: float
    message: Any
    tree: Mapping[str, Any]

    @property
    def log(self) -> str:
        """projects/…/logs/…, the id percent-encoded."""
        return str(self.tree["logName"])


@dataclass
class LoggingState:
    """All of it; sinks and metrics by their short names."""

    entries: deque[Entry] = field(default_factory=lambda: deque(maxlen=MOST_ENTRIES))
    written: int = 0
    sinks: dict[str, logging_config.LogSink] = field(default_factory=dict)
    metrics: dict[str, logging_metrics.LogMetric] = field(default_factory=dict)


def tree_of(entry: Any) -> dict[str, Any]:
    """An entry in JSON's form; ApiError when its payload has none."""
    try:
        return json_format.MessageToDict(plain(entry))
    except (json_format.Error, TypeError, ValueError, RecursionError) as error:
        raise invalid(f"The entry's payload cannot be read: {error}", field="entries") from error


def logging_state(cloud: Cloud) -> LoggingState:
    """The one instance."""
    return cloud.store(LoggingState, lambda: _initial(cloud))


# The two sinks that every project has, with the filters that Google gives them.
_REQUIRED: Final = ('LOG_ID("cloudaudit.googleapis.com/activity") OR '
                    'LOG_ID("externalaudit.googleapis.com/activity") OR '
                    'LOG_ID("cloudaudit.googleapis.com/system_event")')  # fmt: skip
BUCKETS: Final = {"_Default": 30, "_Required": 400}


def _initial(cloud: Cloud) -> LoggingState:
    where = f"logging.googleapis.com/projects/{cloud.project.id}/locations/global/buckets"
    sinks = {
        "_Default": logging_config.LogSink(
            name="_Default", destination=f"{where}/_Default", filter=f"NOT ({_REQUIRED})"
        ),
        "_Required": logging_config.LogSink(
            name="_Required", destination=f"{where}/_Required", filter=_REQUIRED
        ),
    }
    return LoggingState(sinks=sinks)
