"""Pods that are processes: started, balanced, ended and lost, by kubectl's calls and requests."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import signal
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from emulator.local_pods.processes import _keep, log_path, written
from tests.emulator.clients import PROJECT
from tests.processes import EmulatorProcess, start_emulator

_PATIENCE_S = 400.0  # of a first start, which compiles the model's programs
# As the tests of the server itself start it, so that they share what was compiled.
_SERVER = {"SLOTS": "4", "MAX_TOKENS_CONTEXT": "512", "QUEUE_LIMIT": "4"}
_MODEL = "SmolLM2-135M-Instruct"
Wait = Callable[[Callable[[], bool]], None]


@dataclass
class Cluster:
    """The emulator, as kubectl and a client of the load balancer see it."""

    emulator: EmulatorProcess
    client: httpx.Client

    @property
    def api(self) -> str:
        return f"{self.emulator.rest_url}/k8s/{PROJECT}/us-central1/hw-serving"

    @property
    def deployment(self) -> str:
        return f"{self.api}/apis/apps/v1/namespaces/local/deployments/hw-local-server"

    def pods(self) -> list[dict[str, Any]]:
        found = self.client.get(f"{self.api}/api/v1/namespaces/local/pods").json()
        return list(found.get("items", []))

    def ready(self) -> set[str]:
        """Addresses of the pods that are ready."""
        return {p["status"]["podIP"] for p in self.pods() if _is_ready(p)}

    def log(self, pod: dict[str, Any], **query: object) -> str:
        path = f"{self.api}/api/v1/namespaces/local/pods/{pod['metadata']['name']}/log"
        return self.client.get(path, params=query).text  # type: ignore[arg-type]

    def answered_by(self) -> str:
        """The address of the endpoint that a request came to; "" when it failed."""
        answer = self.client.get(f"{self.emulator.lb_url}/local/v1/models")
        return answer.headers["x-heartwood-endpoint"] if answer.status_code == 200 else ""


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def server_of(address: str) -> psutil.Process | None:
    """The process that listens at a pod's address."""
    for process in psutil.process_iter(["cmdline"]):
        if address in (process.info["cmdline"] or ()):
            return process
    return None


@contextlib.contextmanager
def started(folder: Path, *arguments: str) -> Generator[Cluster]:
    """With a state that outlives it, and the logs in the same place at each start."""
    environment = {f"HEARTWOOD_SERVING_{k}": v for k, v in _SERVER.items()}
    emulator = start_emulator(
        speed=1200, arguments=("--state-dir", str(folder / "state"), *arguments),
        environment={**environment, "HEARTWOOD_DATA_DIR": str(folder)},
    )  # fmt: skip
    with httpx.Client(timeout=60, trust_env=False) as client:
        try:
            yield Cluster(emulator, client)
        finally:
            emulator.stop()


@pytest.fixture
def wait_for() -> Wait:
    """Waits until something is so."""

    def wait(holds: Callable[[], bool]) -> None:
        end = time.monotonic() + _PATIENCE_S
        while not holds():
            assert time.monotonic() < end, "it did not come"
            time.sleep(0.1)

    return wait


