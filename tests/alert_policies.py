"""An alert policy that fires at once, as a body of Monitoring's REST API."""

from __future__ import annotations

from typing import Any


def firing_policy(title: str, namespace: str = "", severity: str = "") -> dict[str, Any]:
    """More than nothing runs: one alert for each namespace, or for one alone."""
    only = f' AND resource.labels.namespace="{namespace}"' if namespace else ""
    condition = {
        "displayName": title,
        "conditionThreshold": {
            "filter": 'metric.type="prometheus.googleapis.com/vllm:num_requests_running/gauge"'
            f' AND resource.type="prometheus_target"{only}',
            "aggregations": [{
                "alignmentPeriod": "60s", "perSeriesAligner": "ALIGN_MEAN",
                "crossSeriesReducer": "REDUCE_SUM", "groupByFields": ["resource.label.namespace"],
            }],
            "comparison": "COMPARISON_GT", "thresholdValue": -1, "duration": "0s",
        },
    }  # fmt: skip
    policy = {"displayName": title, "combiner": "OR", "conditions": [condition]}
    return {**policy, "severity": severity} if severity else policy
