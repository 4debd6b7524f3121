"""Recommender: what lies idle for long enough is found, and what people say of it is kept."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions

from tests.emulator.clients import HTTP, PROJECT, WIRES, make_client
from tests.emulator.lifecycle.conftest import Compute
from tests.processes import EmulatorProcess
from tests.waiting import wait_until

GLOBAL = f"projects/{PROJECT}/locations/global"
ADDRESSES = f"{GLOBAL}/recommenders/google.compute.address.IdleResourceRecommender"
INSIGHTS = f"{GLOBAL}/insightTypes/google.compute.address.IdleResourceInsight"


def _about(client: Any, address: str) -> list[Any]:
    listed = client.list_recommendations(parent=ADDRESSES)
    return [r for r in listed if r.target_resources[0].endswith(f"/{address}")]


@pytest.mark.parametrize("wire", WIRES)
def test_an_idle_address(beside: EmulatorProcess, wire: str) -> None:
    """Found after 15 days, without a price; claiming it freezes it and accepts its insight."""
    compute = Compute(beside.rest_url, HTTP)
    name = f"unused-{wire}"
    compute.make("global/addresses", name=name)
    client = make_client("RecommenderClient", wire, beside)
    (found,) = wait_until(lambda: _about(client, name))
    assert (found.state_info.state.name, found.recommender_subtype) == ("ACTIVE", "DELETE_ADDRESS")
    (operation,) = found.content.operation_groups[0].operations
    assert (operation.action, operation.resource) == ("remove", found.target_resources[0])
    assert found.primary_impact.category.name == "COST"
    assert "cost_projection" not in found.primary_impact
    assert client.get_recommendation(name=found.name).etag == found.etag
    insight = client.get_insight(name=found.associated_insights[0].insight)
    assert insight.observation_period.days == 15
    assert insight.associated_recommendations[0].recommendation == found.name
    accepted = client.mark_insight_accepted(name=insight.name, state_metadata={}, etag=insight.etag)
    assert accepted.state_info.state.name == "ACCEPTED"
    with pytest.raises(exceptions.BadRequest, match="ACTIVE"):
        client.mark_insight_accepted(name=insight.name, state_metadata={}, etag=accepted.etag)

    def mark(verb: str, etag: str, **metadata: str) -> Any:
        call = getattr(client, f"mark_recommendation_{verb}")
        return call(name=found.name, state_metadata=metadata, etag=etag)

    claimed = mark("claimed", found.etag, ticket="OPS-1")
    assert claimed.state_info.state_metadata["ticket"] == "OPS-1"
    with pytest.raises((exceptions.Aborted, exceptions.Conflict), match="etag"):
        mark("succeeded", found.etag)
    with pytest.raises(exceptions.BadRequest, match="etag must be set"):
        mark("succeeded", "")
    with pytest.raises(exceptions.BadRequest, match="state metadata"):
        mark("succeeded", claimed.etag, **{"Bad Key": "x"})
    failed = mark("failed", claimed.etag)
    with pytest.raises(exceptions.BadRequest, match="FAILED cannot be marked DISMISSED"):
        client.mark_recommendation_dismissed(request={"name": found.name, "etag": failed.etag})
    compute.drop(f"global/addresses/{name}")
    done = mark("succeeded", failed.etag)
    wanted = {"parent": ADDRESSES, "filter": "stateInfo.state = SUCCEEDED"}
    assert done.name in [r.name for r in client.list_recommendations(request=wanted)]
    wanted = {"parent": INSIGHTS, "filter": "stateInfo.state = ACCEPTED"}
    assert insight.name in [i.name for i in client.list_insights(request=wanted)]


def test_what_goes_away(beside: EmulatorProcess) -> None:
    """A dismissed one stays dismissed; one whose address is deleted is no more."""
    compute = Compute(beside.rest_url, HTTP)
    client = make_client("RecommenderClient", "grpc", beside)
    for name in ("kept", "dropped"):
        compute.make("global/addresses", name=name)
    (kept,), (gone,) = (wait_until(lambda n=n: _about(client, n)) for n in ("kept", "dropped"))
    request = {"name": kept.name, "etag": kept.etag}
    dismissed = client.mark_recommendation_dismissed(request=request)
    assert client.get_recommendation(name=kept.name).state_info.state.name == "DISMISSED"
    with pytest.raises(exceptions.FailedPrecondition):
        client.mark_recommendation_dismissed(request={**request, "etag": dismissed.etag})
    compute.drop("global/addresses/dropped")
    with pytest.raises(exceptions.NotFound):
        client.get_recommendation(name=gone.name)
    assert _about(client, "hw-serving-ip") == [], "it is in use"
    for known in ("google.compute.disk.IdleResourceRecommender",
                  "google.compute.instance.IdleResourceRecommender"):  # fmt: skip
        parent = f"projects/{PROJECT}/locations/us-central1-c/recommenders/{known}"
        assert list(client.list_recommendations(parent=parent)) == []
    with pytest.raises(exceptions.InvalidArgument):
        client.list_recommendations(parent=f"{GLOBAL}/recommenders/google.Nothing")
    with pytest.raises(exceptions.PermissionDenied):
        client.list_insights(parent=INSIGHTS.replace("global", "nowhere"))


def test_an_idle_cluster(beside: EmulatorProcess) -> None:
    """A cluster that has had no nodes for 30 days is found; one that serves is not."""
    place = f"projects/{PROJECT}/locations/us-central1"
    gke = make_client("ClusterManagerClient", "grpc", beside)
    pool = {"name": "default-pool", "initial_node_count": 1,
            "config": {"machine_type": "e2-standard-4"}}  # fmt: skip
    body = {"name": "forgotten", "network": "hw-net", "subnetwork": "hw-subnet",
            "node_pools": [pool]}  # fmt: skip
    gke.create_cluster(parent=place, cluster=body)

    def now(status: str) -> list[Any]:
        found = [c for c in gke.list_clusters(parent=place).clusters if c.name == "forgotten"]
        return [c for c in found if c.status.name == status]

    wait_until(lambda: now("RUNNING"))
    gke.delete_node_pool(name=f"{place}/clusters/forgotten/nodePools/default-pool")
    client = make_client("RecommenderClient", "grpc", beside)
    parent = f"{place}/recommenders/google.container.DiagnosisRecommender"
    (found,) = wait_until(lambda: list(client.list_recommendations(parent=parent)))
    assert found.recommender_subtype == "CLUSTER_IDLE"
    assert found.target_resources[0].endswith("/clusters/forgotten")
    assert "cost_projection" not in found.primary_impact, "GKE's fee is not in the price list"
    insight = client.get_insight(name=found.associated_insights[0].insight)
    assert insight.insight_subtype == "CLUSTER_IDLE_NO_NODES"


@pytest.mark.parametrize("wire", WIRES)
def test_no_new_parallelstore(beside: EmulatorProcess, wire: str) -> None:
    """There is none, and none can be made; its service has to be enabled even for that."""
    usage = make_client("ServiceUsageClient", wire, beside)
    name = f"projects/{PROJECT}/services/parallelstore.googleapis.com"
    usage.enable_service(request={"name": name})
    wait_until(lambda: usage.get_service(request={"name": name}).state.name == "ENABLED")
    client = make_client("ParallelstoreClient", wire, beside)
    zone = f"projects/{PROJECT}/locations/us-central1-c"
    assert list(client.list_instances(parent=zone)) == []
    instance = {"capacity_gib": 12_000}
    with pytest.raises(exceptions.Forbidden, match="by invitation only"):
        client.create_instance(parent=zone, instance_id="scratch", instance=instance)
    for call in (client.get_instance, client.delete_instance):
        with pytest.raises(exceptions.NotFound):
            call(name=f"{zone}/instances/scratch")
    if wire == "rest":
        places = client.list_locations({"name": f"projects/{PROJECT}"}).locations
        assert client.get_location({"name": zone}).location_id in [p.location_id for p in places]
        assert not client.list_operations({"name": zone, "filter": ""}).operations, "none began"
