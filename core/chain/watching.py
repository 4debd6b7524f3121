"""Who watches a tier: an alert policy, a dashboard, its logs in BigQuery, a budget."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from core import tpu
from core.chain.pieces import PREFIX, Json, Piece, Place, Site
from core.cloud_resources import BUDGETS, LOGGING, MONITORING, mark
from core.specs import TIER_LABEL, PartKind, TierSpec

_VERTEX = {"memory_used": "memory/bytes_used", "tensorcore_utilization": "duty_cycle"}
_FULL = 0.95  # of the HBM: then servers soon refuse or evict


def watching_pieces(place: Place, spec: TierSpec) -> Iterator[Piece]:
    """The pieces, in order; no budget where none is configured or no account is known.

    Alert, charts and logs are those of the part at that place.
    """
    site = place.site
    yield _alert(place, spec)
    yield _dashboard(place, spec)
    yield from _logs(place, spec)
    if spec.monthly_budget_usd is not None and site.billing_account:
        yield _budget(site, spec, spec.monthly_budget_usd)


def _series(place: Place, metric: str) -> str:
    """A filter of the accelerators' series of that name: of the cluster, nodes or endpoint."""
    if place.part.kind is PartKind.TPU_VM:
        return (
            f'metric.type="tpu.googleapis.com/accelerator/{metric}"'
            ' resource.type="tpu.googleapis.com/GceTpuWorker"'
            f' resource.labels.node_id=starts_with("{place.part.name_prefix}")'
        )
    if place.part.kind is PartKind.VERTEX:
        return (
            f'metric.type="aiplatform.googleapis.com/prediction/online/accelerator/{_VERTEX[metric]}"'
            ' resource.type="aiplatform.googleapis.com/Endpoint"'
            f' resource.labels.endpoint_id="{place.names.endpoint}"'
        )
    return (
        f'metric.type="kubernetes.io/node/accelerator/{metric}" resource.type="k8s_node"'
        f' resource.labels.cluster_name="{place.site.cluster}"'
    )


def _alert(place: Place, spec: TierSpec) -> Piece:
    site = place.site
    shown = f"{PREFIX}-{spec.name}: memory nearly full"
    gen = tpu.generation(spec.generation or "")
    limit = int(gen.hbm_bytes * _FULL)
    body = {
        "combiner": "OR",
        "userLabels": {TIER_LABEL: spec.name},
        "conditions": [
            {
                "displayName": f"above {_FULL:.0%} of a chip's HBM",
                "conditionThreshold": {
                    "filter": _series(place, "memory_used"),
                    "aggregations": [{"alignmentPeriod": "60s", "perSeriesAligner": "ALIGN_MEAN"}],
                    "comparison": "COMPARISON_GT",
                    "thresholdValue": limit,
                    "duration": "300s",
                },
            }
        ],
    }
    named = {"displayName": shown, **body}
    return Piece(
        "alert", f"//{MONITORING}/projects/{site.project}/alertPolicies/{quote(shown, safe='')}",
        f"alert policy {shown}", spec.name, body,
        "gcloud alpha monitoring policies create --policy-from-file=/dev/stdin"
        f" --project={site.project} <<'JSON'\n{json.dumps(named)}\nJSON",
        "gcloud alpha monitoring policies delete $(gcloud alpha monitoring policies list"
        f" --filter='displayName=\"{shown}\"' --format='value(name)') --project={site.project}"
        " --quiet",
        ("api-monitoring",),
        ("monitoring.alertPolicies.create", "monitoring.alertPolicies.delete"),
    )  # fmt: skip


def _chart(place: Place, title: str, metric: str, x: int) -> Json:
    aggregation = {"alignmentPeriod": "60s", "perSeriesAligner": "ALIGN_MEAN"}
    source = {"timeSeriesFilter": {"filter": _series(place, metric), "aggregation": aggregation}}
    chart = {"dataSets": [{"plotType": "LINE", "timeSeriesQuery": source}]}
    tile: dict[str, Any] = {"width": 6, "height": 4, "widget": {"title": title, "xyChart": chart}}
    return {**tile, "xPos": x} if x else tile


def _dashboard(place: Place, spec: TierSpec) -> Piece:
    site, busy = place.site, "TensorCore utilisation, %"
    if place.part.kind is PartKind.VERTEX:
        busy = "Duty cycle, 0 to 1"
    shown = f"{PREFIX}-{spec.name}"
    tiles = [
        _chart(place, busy, "tensorcore_utilization", 0),
        _chart(place, "HBM used, bytes", "memory_used", 6),
    ]
    body = {"mosaicLayout": {"columns": 12, "tiles": tiles}, "labels": {TIER_LABEL: spec.name}}
    named = {"displayName": shown, **body}
    return Piece(
        "dashboard", f"//{MONITORING}/projects/{site.project}/dashboards/{quote(shown, safe='')}",
        f"dashboard {shown}", spec.name, body,
        f"gcloud monitoring dashboards create --config-from-file=/dev/stdin"
        f" --project={site.project} <<'JSON'\n{json.dumps(named)}\nJSON",
        "gcloud monitoring dashboards delete $(gcloud monitoring dashboards list"
        f" --filter='displayName=\"{shown}\"' --format='value(name)') --project={site.project}"
        " --quiet",
        ("api-monitoring",), ("monitoring.dashboards.create", "monitoring.dashboards.delete"),
    )  # fmt: skip


