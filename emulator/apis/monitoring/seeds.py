"""What a project with tiers starts with: whom to tell, what to watch, what is promised."""

from __future__ import annotations

from typing import Any, Final

from google.cloud.monitoring_v3.types import alert, notification, service

from emulator.apis.monitoring.model import OWNER, MonitoringState, stamp
from emulator.apis.monitoring.policy_api import AlertPolicies
from emulator.context import Cloud

CHANNEL: Final = "heartwood-on-call"
SERVICE_ID: Final = "heartwood-gateway"
_SERVER: Final = (
    'resource.type="prometheus_target" AND metric.type="prometheus.googleapis.com/vllm:'
)
_BALANCER: Final = (
    'resource.type="https_lb_rule" AND '
    'metric.type="loadbalancing.googleapis.com/https/backend_request_count"'
)
_FAILED: Final = f"{_BALANCER} AND metric.labels.response_code_class=500"


def _aggregation(aligner: str, reducer: str, *by: str, period_s: int = 60) -> dict[str, Any]:
    return {
        "alignment_period": {"seconds": period_s}, "per_series_aligner": aligner,
        "cross_series_reducer": reducer, "group_by_fields": list(by),
    }  # fmt: skip


def _above(text: str, how: dict[str, Any], limit: float, minutes: int) -> dict[str, Any]:
    return {
        "filter": text, "aggregations": [how], "comparison": "COMPARISON_GT",
        "threshold_value": limit, "duration": {"seconds": 60 * minutes},
    }  # fmt: skip


_BY_BACKEND: Final = _aggregation("ALIGN_RATE", "REDUCE_SUM", "resource.label.backend_target_name")
_ERRORS: Final = {
    **_above(_FAILED, _BY_BACKEND, 0.02, 5),
    "denominator_filter": _BALANCER,
    "denominator_aggregations": [_BY_BACKEND],
}
_SLICE: Final = {
    "filter": 'resource.type="k8s_node_pool" AND '
    'metric.type="kubernetes.io/node_pool/multi_host/available"',
    "aggregations": [_aggregation("ALIGN_FRACTION_TRUE", "REDUCE_NONE", period_s=300)],
    "comparison": "COMPARISON_LT", "threshold_value": 50.0, "duration": {"seconds": 0},
}  # fmt: skip

# display name, severity, what to do, condition
_POLICIES: Final = (
    ("Tokens come slowly", alert.AlertPolicy.Severity.WARNING,
     "Compare the tier's tensor core and HBM utilisation with last week's; look for a roll-out.",
     _above(_SERVER + 'inter_token_latency_seconds/histogram"',
            _aggregation("ALIGN_DELTA", "REDUCE_PERCENTILE_95", "resource.label.namespace"),
            0.035, 10)),
    ("Requests wait", alert.AlertPolicy.Severity.WARNING,
     "Arrivals exceed what the tier can take: scale it up or shed load.",
     _above(_SERVER + 'num_requests_waiting/gauge"',
            _aggregation("ALIGN_MEAN", "REDUCE_MEAN", "resource.label.namespace"), 4.0, 5)),
    ("Server errors at the load balancer", alert.AlertPolicy.Severity.CRITICAL,
     "Look at the backend's health and at the servers' logs.", _ERRORS),
    ("A multi-host slice is not available", alert.AlertPolicy.Severity.ERROR,
     "Look at the node pool's events: maintenance, pre-emption or a failed repair.", _SLICE),
)  # fmt: skip


def plant(cloud: Cloud, state: MonitoringState, policies: AlertPolicies) -> None:
    """Put it all in place, as of the project's first day."""
    first = cloud.clock.epoch()
    project = f"projects/{cloud.project.id}"
    record = {"mutate_time": stamp(first), "mutated_by": OWNER}
    channel = notification.NotificationChannel(
        type_="email", name=f"{project}/notificationChannels/{state.new_id(cloud.seed, CHANNEL)}",
        display_name="Heartwood on call", labels={"email_address": "on-call@heartwood.example"},
        enabled=True, creation_record=record,
    )  # fmt: skip
    state.channels[channel.name] = channel
    for title, severity, text, condition in _POLICIES:
        policies.keep(
            alert.AlertPolicy(
                display_name=title, severity=severity, combiner="OR",
                conditions=[{"display_name": title, "condition_threshold": condition}],
                documentation={"content": text, "mime_type": "text/markdown"},
                notification_channels=[channel.name], user_labels={"product": "heartwood"},
                creation_record=record, mutation_record=record,
            ),
            first,
        )  # fmt: skip
    _promise(state, project)


def _promise(state: MonitoringState, project: str) -> None:
    name = f"{project}/services/{SERVICE_ID}"
    state.services[name] = service.Service(
        name=name, display_name="Heartwood gateway", custom={}, telemetry={}
    )
    objective = f"{name}/serviceLevelObjectives/availability"
    state.objectives[objective] = service.ServiceLevelObjective(
        name=objective, display_name="99.9% of requests succeed in 30 days", goal=0.999,
        rolling_period={"seconds": 30 * 86_400},
        service_level_indicator={
            "request_based": {"good_total_ratio": {
                "bad_service_filter": _FAILED, "total_service_filter": _BALANCER,
            }},
        },
    )  # fmt: skip
