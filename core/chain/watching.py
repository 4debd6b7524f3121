"""Who watches a tier: an alert policy, a dashboard, its logs in BigQuery, a budget."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from core import tpu
from core.chain.pieces import PREFIX, Json, Piece, Site
from core.cloud_resources import BUDGETS, LOGGING, MONITORING, mark
from core.specs import TIER_LABEL, TierSpec

_FULL = 0.95  # of the HBM: then servers soon refuse or evict


def watching_pieces(site: Site, spec: TierSpec) -> Iterator[Piece]:
    """The pieces, in order; no budget where none is configured or no account is known."""
    yield _alert(site, spec)
    yield _dashboard(site, spec)
    yield from _logs(site, spec)
    if spec.monthly_budget_usd is not None and site.billing_account:
        yield _budget(site, spec, spec.monthly_budget_usd)


def _series(site: Site, metric: str) -> str:
    return (
        f'metric.type="kubernetes.io/node/accelerator/{metric}" resource.type="k8s_node"'
        f' resource.labels.cluster_name="{site.cluster}"'
    )


def _alert(site: Site, spec: TierSpec) -> Piece:
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
                    "filter": _series(site, "memory_used"),
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


def _chart(site: Site, title: str, metric: str, x: int) -> Json:
    aggregation = {"alignmentPeriod": "60s", "perSeriesAligner": "ALIGN_MEAN"}
    source = {"timeSeriesFilter": {"filter": _series(site, metric), "aggregation": aggregation}}
    chart = {"dataSets": [{"plotType": "LINE", "timeSeriesQuery": source}]}
    tile: dict[str, Any] = {"width": 6, "height": 4, "widget": {"title": title, "xyChart": chart}}
    return {**tile, "xPos": x} if x else tile


def _dashboard(site: Site, spec: TierSpec) -> Piece:
    shown = f"{PREFIX}-{spec.name}"
    tiles = [
        _chart(site, "TensorCore utilisation, %", "tensorcore_utilization", 0),
        _chart(site, "HBM used, bytes", "memory_used", 6),
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


def _logs(site: Site, spec: TierSpec) -> Iterator[Piece]:
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
    chosen = (
        f'resource.type="k8s_container" AND resource.labels.cluster_name="{site.cluster}"'
        f' AND resource.labels.namespace_name="{spec.namespace}"'
    )
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
