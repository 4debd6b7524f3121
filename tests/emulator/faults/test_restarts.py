"""Rules of the start's file through restarts: what they held and let go comes out the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest

from tests.emulator.clients import CLUSTER, make_client
from tests.processes import EmulatorProcess, start_emulator

_STUCK = """
[[faults]]
preset = "stuck-operation"
service = "container"
method = "CreateNodePool"
times = 1
"""
_STATE = """
[[faults]]
preset = "preempted"
tier = "medium"
"""


class Start(Protocol):
    """Kills the emulator before, and starts one on the same state."""

    def __call__(self, rules: str = "") -> EmulatorProcess: ...


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Each start with a file of rules, or without."""
    running: list[EmulatorProcess] = []

    def again(rules: str = "") -> EmulatorProcess:
        if running:
            running[-1].process.kill()
            running[-1].process.wait()
        environment = {"HEARTWOOD_EMULATOR_STATE_DIR": str(tmp_path / "state")}
        if rules:
            (tmp_path / "faults.toml").write_text(rules)
            environment["HEARTWOOD_EMULATOR_FAULTS"] = str(tmp_path / "faults.toml")
        running.append(start_emulator("normal", 3000, environment=environment))
        return running[-1]

    yield again
    for each in running:
        each.stop()


def _state(emulator: EmulatorProcess) -> dict[str, Any]:
    return httpx.get(f"{emulator.rest_url}/healthz").json()["state"]


def _pool(name: str) -> dict[str, Any]:
    config = {"machine_type": "tpu7x-standard-4t"}
    return {"parent": CLUSTER, "node_pool": {
        "name": name, "initial_node_count": 1, "config": config,
        "locations": ["us-central1-c"]}}  # fmt: skip


def test_what_a_file_held_and_let_go(start: Start) -> None:
    """Held by a file's rule, let go by a start without it, changed since: a third start agrees."""
    gke = make_client("ClusterManagerClient", "grpc", start(_STUCK + _STATE))
    pool = f"{CLUSTER}/nodePools/held"
    gke.create_node_pool(request=_pool("held"))
    gke.create_node_pool(request=_pool("free"))
    gke = make_client("ClusterManagerClient", "grpc", start())
    assert gke.get_node_pool(name=pool).status.name == "RUNNING"
    gke.update_node_pool(request={"name": pool, "labels": {"labels": {"a": "b"}}})
    last = start()
    assert _state(last)["otherwise"] == 0
    kept = make_client("ClusterManagerClient", "grpc", last).get_node_pool(name=pool)
    assert (kept.status.name, dict(kept.config.labels).get("a")) == ("RUNNING", "b")
