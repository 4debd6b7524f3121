"""Billing accounts, catalogue, budgets and the dashboard through Google's own clients."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import billing_v1, monitoring_dashboard_v1
from google.cloud.billing import budgets_v1
from google.cloud.billing.budgets_v1.services.budget_service.transports import (
    BudgetServiceGrpcTransport,
)
from google.cloud.billing_v1.services.cloud_billing.transports import CloudBillingGrpcTransport
from google.cloud.billing_v1.services.cloud_catalog.transports import CloudCatalogGrpcTransport
from google.cloud.monitoring_dashboard_v1.services.dashboards_service.transports import (
    DashboardsServiceGrpcTransport,
)

from tests.processes import EmulatorProcess

ACCOUNT = "billingAccounts/01A2B3-C4D5E6-F7A8B9"
COMPUTE = "services/6F81-5844-456A"
_CLIENTS = {
    "catalogue": (billing_v1.CloudCatalogClient, CloudCatalogGrpcTransport, "/billing"),
    "billing": (billing_v1.CloudBillingClient, CloudBillingGrpcTransport, "/billing"),
    "budgets": (budgets_v1.BudgetServiceClient, BudgetServiceGrpcTransport, "/billingbudgets"),
    "dashboards": (monitoring_dashboard_v1.DashboardsServiceClient,
                   DashboardsServiceGrpcTransport, "/monitoring"),
}  # fmt: skip


def make_client(name: str, wire: str, emulator: EmulatorProcess) -> Any:
    """Google's client over the wire."""
    client, transport, prefix = _CLIENTS[name]
    if wire == "grpc":
        channel = grpc.insecure_channel(emulator.grpc_target)
        return client(transport=transport(channel=channel))
    options = ClientOptions(api_endpoint=emulator.rest_url + prefix)
    return client(credentials=AnonymousCredentials(), transport="rest", client_options=options)


both = pytest.mark.parametrize("wire", ["grpc", "rest"])


@both
def test_prices_are_the_public_ones(emulator: EmulatorProcess, wire: str) -> None:
    """A TPU7x chip-hour is SKU 0F71-4391-B6CA at $12.00, preemptible $4.332."""
    client = make_client("catalogue", wire, emulator)
    assert COMPUTE in [s.name for s in client.list_services(retry=None, timeout=20)]
    prices = {}
    for sku in client.list_skus(parent=COMPUTE, retry=None, timeout=20):
        money = sku.pricing_info[0].pricing_expression.tiered_rates[0].unit_price
        key = (sku.description.split(" running")[0], sku.category.resource_group)
        prices[key] = (money.units + money.nanos / 1e9, sku.sku_id)
    assert prices["TPU7x", "TPU"] == (12.0, "0F71-4391-B6CA")
    assert prices["Preemptible TPU7x", "TPU"][0] == pytest.approx(4.332)
    assert prices["TPU v6e", "TPU"][0] == pytest.approx(2.70)


@both
def test_account_and_project(emulator: EmulatorProcess, wire: str) -> None:
    """One open account pays for the project; others are denied, as by Google."""
    client = make_client("billing", wire, emulator)
    assert [a.name for a in client.list_billing_accounts(retry=None, timeout=20)] == [ACCOUNT]
    info = client.get_project_billing_info(name="projects/heartwood-demo", retry=None, timeout=20)
    assert info.billing_account_name == ACCOUNT
    with pytest.raises(exceptions.Forbidden):
        client.get_billing_account(
            name="billingAccounts/000000-000000-000000", retry=None, timeout=20
        )


@both
def test_a_budget_per_tier(emulator: EmulatorProcess, wire: str) -> None:
    """Each tier has a monthly budget that filters by its label."""
    client = make_client("budgets", wire, emulator)
    found = list(client.list_budgets(parent=ACCOUNT, retry=None, timeout=20))
    amounts = {b.budget_filter.labels["heartwood-tier"][0]: b.amount.specified_amount.units
               for b in found}  # fmt: skip
    assert amounts == {"small": 2_300_000, "medium": 9_200_000, "large": 82_000_000, "dev": 16_500}
    assert [r.threshold_percent for r in found[0].threshold_rules] == [0.5, 0.8, 1.0]
    assert client.get_budget(name=found[0].name, retry=None, timeout=20) == found[0]
    with pytest.raises(exceptions.NotFound):
        client.get_budget(name=f"{ACCOUNT}/budgets/none", retry=None, timeout=20)


@both
def test_dashboard_is_a_legal_mosaic(emulator: EmulatorProcess, wire: str) -> None:
    """The dashboard's tiles lie within its columns and do not overlap."""
    client = make_client("dashboards", wire, emulator)
    parent = "projects/heartwood-demo"
    (found,) = client.list_dashboards(parent=parent, retry=None, timeout=20)
    layout = found.mosaic_layout
    assert 1 <= layout.columns <= 48
    cells = set()
    for tile in layout.tiles:
        assert tile.x_pos + tile.width <= layout.columns
        area = {(x, y) for x in range(tile.x_pos, tile.x_pos + tile.width)
                for y in range(tile.y_pos, tile.y_pos + tile.height)}  # fmt: skip
        assert not cells & area
        cells |= area


def test_monitoring_answers_rest_too(emulator: EmulatorProcess) -> None:
    """Methods without REST in Google's library answer their documented paths."""
    base = f"{emulator.rest_url}/monitoring/v3/projects/heartwood-demo"
    with urllib.request.urlopen(f"{base}/metricDescriptors?pageSize=3", timeout=20) as answer:
        body = json.load(answer)
    assert len(body["metricDescriptors"]) == 3
    assert body["nextPageToken"]
    name = "metricDescriptors/kubernetes.io/node/accelerator/duty_cycle"
    with urllib.request.urlopen(f"{base}/{name}", timeout=20) as answer:
        assert json.load(answer)["valueType"] == "DOUBLE"
