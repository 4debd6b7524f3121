"""The project's dashboards; the first is a mosaic of charts over the tiers' metrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from google.cloud import monitoring_dashboard_v1

from emulator.context import Cloud
from emulator.scenario import Project
from emulator.wire.etags import etag_of

DASHBOARD: Final = "heartwood-serving"
COLUMNS: Final = 48
_WIDTH, _HEIGHT = 24, 16

# title, metric, resource, aligner, reducer, grouped by
_CHARTS: Final = (
    ("Requests per second", "loadbalancing.googleapis.com/https/backend_request_count",
     "https_lb_rule", "ALIGN_RATE", "REDUCE_SUM", "resource.label.backend_target_name"),
    ("Latency p95", "loadbalancing.googleapis.com/https/backend_latencies",
     "https_lb_rule", "ALIGN_DELTA", "REDUCE_PERCENTILE_95", "resource.label.backend_target_name"),
    ("Time to first token p95",
     "prometheus.googleapis.com/vllm:time_to_first_token_seconds/histogram", "prometheus_target",
     "ALIGN_DELTA", "REDUCE_PERCENTILE_95", "resource.label.namespace"),
    ("TensorCore utilization", "kubernetes.io/node/accelerator/tensorcore_utilization",
     "k8s_node", "ALIGN_MEAN", "REDUCE_MEAN", 'metadata.user_labels."heartwood-tier"'),
)  # fmt: skip


@dataclass
class DashboardState:
    """Dashboards by their short names; `made` counts the numbers given out."""

    dashboards: dict[str, Any] = field(default_factory=dict)
    made: int = 0


def dashboard_state(cloud: Cloud) -> DashboardState:
    """The one instance; an empty project has no dashboard."""
    return cloud.store(DashboardState, lambda: _initial(cloud))


def _initial(cloud: Cloud) -> DashboardState:
    return DashboardState({DASHBOARD: dashboard(cloud.project)} if cloud.scenario.tiers else {})


def sealed(found: Any) -> Any:
    """The dashboard with the etag of its contents."""
    found.etag = ""
    plain = monitoring_dashboard_v1.Dashboard.pb(found)
    found.etag = etag_of(plain.SerializeToString(deterministic=True))
    return found


def dashboard(project: Project) -> Any:
    """The dashboard as a message."""
    tiles = [
        {
            "x_pos": index % 2 * _WIDTH, "y_pos": index // 2 * _HEIGHT,
            "width": _WIDTH, "height": _HEIGHT, "widget": _chart(*chart),
        }
        for index, chart in enumerate(_CHARTS)
    ]  # fmt: skip
    return sealed(
        monitoring_dashboard_v1.Dashboard(
            name=f"projects/{project.number}/dashboards/{DASHBOARD}",
            display_name="Heartwood serving",
            mosaic_layout={"columns": COLUMNS, "tiles": tiles},
        )
    )


def _chart(
    title: str, metric: str, resource: str, aligner: str, reducer: str, group: str
) -> dict[str, Any]:
    aggregation = {
        "alignment_period": {"seconds": 60}, "per_series_aligner": aligner,
        "cross_series_reducer": reducer, "group_by_fields": [group],
    }  # fmt: skip
    query = {
        "filter": f'metric.type="{metric}" resource.type="{resource}"', "aggregation": aggregation,
    }  # fmt: skip
    data = {"plot_type": "LINE", "time_series_query": {"time_series_filter": query}}
    return {"title": title, "xy_chart": {"data_sets": [data]}}
