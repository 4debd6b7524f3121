"""A running emulator with free hosts; and no controller may fail unseen.

A controller's failure is only logged, so that others go on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.emulator.clients import CLUSTER, LOCATION, make_client
from tests.processes import EmulatorProcess, start_emulator


@pytest.fixture(autouse=True)
def no_failures(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fails the test in which a controller raised."""
    yield
    raised = [r for phase in ("setup", "call") for r in caplog.get_records(phase) if r.exc_info]
    assert not raised, raised[0].exc_text


@pytest.fixture(scope="package")
def living() -> Iterator[EmulatorProcess]:
    """The scenario `normal`, with a pool of three single hosts and a slice of four hosts, free."""
    running = start_emulator("normal", speed=600)
    gke = make_client("ClusterManagerClient", "grpc", running)
    for pool in (
        {"name": "free", "initial_node_count": 3},
        {"name": "slice", "initial_node_count": 4,
         "placement_policy": {"policy_name": "hw-medium-2x2x4"}},
    ):  # fmt: skip
        config = {"machine_type": "tpu7x-standard-4t"}
        body = {**pool, "config": config, "locations": ["us-central1-c"]}
        operation = gke.create_node_pool(parent=CLUSTER, node_pool=body)
        name = f"{LOCATION}/operations/{operation.name}"
        until = time.monotonic() + 60
        while gke.get_operation(name=name).status.name != "DONE":
            assert time.monotonic() < until
            time.sleep(0.05)
    yield running
    running.stop()
