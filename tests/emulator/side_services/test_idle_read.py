"""What Google's Recommender finds idle: whose it is, what it saves, what of it may not be read."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
from google.cloud.recommender_v1.types import recommendation as types

from core.cloud_resources import mark
from core.errors import Denied
from core.recommendations import Recommendation
from services.recommender import Recommender, standing
from tests.contracts.conftest import emulated_cloud
from tests.emulator.clients import HTTP, PROJECT
from tests.emulator.lifecycle.conftest import Compute
from tests.make import make_specs
from tests.processes import EmulatorProcess
from tests.waiting import wait_until

ADDRESSES = "google.compute.address.IdleResourceRecommender"


@contextmanager
def forbidden(
    beside: EmulatorProcess, service: str, method: str, resource: str = "*"
) -> Generator[None]:
    """Such calls lack their permission meanwhile."""
    rules = f"{beside.rest_url}/_heartwood/faults"
    rule = {"preset": "permission-denied", "service": service, "method": method,
            "resource": resource}  # fmt: skip
    (made,) = HTTP.post(rules, json=rule).raise_for_status().json()["faults"]
    try:
        yield
    finally:
        HTTP.delete(f"{rules}/{made['id']}").raise_for_status()


def test_idle_resources_say_whose_they_are(beside: EmulatorProcess) -> None:
    """An orphan's mark is read, a stranger's has none; what is deleted since is left out."""
    clients = emulated_cloud(beside).clients
    recommender, compute = Recommender(clients), Compute(beside.rest_url, HTTP)
    for name, description in (("idle-left", mark("gone")), ("idle-others", "not of the console")):
        compute.make("global/addresses", name=name, description=description)

    def read() -> tuple[Recommendation, ...]:
        found = recommender.list_cost(make_specs())
        assert found.problem is None
        return tuple(r for r in found.found if "/addresses/idle-" in r.resource)

    ours, others = wait_until(lambda: len(found := read()) == 2 and found)
    assert ours.resource.endswith(f"/projects/{PROJECT}/global/addresses/idle-left")
    assert (ours.state, ours.subtype, ours.location) == ("ACTIVE", "DELETE_ADDRESS", "global")
    assert (ours.owner, others.owner) == ("gone", None)
    assert ours.is_owner_known
    assert others.is_owner_known
    assert ours.saving_usd is None, "the emulated bill has no row of it"
    assert ours.refreshed_at is not None
    assert "idle-left" in ours.reason
    compute.drop("global/addresses/idle-others")
    (left,) = wait_until(lambda: len(found := read()) == 1 and found)
    assert left.owner == "gone"
    with forbidden(beside, "compute", "globalAddresses.get|addresses.get"):
        found = recommender.list_cost(make_specs())
        assert isinstance(found.problem, Denied)
        (unknown,) = (r for r in found.found if r.resource == ours.resource)
        assert (unknown.owner, unknown.is_owner_known) == (None, False)
    compute.drop("global/addresses/idle-left")
    clients.close()


def test_a_refusal_hides_what_it_is_of_alone(beside: EmulatorProcess) -> None:
    """Where one recommender may not be read the others are, with what is missing; else it fails."""
    clients = emulated_cloud(beside).clients
    recommender = Recommender(clients)
    with forbidden(beside, "recommender", "*", f"*{ADDRESSES}*"):
        found = recommender.list_cost(make_specs())
        assert isinstance(found.problem, Denied)
        assert "roles/recommender.viewer" in found.problem.hint
        assert not [r for r in found.found if "/addresses/" in r.resource]
    with forbidden(beside, "recommender", "*"), pytest.raises(Denied, match="recommender"):
        recommender.list_cost(make_specs())
    clients.close()


def test_a_saving_is_told_for_a_month() -> None:
    """Google's negative cost over its own period as dollars a month; what it does not say, not."""
    impact = {"category": "COST", "cost_projection": {
        "cost": {"currency_code": "USD", "units": -3, "nanos": -500_000_000},
        "duration": {"seconds": 15 * 86_400},
    }}  # fmt: skip
    known = {"name": "r/1", "target_resources": ["//a/b/c"], "primary_impact": impact,
             "state_info": {"state": "CLAIMED"}}  # fmt: skip
    nothing = {**impact["cost_projection"], "cost": {"currency_code": "USD"}}
    euros = {**impact["cost_projection"], "cost": {"currency_code": "EUR", "units": -3}}
    bodies: list[dict[str, Any]] = [
        known,
        {**known, "primary_impact": {**impact, "cost_projection": euros}},
        {**known, "primary_impact": {"category": "COST"}},
        {**known, "primary_impact": {**impact, "cost_projection": nothing}},
        {**known, "primary_impact": {"category": "SECURITY"}},
        {**known, "state_info": {"state": "DISMISSED"}},
    ]
    told = [types.Recommendation(body) for body in bodies]
    found = list(standing("projects/p/locations/global/recommenders/r", told))
    assert {r.state for r in found} == {"CLAIMED"}
    assert [str(r.saving_usd) for r in found] == ["7.0", "None", "None", "0.0"]
