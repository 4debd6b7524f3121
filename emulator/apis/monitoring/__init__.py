"""Cloud Monitoring v3: time series, and the policies and channels of callers."""

from __future__ import annotations

from emulator.apis.monitoring import routes
from emulator.apis.monitoring.alerts_api import Alerts, AlertsMount
from emulator.apis.monitoring.api import MetricService
from emulator.apis.monitoring.channel_api import Channels
from emulator.apis.monitoring.incidents import Incidents
from emulator.apis.monitoring.local import LocalMetrics
from emulator.apis.monitoring.model import MonitoringState
from emulator.apis.monitoring.policy_api import AlertPolicies
from emulator.apis.monitoring.seeds import plant
from emulator.apis.monitoring.series import SeriesReader
from emulator.apis.monitoring.slo_api import ServiceMonitoring
from emulator.apis.monitoring.slo_series import Objectives
from emulator.apis.monitoring.telemetry import Telemetry
from emulator.apis.monitoring.written import WrittenMetrics
from emulator.context import Cloud
from emulator.wire.mount import Mount
from emulator.world.scrape import Scraper


class NotServed:
    """Answers UNIMPLEMENTED to every method of a service."""


_SERVICES = "google.cloud.monitoring_v3.services"


def build(cloud: Cloud) -> list[Mount]:
    """Mount the service; the scraper runs while the emulator does."""
    port = cloud.settings.serving_port
    scraper = Scraper(f"http://127.0.0.1:{port}/metrics", cloud.clock.now)
    cloud.on_start(scraper.start)
    cloud.on_stop(scraper.stop)
    state = cloud.store(MonitoringState, MonitoringState)
    telemetry = cloud.store(Telemetry, lambda: Telemetry(cloud))
    local = LocalMetrics(cloud, scraper, f"127.0.0.1:{port}")
    reader = SeriesReader(cloud, telemetry, local, WrittenMetrics(cloud, state))
    reader.selectors = Objectives(cloud, state, reader)
    metrics = MetricService(cloud, state, reader)
    policies = AlertPolicies(cloud, state, reader)
    if cloud.scenario.tiers:
        plant(cloud, state, policies)
    alerts = Alerts(cloud, Incidents(cloud, state, reader))
    return [
        _mount("alert_policy", policies, routes.POLICIES),
        _mount("notification_channel", Channels(cloud, state), routes.CHANNELS),
        _mount("service_monitoring", ServiceMonitoring(cloud, state, reader), routes.SERVICES),
        AlertsMount("/monitoring", f"{_SERVICES}.alert_service.transports", alerts),
        _mount("metric", metrics, routes.METRICS),
        *(_mount(name, NotServed(), rules) for name, rules in routes.NOT_SERVED.items()),
    ]


def _mount(service: str, handler: object, rules: routes.Rules) -> Mount:
    return Mount("/monitoring", f"{_SERVICES}.{service}_service.transports", handler, rules)
