"""What the cloud allows and warns of: quotas, machine types, reservations, open alerts."""

from __future__ import annotations

import time

import httpx
import pytest

from core.alerts import tier_of
from core.cloud_limits import Seller
from core.quota_use import quota_of, used_chips
from core.records import Snapshot
from core.specs import TIER_LABEL
from services.alerts import Alerts
from services.gke import Gke
from services.quotas import Quotas
from services.stock import Stock
from tests.alert_policies import firing_policy
from tests.contracts.conftest import Cloud
from tests.make import NOW


def test_quotas_of_chips_name_generation_and_place(cloud: Cloud) -> None:
    """Each API's own; one that Compute refuses beyond has room for the pools that run."""
    quotas = Quotas(cloud.clients).list_quotas()
    cloud.need(quotas, "quotas of TPU chips")
    found = quota_of(quotas, Seller.COMPUTE, "TPU7x", "us-central1-c")
    cloud.need(found, "quota of TPU7x")
    assert found is not None
    assert found.place == "us-central1"
    pools = Gke(cloud.clients).list_node_pools()
    used = used_chips(Snapshot(NOW, cloud.specs, {}, node_pools=pools), found)
    assert used is not None
    if cloud.emulated:
        assert 0 < used <= found.limit_chips == 10_752
        vertex = quota_of(quotas, Seller.VERTEX, "TPU7x", "us-central1-c")
        assert vertex is not None
        assert (vertex.place, vertex.limit_chips) == ("us-central1", 256)
        tpu = quota_of(quotas, Seller.TPU, "v6e", "us-central1-b")
        assert tpu is not None
        assert tpu.place == "us-central1-b"  # one for all zones allows as much in each


def test_machine_types_are_those_of_the_tiers_generations(cloud: Cloud) -> None:
    """Every zone in which nodes of a tier are or could be is listed, with its TPU types alone."""
    found = Stock(cloud.clients).list_machine_types(cloud.specs)
    assert set(found) == {"us-central1-c", "us-central1-ai1a"}
    if cloud.emulated:
        assert found["us-central1-c"] == {"tpu7x-standard-1t", "tpu7x-standard-4t"}


def test_reservations_tell_chips_and_their_use(cloud: Cloud) -> None:
    """In chips, not in machines."""
    if not cloud.emulated:
        pytest.skip("a real project is not reserved in")
    base = f"{cloud.clients.target.rest_url}/compute/compute/v1"
    zone = f"{base}/projects/{cloud.clients.project}/zones/us-central1-c/reservations"
    properties = {"machineType": "tpu7x-standard-4t"}
    specific = {"count": "3", "instanceProperties": properties}
    body = {"name": "chips", "specificReservation": specific}
    answer = httpx.post(zone, json=body, trust_env=False)
    assert answer.status_code == 200, answer.text
    stock, end = Stock(cloud.clients), time.monotonic() + 60
    while not (found := stock.list_reservations(cloud.specs)):
        assert time.monotonic() < end, "the reservation was not made in time"
        time.sleep(0.05)
    assert [(r.name, r.generation, r.chips, r.used_chips) for r in found] == [
        ("chips", "TPU7x", 12, 0)
    ]
    assert httpx.delete(f"{zone}/chips", trust_env=False).status_code == 200


def test_open_alerts_say_whose_they_are(cloud: Cloud) -> None:
    """A policy that is always true opens one alert for each tier's servers, the newest first."""
    if not cloud.emulated:
        pytest.skip("a real project gets no policy from a test")
    where = f"{cloud.clients.target.rest_url}/monitoring/v3/projects/{cloud.clients.project}"
    shown = "more than nothing runs"
    policy = firing_policy(shown, severity="WARNING")
    made = httpx.post(f"{where}/alertPolicies", json=policy, trust_env=False)
    assert made.status_code == 200, made.text
    name = made.json()["name"]
    try:
        found = [a for a in Alerts(cloud.clients).list_open(cloud.specs) if a.policy == name]
        assert {"small", "medium"} <= {a.tier for a in found}
        assert {(a.title, a.severity) for a in found} == {(shown, "WARNING")}
        opened = [a.opened_at for a in found if a.opened_at is not None]
        assert len(opened) == len(found)
        assert opened == sorted(opened, reverse=True)
    finally:
        url = f"{cloud.clients.target.rest_url}/monitoring/v3/{name}"
        assert httpx.delete(url, trust_env=False).status_code == 200


def test_a_label_decides_whose_an_alert_is(cloud: Cloud) -> None:
    """The policy's label, then names; a label of a tier that is not configured is nobody's."""
    specs = cloud.specs
    assert tier_of(specs, {TIER_LABEL: "dev"}, {"namespace": "small"}) == "dev"
    assert tier_of(specs, {TIER_LABEL: "gone"}, {"namespace": "small"}) == ""
    assert tier_of(specs, {}, {"backend_target_name": "hw-medium"}) == "medium"
    assert tier_of(specs, {}, {"node_pool_name": "hw-large-03"}) == "large"
    assert tier_of(specs, {}, {"zone": "us-central1-c"}) == ""
