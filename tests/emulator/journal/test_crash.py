"""kill −9 at any moment and a restart: nothing that was answered is lost, the rest goes on."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import httpx
import pytest

from tests.emulator.clients import CLUSTER, LOCATION, PROJECT, make_client
from tests.emulator.journal import calls
from tests.emulator.journal.conftest import Starts
from tests.processes import PORTS, ROOT, EmulatorProcess, start_emulator

_SPEED = 60.0
_POOL_S = 240.0  # what a pool takes, in simulated seconds
_POOL = {"name": "j-late", "initialNodeCount": 2, "locations": ["us-central1-c"],
         "config": {"machineType": "tpu7x-standard-4t"}}  # fmt: skip


def _kill(running: EmulatorProcess) -> None:
    running.process.kill()
    running.process.wait()


def _state(running: EmulatorProcess) -> dict[str, Any]:
    return httpx.get(f"{running.rest_url}/healthz").json()["state"]


def _burst(running: EmulatorProcess) -> tuple[list[str], Callable[[], None]]:
    """Eight callers that make things as fast as they can; what was answered, and the end of it."""
    answered: list[str] = []
    stop = threading.Event()
    numbers = itertools.count()
    wanted: tuple[tuple[str, Callable[[str], Any]], ...] = (
        (f"compute/v1/projects/{PROJECT}/global/addresses", lambda n: {"name": n}),
        (f"iam/v1/projects/{PROJECT}/serviceAccounts", lambda n: {"accountId": n}),
        (f"storage/v1/b?project={PROJECT}", lambda n: {"name": n}),
        (f"logging/v2/projects/{PROJECT}/metrics", lambda n: {"name": n, "filter": "a"}),
    )

    def work() -> None:
        with httpx.Client(base_url=running.rest_url, timeout=30) as client:
            while not stop.is_set():
                number = next(numbers)
                path, body = wanted[number % len(wanted)]
                name = f"burst-{number:05d}"
                try:
                    client.post(f"/{path}", json=body(name)).raise_for_status()
                except httpx.TransportError:
                    return  # the process is gone: no answer, no promise
                answered.append(name)

    pool = ThreadPoolExecutor(8)
    done = [pool.submit(work) for _ in range(8)]

    def end() -> None:
        stop.set()
        for each in done:
            each.result()

    return answered, end


def _made(running: EmulatorProcess) -> set[str]:
    places = (
        f"compute/v1/projects/{PROJECT}/global/addresses?maxResults=500",
        f"iam/v1/projects/{PROJECT}/serviceAccounts?pageSize=100",
        f"storage/v1/b?project={PROJECT}&prefix=burst-",
        f"logging/v2/projects/{PROJECT}/metrics?pageSize=1000",
    )
    found: set[str] = set()
    for place in places:
        token = ""
        while True:
            body = httpx.get(f"{running.rest_url}/{place}&pageToken={token}").raise_for_status()
            found |= set(re.findall(r"burst-\d{5}", body.text))
            token = body.json().get("nextPageToken", "")
            if not token:
                break
    return found


def _tear(journal: Path) -> int:
    """Leave half a record at the end, as a crash in the middle of a write does."""
    last = journal.read_bytes().splitlines(keepends=True)[-1]
    with journal.open("ab") as file:
        return file.write(last[: len(last) // 2])


def _operation(running: EmulatorProcess, name: str) -> Any:
    gke = make_client("ClusterManagerClient", "grpc", running)
    return gke.get_operation(name=f"{LOCATION}/operations/{name}")


def _write_two_points(running: EmulatorProcess) -> str:
    """One point that is taken and one that is not; the address at which the first is read."""
    end = datetime.now(UTC)
    good = {
        "metric": {"type": "custom.googleapis.com/j/queue"}, "resource": {"type": "global"},
        "points": [{"interval": {"endTime": end.isoformat()}, "value": {"int64Value": "4"}}],
    }  # fmt: skip
    place = f"{running.rest_url}/monitoring/v3/projects/{PROJECT}/timeSeries"
    bad = good | {"metric": {"type": "compute.googleapis.com/instance/uptime"}}
    answer = httpx.post(place, json={"timeSeries": [good, bad]})
    assert answer.status_code == 400
    assert "timeSeries[1]" in answer.text
    assert "timeSeries[0]" not in answer.text
    asked = urlencode({
        "filter": f'metric.type="{good["metric"]["type"]}"',
        "interval.startTime": (end - timedelta(minutes=5)).isoformat(),
        "interval.endTime": (end + timedelta(minutes=5)).isoformat(),
    })  # fmt: skip
    return f"/monitoring/v3/projects/{PROJECT}/timeSeries?{asked}"


class _Seen(NamedTuple):
    """An emulator that still runs, what the script's calls answered, and what can be read then."""

    emulator: EmulatorProcess
    answers: list[tuple[str, str]]
    reads: dict[str, str]


