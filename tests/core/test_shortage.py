"""What else could be had after a stock-out or a quota that did not suffice, from the Snapshot."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.actions import make_plan
from core.cloud_limits import ChipQuota, ReservedChips, Seller
from core.money import Price
from core.plans import Plan, Request
from core.records import Snapshot
from core.shortage import Shortage, alternatives, shortage_of
from tests.core.test_provision import CONTEXT
from tests.make import NOW, make_snapshot

STOCK = "the operation: Google Compute Engine: ... does not have enough resources [GCE_STOCKOUT]."
QUOTA = "Insufficient quota to satisfy the request: limit 64 chips."


@pytest.mark.parametrize(
    ("message", "short"),
    [
        (STOCK, Shortage.STOCK),
        ('There is no more capacity in the zone "us-central1-b"; try another', Shortage.STOCK),
        (QUOTA, Shortage.QUOTA),
        ("Quota exceeded for quota metric 'Requests' and limit 'Requests per minute'", None),
        ("Internal error encountered.", None),
    ],
)
def test_the_message_says_what_was_short(message: str, short: Shortage | None) -> None:
    """Too many calls a minute are no lack of chips."""
    assert shortage_of(message) is short


def world() -> Snapshot:
    """Nothing runs; the other zone of TPU7x is read, a reservation there, all prices."""
    found = make_snapshot("empty")
    spot = Price("S", "spot", "TPU7x", "us-central1", "Preemptible", 4.332, NOW)
    return replace(
        found,
        prices=(*(found.prices or ()), spot),
        machine_types={z: frozenset({"tpu7x-standard-4t"})
                       for z in ("us-central1-c", "us-central1-ai1a")},
        reservations=(ReservedChips("r1", "us-central1-c", "TPU7x", 64, 32),
                      ReservedChips("full", "us-central1-c", "TPU7x", 64, 60)),
        quotas=(ChipQuota("us-central1", "TPU7x", 100.0),
                ChipQuota("us-central1-b", "v6e", 64.0, None, Seller.TPU)),
    )  # fmt: skip


def plan(snapshot: Snapshot, tier: str, **parameters: str | int | bool) -> Plan:
    """That it is provisioned where nothing is."""
    request = Request("provision_tier", tier, parameters)
    return make_plan(snapshot, request, NOW, replace(CONTEXT, resources={}))


def told(tier: str, key: str, message: str, **parameters: str | int | bool) -> str:
    """The alternatives to that step, as one text."""
    snapshot = world()
    found = plan(snapshot, tier, **parameters)
    step = next(s for s in found.steps if s.key == key)
    return "\n".join(alternatives(snapshot, found, step, message))


def test_after_a_stock_out_on_gke() -> None:
    """Reservation, spot with its price, the other zone, a smaller slice; no queues."""
    text = told("medium", "pool-00", STOCK, slices=2)
    assert "reservation r1 in us-central1-c has 32 chips free (reservation=r1)" in text
    assert "full" not in text
    assert "at $4.332 a chip-hour instead of $12 (spot=true)" in text
    assert "us-central1-ai1a offers tpu7x-standard-4t, with 100 chips of quota free" in text
    assert "slices of 2x2x2 (8 chips instead of 16) hold the model's 141 GB" in text
    assert "queued" not in text
    assert "spot=true" not in told("medium", "pool-00", STOCK, slices=2, spot=True)


def test_after_a_quota_failure() -> None:
    """What still fits; no zone of the same region, whose quota is the same."""
    text = told("small", "pool-00", QUOTA, slices=48)
    assert "25 slices fit into the 100 chips that the quota leaves" in text
    assert "ai1a" not in text


def test_only_the_cloud_tpu_api_has_queues() -> None:
    """For its nodes; reservations of Compute Engine are of no use to it."""
    text = told("dev", "node-00", STOCK)
    assert "queued=true" in text
    assert "us-east1-d has v6e, as Google's pages say, with a quota that is not known" in text
    assert "reservation" not in text
    assert "queued=true" not in told("dev", "queue-00", STOCK, queued=True)


def test_replicas_on_vertex_have_neither_spot_nor_zones() -> None:
    """TPU7x is in one region; another slice is left."""
    text = told("small", "replicas", STOCK, replicas=2)
    assert "spot" not in text
    assert "reservation" not in text
    assert "zone" not in text.replace("zone and location", "")
    assert "1x1x1" in text


def test_nothing_is_offered_where_nothing_was_short() -> None:
    """Nor for a step that asks for no chips."""
    snapshot = world()
    found = plan(snapshot, "small", slices=1)
    pool = next(s for s in found.steps if s.key == "pool-00")
    network = next(s for s in found.steps if s.key == "network")
    assert alternatives(snapshot, found, pool, "Internal error") == ()
    assert alternatives(snapshot, found, network, QUOTA) == ()
