"""Cloud TPU API: stopping and starting a node as a long-running operation; what is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from google.api_core import exceptions
from google.cloud.tpu_v2.types import cloud_tpu

from tests.emulator.clients import PROJECT, WIRES, make_client
from tests.processes import EmulatorProcess, start_emulator

ZONE = f"projects/{PROJECT}/locations/us-central1-b"
NODE = f"{ZONE}/nodes/hw-dev-00"


@pytest.fixture(scope="module")
def fast() -> Iterator[EmulatorProcess]:
    """An emulator of this file's own, in which stopping takes a second."""
    running = start_emulator("normal", speed=60)
    yield running
    running.stop()


@pytest.mark.parametrize("wire", WIRES)
def test_node_stops_and_starts(fast: EmulatorProcess, wire: str) -> None:
    """Google's client waits for the operation on either wire and gets the node as it is then."""
    tpu = make_client("TpuClient", wire, fast)
    stopping = tpu.stop_node(request={"name": NODE})
    assert stopping.metadata.target == NODE
    assert tpu.get_node(name=NODE).state == cloud_tpu.Node.State.STOPPING
    with pytest.raises(exceptions.GoogleAPICallError, match="in state STOPPING"):
        tpu.start_node(request={"name": NODE})
    assert stopping.result(timeout=60).state == cloud_tpu.Node.State.STOPPED
    assert tpu.start_node(request={"name": NODE}).result(timeout=60).state == (
        cloud_tpu.Node.State.READY
    )
    assert tpu.get_node(name=NODE).state == cloud_tpu.Node.State.READY


@pytest.mark.parametrize("wire", WIRES)
def test_tpu7x_is_refused(emulator: EmulatorProcess, wire: str) -> None:
    """The Cloud TPU API does not make TPU7x, whatever the name is that one tries."""
    tpu = make_client("TpuClient", wire, emulator)
    for name in ("v7-256", "tpu7x-8", "v7x-4"):
        node = cloud_tpu.Node(accelerator_type=name, runtime_version="v2-alpha-tpuv6e")
        with pytest.raises(exceptions.BadRequest, match="not supported"):
            tpu.create_node(parent=ZONE, node=node, node_id="n")


@pytest.mark.parametrize("wire", WIRES)
def test_names_are_checked(emulator: EmulatorProcess, wire: str) -> None:
    """No such node: NOT_FOUND; no such zone or project: PERMISSION_DENIED with a reason."""
    tpu = make_client("TpuClient", wire, emulator)
    with pytest.raises(exceptions.NotFound):
        tpu.get_node(name=f"{ZONE}/nodes/none")
    for name, reason in (
        (f"projects/{PROJECT}/locations/moon-1/nodes/n", "LOCATION_ACCESS_DENIED"),
        ("projects/other/locations/us-central1-b/nodes/n", "CONSUMER_INVALID"),
    ):
        parent = name.rsplit("/nodes/", 1)[0]
        with pytest.raises(exceptions.Forbidden) as refused:
            tpu.list_nodes(parent=parent)
        assert refused.value.reason == reason