def _seen(emulator: EmulatorProcess) -> _Seen:
    answers = [(step.path, answer.text) for step, answer in calls.run(emulator.rest_url)]
    return _Seen(emulator, answers, calls.snapshot(emulator.rest_url))


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state directory of the first of the pair."""
    return tmp_path_factory.mktemp("journal") / "state"


@pytest.fixture(scope="module")
def pair(state: Path) -> Iterator[tuple[_Seen, _Seen]]:
    """Two emulators with the same seed after the same calls; one has a state directory."""
    settings = ({"HEARTWOOD_EMULATOR_STATE_DIR": str(state)}, {})
    started: list[EmulatorProcess] = []

    def work(environment: dict[str, str]) -> _Seen:
        started.append(start_emulator(speed=2000, environment=environment, own_interpreter=True))
        return _seen(started[-1])

    with ThreadPoolExecutor(2) as pool:
        first, other = pool.map(work, settings)
    yield first, other
    for each in started:
        each.stop()


# What holds a time inside: an object's generation, and an etag over one.
_MADE_OF_TIMES = re.compile(r'("etag": ?|job_)"?[\w+/=-]+"?')


def _plain(path: str, text: str) -> str:
    text = calls.without_times(text)
    timed = path.startswith(("storage", "upload", "cloudquotas", "bigquery"))
    return _MADE_OF_TIMES.sub(r"\1-", text) if timed else text


def test_the_seed_decides(pair: tuple[_Seen, _Seen]) -> None:
    """Two emulators with the same seed answer the same calls alike, but for times."""
    one, other = pair
    for found, wanted in zip(one.answers, other.answers, strict=True):
        assert _plain(*found) == _plain(*wanted)
    assert one.reads.keys() == other.reads.keys()
    for path, text in one.reads.items():
        assert _plain(path, text) == _plain(path, other.reads[path])


def test_crashes_lose_nothing(pair: tuple[_Seen, _Seen], state: Path, starts: Starts) -> None:
    """Killed at rest, then amid a burst with an operation under way: all reads as before, every
    answered change is there, also the good part of one that was refused in part; the operation ends
    when it was due, a half-written record is cut.
    """
    _kill(pair[0].emulator)
    second = starts(state, _SPEED)
    told = _state(second)
    assert (told["otherwise"], told["torn_bytes"], told["starts"]) == (0, 0, 1)
    assert told["changes"] == sum(not (s.status or s.reads) for s in calls.STEPS)
    assert calls.snapshot(second.rest_url) == pair[0].reads
    url = f"{second.rest_url}/container/v1/{CLUSTER}/nodePools"
    begun = httpx.post(url, json={"nodePool": _POOL}).raise_for_status().json()
    points = _write_two_points(second)
    written = httpx.get(second.rest_url + points).json()["timeSeries"]
    answered, end = _burst(second)
    until = time.monotonic() + 60
    while len(answered) < 40 and time.monotonic() < until:
        time.sleep(0.005)
    _kill(second)
    end()
    assert len(answered) >= 40
    torn = _tear(state / "journal")

    third = starts(state, _SPEED)
    told = _state(third)
    assert (told["otherwise"], told["torn_bytes"], told["starts"]) == (0, torn, 2)
    assert set(answered) <= _made(third)
    assert httpx.get(third.rest_url + points).json()["timeSeries"] == written
    found = _operation(third, begun["name"])
    while found.status.name != "DONE":
        time.sleep(0.05)
        found = _operation(third, begun["name"])
    assert not found.error.message
    assert found.start_time == begun["startTime"]
    took = datetime.fromisoformat(found.end_time) - datetime.fromisoformat(found.start_time)
    assert took.total_seconds() == pytest.approx(_POOL_S / _SPEED, abs=0.01)
    gke = make_client("ClusterManagerClient", "grpc", third)
    assert gke.get_node_pool(name=f"{CLUSTER}/nodePools/j-late").status.name == "RUNNING"


def test_an_unusable_directory_ends_the_start_with_one_line(tmp_path: Path) -> None:
    """Status 2 and a line that says which directory, and why."""
    (tmp_path / "notes.txt").write_text("mine")
    result = subprocess.run(
        [sys.executable, "-m", "emulator", "--state-dir", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=240, check=False,
        env={**os.environ, **PORTS},
    )  # fmt: skip
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"emulator: state directory {tmp_path} holds something else (notes.txt)")
    assert (tmp_path / "notes.txt").read_text() == "mine"
