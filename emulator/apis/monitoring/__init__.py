"""Cloud Monitoring v3: time series out of the world and of the real server."""

from __future__ import annotations

from emulator.apis.monitoring.api import RULES, MetricService
from emulator.apis.monitoring.local import LocalMetrics
from emulator.apis.monitoring.telemetry import Telemetry
from emulator.context import Cloud
from emulator.wire.mount import Mount
from emulator.world.scrape import Scraper


def build(cloud: Cloud) -> list[Mount]:
    """Mount the service; the scraper runs while the emulator does."""
    port = cloud.settings.serving_port
    scraper = Scraper(f"http://127.0.0.1:{port}/metrics", cloud.clock.now)
    cloud.on_start(scraper.start)
    cloud.on_stop(scraper.stop)
    telemetry = cloud.store(Telemetry, lambda: Telemetry(cloud))
    service = MetricService(cloud, telemetry, LocalMetrics(cloud, scraper, f"127.0.0.1:{port}"))
    transports = "google.cloud.monitoring_v3.services.metric_service.transports"
    return [Mount("/monitoring", transports, service, RULES)]
