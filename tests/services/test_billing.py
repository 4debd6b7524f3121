"""Prices and cost rows as the wire brings them: units, currencies, completeness."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from typing import Any

import grpc
import pytest
from google.cloud.billing_v1 import types as catalogue

from core.errors import Invalid
from services.billing import Billing
from services.clients import Clients, CloudTarget
from tests.make import make_specs
from tests.services.planted import Answer, PlantedHttp

_FIELDS = (
    ("day", "DATE"), ("tier", "STRING"), ("service", "STRING"), ("sku_id", "STRING"),
    ("sku", "STRING"), ("cost", "FLOAT"), ("credits", "FLOAT"), ("usage_amount", "FLOAT"),
    ("usage_unit", "STRING"), ("currency", "STRING"), ("newest", "TIMESTAMP"),
)  # fmt: skip


# What BigQuery tells of the export itself: one that is not partitioned.
TABLE = Answer(body=b'{"tableReference": {"projectId": "p", "datasetId": "d", "tableId": "t"}}')


def _answer(*rows: dict[str, Any]) -> Answer:
    """A jobs.query answer with those rows."""
    body = {
        "jobComplete": True,
        "jobReference": {"projectId": "p", "jobId": "j"},
        "schema": {"fields": [{"name": n, "type": t} for n, t in _FIELDS]},
        "totalRows": str(len(rows)),
        "rows": [{"f": [{"v": row[n]} for n, _ in _FIELDS]} for row in rows],
    }
    return Answer(200, json.dumps(body).encode())


def _row(day: str, newest: datetime, **changes: Any) -> dict[str, Any]:
    return {
        "day": day, "tier": "small", "service": "Compute Engine", "sku_id": "0F71-4391-B6CA",
        "sku": "TPU7x", "cost": "120.5", "credits": "-20.5", "usage_amount": "10",
        "usage_unit": "hour", "currency": "USD", "newest": str(int(newest.timestamp() * 1_000_000)),
    } | changes  # fmt: skip


def test_a_day_is_complete_a_day_after_its_end(clients: Clients, http: PlantedHttp) -> None:
    """Judged by when the newest row was exported, not by the clock of this machine."""
    newest = datetime(2026, 11, 20, 1, tzinfo=UTC)
    http.answers = [TABLE, _answer(_row("2026-11-18", newest), _row("2026-11-19", newest))]
    costs = Billing(clients).read_costs(date(2026, 11, 20))
    assert [r.complete for r in costs.rows] == [True, False]
    assert costs.newest_at == newest
    assert costs.rows[0].net_usd == pytest.approx(100.0)
    assert costs.rows[0].usage_unit == "hour"


def test_rows_without_usage_or_label_are_kept(clients: Clients, http: PlantedHttp) -> None:
    """Taxes and adjustments have no usage; unlabelled cost is unassigned, not lost."""
    newest = datetime(2026, 11, 20, tzinfo=UTC)
    row = _row("2026-11-18", newest, tier="", usage_amount=None, usage_unit=None, credits=None)
    http.answers = [TABLE, _answer(row)]
    (found,) = Billing(clients).list_costs(date(2026, 11, 20))
    assert (found.tier, found.usage, found.credits_usd) == ("", 0.0, 0.0)


def test_another_currency_is_refused_and_never_shown_as_dollars(
    clients: Clients, http: PlantedHttp
) -> None:
    """Money of another kind would be wrong by its rate."""
    http.answers = [
        TABLE,
        _answer(_row("2026-11-18", datetime(2026, 11, 20, tzinfo=UTC), currency="JPY")),
    ]
    with pytest.raises(Invalid, match="JPY"):
        Billing(clients).list_costs(date(2026, 11, 20))


def test_no_rows_are_no_costs(clients: Clients, http: PlantedHttp) -> None:
    """A new export is empty, which is no failure."""
    http.answers = [TABLE, _answer()]
    costs = Billing(clients).read_costs(date(2026, 11, 20))
    assert costs.rows == ()
    assert costs.newest_at is None


def _sku(description: str, unit: str = "h", usd: int = 12, group: str = "TPU") -> catalogue.Sku:
    rate = {"start_usage_amount": 0, "unit_price": {"currency_code": "USD", "units": usd}}
    return catalogue.Sku(
        sku_id=description,
        description=description,
        category={"resource_group": group, "usage_type": "OnDemand"},
        service_regions=["us-central1", "asia-east1"],
        pricing_info=[
            {
                "effective_time": datetime(2026, 6, 1, tzinfo=UTC),
                "pricing_expression": {"usage_unit": unit, "tiered_rates": [rate]},
            }
        ],
    )


def test_prices_are_kept_by_group_generation_region_and_unit() -> None:
    """Only chip-hours of the tiers' generations where the tiers are; Vertex's from its own list."""
    skus = [
        _sku("TPU7x in Iowa"),
        _sku("TPU v6e in Iowa", usd=3),
        _sku("TPU v5p in Iowa"),  # no tier has it
        _sku("TPU7x storage", unit="GiBy.mo"),
        _sku("TPU7x licence", group="License"),
        _sku("TPU7x unpublished", usd=0),
    ]
    vertex = [
        _sku("Online Prediction TPU7x in Iowa", usd=15, group="Prediction"),
        _sku("Training TPU7x in Iowa", usd=14, group="Training"),
    ]
    answers = {
        "services/6F81-5844-456A": catalogue.ListSkusResponse(skus=skus),
        "services/C7E2-9256-1C43": catalogue.ListSkusResponse(skus=vertex),
    }

    def answer(request: bytes, _context: object) -> bytes:
        parent = catalogue.ListSkusRequest.deserialize(request).parent
        return catalogue.ListSkusResponse.serialize(answers[parent])

    class Everything(grpc.GenericRpcHandler):
        def service(self, handler_call_details: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(answer)

    server = grpc.server(ThreadPoolExecutor(2), handlers=[Everything()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        clients = Clients(CloudTarget("emulator", "p", grpc_target=f"127.0.0.1:{port}"))
        prices = Billing(clients).list_prices(make_specs())
    finally:
        server.stop(None).wait(2)
    assert [(p.sku_id, p.generation, p.product, p.region, p.usd_per_chip_hour) for p in prices] == [
        ("TPU7x in Iowa", "TPU7x", "Compute Engine", "us-central1", 12.0),
        ("Online Prediction TPU7x in Iowa", "TPU7x", "Vertex AI", "us-central1", 15.0),
        ("TPU v6e in Iowa", "v6e", "Compute Engine", "us-central1", 3.0),
    ]
    assert prices[0].effective_at == datetime(2026, 6, 1, tzinfo=UTC)