def test_pods_are_processes(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, wait_for: Wait
) -> None:
    """A second replica is a second server behind the load balancer; a deleted pod's streams are cut
    after its grace and the other answers; a crash is a restarted container; none is left when the
    emulator is killed, and its journal is made again without any."""
    with started(tmp_path, "--local-pods", "2") as cluster:
        with (tmp_path_factory.getbasetemp().parent / "serving.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            wait_for(lambda: len(cluster.ready()) == 1)
        (first,) = cluster.pods()
        assert "ready after" in cluster.log(first)
        scale(cluster, 2)
        wait_for(lambda: len(cluster.ready()) == 2)
        both = cluster.ready()
        wait_for(lambda: {cluster.answered_by() for _ in range(16)} == both)
        cut = a_deleted_pod_cuts_its_stream(cluster, wait_for)
        (other,) = both - {cut}
        a_crash_is_a_restart(cluster, other, wait_for)
        last = {p["status"].get("podIP", "") for p in cluster.pods()} - {""}
        cluster.emulator.process.kill()
        wait_for(lambda: all(server_of(address) is None for address in both | last))
    with started(tmp_path) as cluster:
        health = cluster.client.get(f"{cluster.emulator.rest_url}/healthz").json()
        assert health["state"]["otherwise"] == 0
        assert cluster.client.get(cluster.deployment).json()["spec"]["replicas"] == 2
        # Nobody runs that node now: its pods go, and their successors find no place.
        wait_for(lambda: {p["status"]["phase"] for p in cluster.pods()} == {"Pending"})


def scale(cluster: Cluster, replicas: int) -> None:
    """As `kubectl scale` does it."""
    patch(cluster, f"{cluster.deployment}/scale", {"spec": {"replicas": replicas}})


def cordon(cluster: Cluster) -> None:
    """As `kubectl cordon` does it."""
    node = f"{cluster.api}/api/v1/nodes/this-machine"
    patch(cluster, node, {"spec": {"unschedulable": True}})


def patch(cluster: Cluster, url: str, change: dict[str, Any]) -> None:
    """A merge patch."""
    kind = {"content-type": "application/merge-patch+json"}
    cluster.client.patch(url, json=change, headers=kind).raise_for_status()


def a_deleted_pod_cuts_its_stream(cluster: Cluster, wait_for: Wait) -> str:
    """What is still running after the grace ends with its process; returns the pod's address."""
    url = f"{cluster.emulator.lb_url}/local/v1/completions"
    asked = {"model": _MODEL, "prompt": "Once", "max_tokens": 500, "stream": True,
             "ignore_eos": True}  # fmt: skip
    with cluster.client.stream("POST", url, json=asked) as answer:
        assert answer.status_code == 200, answer.read()
        parts = answer.iter_raw()
        assert next(parts).startswith(b"data: ")
        address = answer.headers["x-heartwood-endpoint"]
        pod = next(p for p in cluster.pods() if p["status"].get("podIP") == address)
        path = f"{cluster.api}/api/v1/namespaces/local/pods/{pod['metadata']['name']}"
        process = server_of(address)
        assert process is not None
        process.suspend()  # it can neither finish the stream nor follow SIGTERM
        # Its successor finds no place: a third server would tell nothing more.
        cordon(cluster)
        cluster.client.delete(path, params={"gracePeriodSeconds": 1}).raise_for_status()
        with pytest.raises(httpx.TransportError):
            for _ in parts:
                pass
    wait_for(lambda: server_of(address) is None)
    # The health check's two probes a second apart, or the group without it: none is lost then.
    wait_for(lambda: all(cluster.answered_by() not in ("", address) for _ in range(8)))
    return address


def a_crash_is_a_restart(cluster: Cluster, address: str, wait_for: Wait) -> None:
    """The container is to be started again; what it wrote before can still be read."""

    def crashed() -> dict[str, Any] | None:
        for pod in cluster.pods():
            for one in pod["status"].get("containerStatuses", ()):
                if one.get("lastState", {}).get("terminated", {}).get("exitCode") == 137:
                    return pod
        return None

    process = server_of(address)
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: crashed() is not None)
    pod = crashed()
    assert pod is not None
    assert pod["status"]["podIP"] == address
    # Of the run that ended, be the next one begun or not.
    assert "ready after" in cluster.log(pod) + cluster.log(pod, previous="true")


def test_a_log_holds_progress_bars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written over itself is read as lines, each with the time at which it came."""
    monkeypatch.setenv("HEARTWOOD_DATA_DIR", str(tmp_path))
    uid = "0" * 36
    log = log_path(uid, 0)
    log.parent.mkdir(parents=True)
    _keep(io.BytesIO(b"one\r 50%\r100%\n\nlast"), log)
    assert [told for _, told in written(uid, 0) or ()] == ["one", " 50%", "100%", "", "last"]