def _logs(place: Place, spec: TierSpec) -> Iterator[Piece]:
    site = place.site
    dataset = f"{PREFIX}_logs_{spec.name}".replace("-", "_")
    sink = f"{PREFIX}-{spec.name}-logs"
    yield Piece(
        "dataset", site.dataset(dataset), f"dataset {dataset}", spec.name,
        {"location": site.region, "labels": {TIER_LABEL: spec.name}},
        f"bq --location={site.region} mk --dataset --label={TIER_LABEL}:{spec.name}"
        f" {site.project}:{dataset}",
        f"bq rm --recursive --force --dataset {site.project}:{dataset}",
        ("api-bigquery",), ("bigquery.datasets.create", "bigquery.datasets.delete"),
    )  # fmt: skip
    where = f"bigquery.googleapis.com/projects/{site.project}/datasets/{dataset}"
    chosen = _chosen(place, spec)
    body = {
        "destination": where,
        "filter": chosen,
        "bigqueryOptions": {"usePartitionedTables": True},
        "description": mark(spec.name),
    }
    project = f"--project={site.project}"
    yield Piece(
        "sink", f"//{LOGGING}/projects/{site.project}/sinks/{sink}",
        f"log sink {sink} into {dataset}", spec.name, body,
        f"gcloud logging sinks create {sink} {where} --use-partitioned-tables"
        f" --description='{mark(spec.name)}' --log-filter='{chosen}' {project}\n"
        "DATASET=$(mktemp)\n"
        f"WRITER=$(gcloud logging sinks describe {sink} --format='value(writerIdentity)' {project})"
        f"\nbq show --format=json {site.project}:{dataset}"
        ' | yq ".access += [{role: \\"WRITER\\", userByEmail: \\"${WRITER#serviceAccount:}\\"}]"'
        f' >"$DATASET"\nbq update --source="$DATASET" {site.project}:{dataset}',
        f"gcloud logging sinks delete {sink} {project} --quiet",
        ("api-logging", "dataset"),
        ("logging.sinks.create", "logging.sinks.delete", "bigquery.datasets.update"),
    )  # fmt: skip


def _chosen(place: Place, spec: TierSpec) -> str:
    """Which log entries are the servers'."""
    if place.part.kind is PartKind.TPU_VM:
        return f'resource.type="tpu_worker" AND resource.labels.node_id:"{place.part.name_prefix}"'
    if place.part.kind is PartKind.VERTEX:
        return (
            'resource.type="aiplatform.googleapis.com/Endpoint"'
            f' AND resource.labels.endpoint_id="{place.names.endpoint}"'
        )
    return (
        f'resource.type="k8s_container" AND resource.labels.cluster_name="{place.site.cluster}"'
        f' AND resource.labels.namespace_name="{spec.namespace}"'
    )


def _budget(site: Site, spec: TierSpec, amount_usd: float) -> Piece:
    shown = f"{PREFIX}-{spec.name}"
    body = {
        "budgetFilter": {
            "projects": [f"projects/{site.project}"],
            "labels": {TIER_LABEL: [spec.name]},
            "calendarPeriod": "MONTH",
        },
        "amount": {"specifiedAmount": {"currencyCode": "USD", "units": str(round(amount_usd))}},
        "thresholdRules": [
            {"thresholdPercent": 0.8, "spendBasis": "CURRENT_SPEND"},
            {"thresholdPercent": 1.0, "spendBasis": "FORECASTED_SPEND"},
        ],
    }
    account = site.billing_account.removeprefix("billingAccounts/")
    return Piece(
        "budget", f"//{BUDGETS}/{site.billing_account}/budgets/{quote(shown, safe='')}",
        f"budget {shown} of ${amount_usd:,.0f} a month", spec.name, body,
        f"gcloud billing budgets create --billing-account={account} --display-name={shown}"
        f" --budget-amount={round(amount_usd)}USD --filter-projects=projects/{site.project}"
        f" --filter-labels={TIER_LABEL}={spec.name} --calendar-period=month"
        " --threshold-rule=percent=0.8,basis=current-spend"
        " --threshold-rule=percent=1.0,basis=forecasted-spend",
        f"gcloud billing budgets delete $(gcloud billing budgets list --billing-account={account}"
        f" --filter='displayName={shown}' --format='value(name)') --quiet",
        ("api-billingbudgets",), ("billing.budgets.create", "billing.budgets.delete"),
    )  # fmt: skip
