"""Prices, cost rows and budgets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from core.errors import Invalid, NotFound
from core.money import COMPUTE
from core.records import CostRow
from services.billing import Billing, generation_of_sku
from services.budgets import Budgets
from services.clients import Clients, CloudTarget
from tests.contracts.conftest import Cloud


def test_prices_are_per_chip_hour_of_the_tiers_generations(cloud: Cloud) -> None:
    """Each generation of a tier has an on-demand price in its region, never 0."""
    prices = Billing(cloud.clients).list_prices(cloud.specs)
    wanted = {(s.generation, s.zone.rsplit("-", 1)[0]) for s in cloud.specs if s.generation}
    on_demand = {
        (p.generation, p.region): p.usd_per_chip_hour
        for p in prices
        if p.usage_type == "OnDemand" and p.product == COMPUTE
    }
    assert set(on_demand) == wanted
    assert all(p.usd_per_chip_hour > 0 for p in prices)
    if cloud.emulated:
        assert on_demand[("TPU7x", "us-central1")] == pytest.approx(12.0)
        assert on_demand[("v6e", "us-central1")] == pytest.approx(2.70)
        billed = Billing(cloud.clients).list_costs(datetime.now(UTC).date(), 3)
        chips = {r.sku_id for r in billed if "TPU" in r.sku}
        assert chips <= {p.sku_id for p in prices}  # Vertex's too


def test_cost_rows_cover_the_days_and_name_tiers(cloud: Cloud) -> None:
    """31 days, each row with its SKU; yesterday and before may be complete, today never is."""
    if not cloud.clients.target.billing_export:
        pytest.skip("no billing export is named")
    today = datetime.now(UTC).date()
    costs = Billing(cloud.clients).read_costs(today, 31)
    cloud.need(costs.rows, "cost rows")
    assert costs.newest_at is not None
    days = {r.day for r in costs.rows}
    assert min(days) >= today - timedelta(days=30)
    assert max(days) <= today
    assert not any(r.complete for r in costs.rows if r.day == today)
    assert all(r.sku_id and r.service for r in costs.rows)
    assert all(r.credits_usd <= 0 for r in costs.rows)
    if cloud.emulated:
        assert {"small", "medium", "dev"} <= {r.tier for r in costs.rows}
        assert len(days) >= 29
        per_day = 1024 * 24 * 12.0
        middle = today - timedelta(days=3)
        medium = sum(
            r.cost_usd
            for r in costs.rows
            if r.tier == "medium" and r.day == middle and "tpu" in r.sku.lower()
        )
        assert medium == pytest.approx(per_day, rel=0.5)


@pytest.fixture
def shared_export(cloud: Cloud) -> Iterator[str]:
    """A copy of the export, not partitioned, in which another project has the same rows again."""
    if not cloud.emulated:
        pytest.skip("a real project's datasets are not written to")
    target, client = cloud.clients.target, cloud.clients.bigquery()
    client.create_dataset("shared", retry=None)
    other = "STRUCT('other' AS id, '1' AS number, 'other' AS name) AS project"
    client.query_and_wait(
        f"CREATE TABLE shared.export AS SELECT * FROM `{target.billing_export}` UNION ALL "
        f"SELECT * REPLACE ({other}) FROM `{target.billing_export}`"
    )
    yield f"{target.project}.shared.export"
    client.delete_dataset("shared", delete_contents=True, retry=None)


def test_costs_are_the_projects_own(cloud: Cloud, shared_export: str) -> None:
    """An export holds all projects of its billing account; what others spend is not ours."""
    clients, today = cloud.clients, datetime.now(UTC).date() - timedelta(days=2)
    rows = clients.bigquery().query_and_wait(
        f"SELECT COUNT(DISTINCT project.id) AS n FROM `{shared_export}`"
    )
    assert [r["n"] for r in rows] == [2]
    shared = Clients(replace(clients.target, billing_export=shared_export))
    own = Billing(clients).list_costs(today, 7)
    assert own
    assert _totals(Billing(shared).list_costs(today, 7)) == pytest.approx(_totals(own))
    shared.close()


def _totals(rows: Sequence[CostRow]) -> dict[str, float]:
    found: dict[str, float] = {}
    for row in rows:
        key = f"{row.day} {row.tier} {row.sku_id}"
        found[key] = found.get(key, 0.0) + row.cost_usd
    return found


def test_costs_without_an_export_say_what_to_set(cloud: Cloud) -> None:
    """A missing or malformed table name never reaches SQL."""
    target = cloud.clients.target
    for name in ("", "a.b", "p.d.t`; DROP TABLE x; --"):
        without = Clients(CloudTarget(target.kind, target.project, billing_export=name))
        with pytest.raises(Invalid) as caught:
            Billing(without).list_costs(datetime.now(UTC).date())
        assert "project.billing_export" in caught.value.hint


def test_an_unknown_table_is_not_found(cloud: Cloud) -> None:
    """BigQuery's own word on it."""
    target = cloud.clients.target
    other = Clients(
        CloudTarget(
            target.kind,
            target.project,
            billing_export=f"{target.project}.no_such_dataset.no_such_table",
            rest_url=target.rest_url,
            grpc_target=target.grpc_target,
        )
    )
    with pytest.raises(NotFound):
        Billing(other).list_costs(datetime.now(UTC).date())


def test_budgets(cloud: Cloud) -> None:
    """Amounts in dollars and thresholds as ratios."""
    if not cloud.clients.target.billing_account:
        pytest.skip("no billing account is named")
    budgets = Budgets(cloud.clients).list_budgets()
    cloud.need(budgets, "budgets")
    for budget in budgets:
        assert budget.display_name
        assert budget.amount_usd is None or budget.amount_usd > 0
        assert all(0 < t <= 10 for t in budget.threshold_ratios)


@pytest.mark.parametrize(
    ("description", "generation"),
    [
        ("TPU7x running in Iowa", "TPU7x"),
        ("Ironwood TPU in Iowa", "TPU7x"),
        ("TPU v6e running in Iowa", "v6e"),
        ("Tpu-v5p hour in Ohio", "v5p"),
        ("TPU v5e Spot", "v5e"),
        ("N2 Instance Core", ""),
    ],
)
def test_generations_are_told_from_descriptions(description: str, generation: str) -> None:
    """The catalogue has no field for the generation."""
    assert generation_of_sku(description) == generation
