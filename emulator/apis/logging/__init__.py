"""Cloud Logging v2: entries, sinks, log metrics."""

from __future__ import annotations

from functools import partial

from emulator.apis.logging.config_api import Config
from emulator.apis.logging.entries_api import Entries
from emulator.apis.logging.metrics_api import Metrics
from emulator.apis.logging.rules import CONFIG, ENTRIES, METRICS
from emulator.apis.logging.sinks import route_change
from emulator.context import Cloud
from emulator.wire.mount import Mount


def build(cloud: Cloud) -> list[Mount]:
    """Mount the three services; the library knows no REST, so their rules are given."""
    cloud.log.tell(partial(route_change, cloud))
    services = "google.cloud.logging_v2.services"
    return [
        Mount("/logging", f"{services}.{name}.transports", handler, extra_rules=rules)
        for name, handler, rules in (
            ("logging_service_v2", Entries(cloud), ENTRIES),
            ("config_service_v2", Config(cloud), CONFIG),
            ("metrics_service_v2", Metrics(cloud), METRICS),
        )
    ]
