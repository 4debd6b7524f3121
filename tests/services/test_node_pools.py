"""Node pools as GKE and Compute tell them between two calls."""

from __future__ import annotations

from google.cloud import container_v1 as container

from services.gke import _pool

GROUPS = "https://www.googleapis.com/compute/v1/projects/p/zones"


def test_a_pool_whose_group_is_gone_is_a_pool_without_nodes() -> None:
    """Between the two lists a deletion goes on: that pool shrinks, no other is lost."""
    found = container.NodePool(
        name="a",
        instance_group_urls=[
            f"{GROUPS}/us-central1-a/instanceGroupManagers/one",
            f"{GROUPS}/us-central1-b/instanceGroupManagers/two",
        ],
    )
    whole = _pool("c", "us-central1", found, {"us-central1-a/one": 3, "us-central1-b/two": 2})
    assert (whole.node_count, whole.status_message) == (5, "")
    part = _pool("c", "us-central1", found, {"us-central1-a/one": 3})
    assert part.node_count == 3
    assert part.status_message == "instance group us-central1-b/two does not exist (any more)"
    assert _pool("c", "us-central1", found, {}).node_count == 0


def test_the_bounds_of_a_pool_are_those_of_all_its_zones() -> None:
    """GKE keeps them for each zone, or in total; a pool without an autoscaler has none."""
    found = container.NodePool(name="a", locations=["us-central1-a", "us-central1-b"])
    whole = _pool("c", "us-central1", found, {})
    assert (whole.least_nodes, whole.most_nodes) == (None, None)
    for asked in (
        {"min_node_count": 1, "max_node_count": 3},
        {"total_min_node_count": 2, "total_max_node_count": 6},
    ):
        found.autoscaling = container.NodePoolAutoscaling(enabled=True, **asked)
        whole = _pool("c", "us-central1", found, {})
        assert (whole.least_nodes, whole.most_nodes) == (2, 6)
