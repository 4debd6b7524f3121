"""State of Cloud Monitoring that callers make: metrics and points, policies, channels, services.

Everything that Google writes itself is derived from the world instead (catalogue.py, sources/).
"""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

from google.cloud.monitoring_v3.types import alert, notification, service
from google.protobuf.timestamp_pb2 import Timestamp

from emulator.context import Cloud
from emulator.wire.names import check_project, parse_name

SERVICE: Final = "monitoring.googleapis.com"
OWNER: Final = "owner@heartwood.example"
# 25 hours of a point each ten seconds; what is older than the newest ones of a series is dropped.
MOST_POINTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Sum:
    """A distribution as it was written: counts per bucket, Σx and Σx²."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float
    squares: float


@dataclass(frozen=True, slots=True)
class Point:
    """One written point; times in Unix seconds."""

    start: float
    end: float
    value: float | Sum


@dataclass(slots=True)
class WrittenSeries:
    """A series that a caller writes; labels are named as columns.py names them."""

    resource_type: str
    labels: dict[str, str]
    points: deque[Point] = field(default_factory=lambda: deque(maxlen=MOST_POINTS))


@dataclass(frozen=True, slots=True)
class Reign:
    """A policy as it stood from `start` to `end` (None: still), Unix seconds.

    `tests` are its conditions as policy_checks.py read them.
    """

    policy: alert.AlertPolicy
    tests: tuple[Any, ...]
    start: float
    end: float | None = None


@dataclass
class MonitoringState:
    """All of it, by full resource name; descriptors and series by metric type.

    Attributes:
        reigns: every state that each policy ever had, oldest first; deleted policies stay, since
            their alerts do.
        writes: number of accepted writes of points: a key for caches.
    """

    descriptors: dict[str, Any] = field(default_factory=dict)
    series: dict[str, dict[tuple[Any, ...], WrittenSeries]] = field(default_factory=dict)
    writes: int = 0
    policies: dict[str, alert.AlertPolicy] = field(default_factory=dict)
    reigns: dict[str, list[Reign]] = field(default_factory=dict)
    channels: dict[str, notification.NotificationChannel] = field(default_factory=dict)
    services: dict[str, service.Service] = field(default_factory=dict)
    objectives: dict[str, service.ServiceLevelObjective] = field(default_factory=dict)
    made: int = 0

    def new_id(self, seed: int, kind: str) -> str:
        """The next identifier, as Google's are: up to 20 digits."""
        self.made += 1
        return number_of(seed, kind, self.made)


def number_of(*parts: object) -> str:
    """A number that follows from the parts."""
    digest = hashlib.blake2s(repr(parts).encode(), digest_size=8).digest()
    return str(int.from_bytes(digest, "big") | 1 << 60)


def stamp(at: float) -> Timestamp:
    """Unix seconds as a message."""
    found = Timestamp()
    found.FromMicroseconds(int(at * 1e6))
    return found


def project_of(cloud: Cloud, name: str, *, field: str = "name") -> str:
    """Check "projects/P"; the project's name as resource names bear it.

    Raises:
        ApiError: INVALID_ARGUMENT: not of that form; PERMISSION_DENIED: another project.
    """
    given = parse_name("projects/{project}", name, field=field)["project"]
    check_project(cloud.project, given, service=SERVICE)
    return f"projects/{cloud.project.id}"


def canonical(cloud: Cloud, template: str, name: str, *, field: str = "name") -> str:
    """A resource name with the project's id, whether it came with the id or the number.

    Raises:
        ApiError: INVALID_ARGUMENT: not of that form; PERMISSION_DENIED: another project.
    """
    parts = parse_name(template, name, field=field)
    check_project(cloud.project, parts["project"], service=SERVICE)
    return template.format(**{**parts, "project": cloud.project.id})
