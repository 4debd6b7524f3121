"""One entry in the load balancer's log for a request, as far as its backend service asks for them.

Sampled by the service's `logConfig`; what no backend service answered has no entry. The entries lie
beside those that callers write, and like them end with the process.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from google.cloud.logging_v2.types import log_entry
from google.protobuf import json_format

from emulator.apis.logging import sinks
from emulator.apis.logging.model import Entry, logging_state, tree_of
from emulator.apis.logging.outbox import Outbox
from emulator.context import Cloud
from emulator.data_plane.fronts import Route
from emulator.wire.codec import plain

_TYPE: Final = "type.googleapis.com/google.cloud.loadbalancing.type.LoadBalancerLogEntry"
_ERROR: Final = 500


@dataclass(frozen=True, slots=True)
class Served:
    """What became of a request. `details` is the log's statusDetails."""

    verb: str
    url: str
    client: str
    agent: str
    status: int
    request_bytes: int
    response_bytes: int
    latency_s: float
    details: str
    server: str = ""


class AccessLog:
    """Writes the entries."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._chance = random.Random(cloud.seed)
        self._written = 0
        self._outbox = Outbox(partial(sinks.route, cloud), cloud.calls.lost)

    def write(self, route: Route, served: Served) -> None:
        """An entry, if the sample takes it."""
        config = route.service.get("logConfig", {})
        if not config.get("enable") or self._chance.random() >= float(config.get("sampleRate", 1)):
            return
        self._written += 1
        at = self._cloud.clock.now()
        entry = log_entry.LogEntry()
        json_format.ParseDict(self._body(route, served, at), plain(entry))
        with self._cloud.lock:
            kept = Entry(at, entry, tree_of(entry))
            logging_state(self._cloud).entries.append(kept)
        if sinks.topic_sinks(self._cloud):
            self._outbox.put(kept)

    def close(self) -> None:
        """Publish what still waits; no request comes any more."""
        self._outbox.stop()

    def _body(self, route: Route, served: Served, at: float) -> dict[str, Any]:
        stamp = datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
        labels = {
            "project_id": self._cloud.project.id, "forwarding_rule_name": route.rule,
            "target_proxy_name": route.proxy, "url_map_name": route.url_map,
            "backend_service_name": route.service_name, "zone": "global",
        }  # fmt: skip
        asked = {
            "requestMethod": served.verb, "requestUrl": served.url, "status": served.status,
            "requestSize": str(served.request_bytes), "responseSize": str(served.response_bytes),
            "userAgent": served.agent, "remoteIp": served.client, "serverIp": served.server,
            "latency": f"{served.latency_s:.6f}s",
        }  # fmt: skip
        return {
            "logName": f"projects/{self._cloud.project.id}/logs/requests",
            "resource": {"type": "http_load_balancer", "labels": labels},
            "httpRequest": asked,
            "jsonPayload": {"@type": _TYPE, "statusDetails": served.details,
                            "remoteIp": served.client},
            "severity": "WARNING" if served.status >= _ERROR else "INFO",
            "insertId": f"request{self._written}",
            "timestamp": stamp, "receiveTimestamp": stamp,
        }  # fmt: skip
