"""Rules: what is refused and in which words; files at the start."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.emulator.clients import PROJECT
from tests.processes import PORTS, ROOT, EmulatorProcess, start_emulator


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"cod": "ABORTED"}, "cod: no such key; the keys are .*Did you mean code"),
        ({"code": "BROKEN"}, "code: must be one of CANCELLED, .*UNAVAILABLE"),
        ({"preset": "boom"}, "preset: must be one of quota-exceeded, stock-out"),
        ({"preset": "slow", "service": "moon"}, "service: fits none of .*container"),
        ({"preset": "slow", "service": "tpu", "method": "ListNods"}, "method: .*ListNodes"),
        ({"preset": "slow", "times": 0}, "times: must be a whole number from 1"),
        ({"preset": "slow", "probability": 2}, "probability: must be a number from 0 to 1"),
        ({"latency_s": "3"}, "latency_s: must be a number from 0 to 3600"),
        ({"service": "tpu"}, "rule: does nothing; give preset, code"),
        ({"operation": "fail"}, "code: an operation that fails needs one of"),
        ({"preset": "preempted"}, "tier: a state needs a tier, a pool or a node"),
        ({"preset": "preempted", "tier": "moon"}, "tier: must be one of medium, small"),
        ({"preset": "preempted", "tier": "small", "slice": 99}, "slice: tier small has slices"),
        ({"preset": "preempted", "pool": "moon"}, "pool: must be one of .*hw-small-00"),
        ({"preset": "slow", "metadata": {"a": 1}}, "metadata: must be an object of texts"),
        ([{"preset": "slow"}, {"code": "X"}], r"faults\[1\].code"),
        ("slow", "rule: must be an object"),
        ({"faults": 3}, "faults: must be a list"),
    ],
)
def test_wrong_rules_are_refused(broken: EmulatorProcess, rule: Any, words: str) -> None:
    """400 in Google's envelope; the message names the key and what it may be; nothing stays."""
    url = f"{broken.rest_url}/_heartwood/faults"
    answer = httpx.post(url, json=rule)
    assert answer.status_code == 400
    assert re.search(words, answer.json()["error"]["message"]), answer.text
    assert httpx.get(url).json()["faults"] == []


def test_the_control_call_s_edges(broken: EmulatorProcess) -> None:
    """Bodies that are no JSON, rules that are not there, verbs that mean nothing."""
    url = f"{broken.rest_url}/_heartwood/faults"
    assert httpx.post(url, content=b"\xff{").status_code == 400
    assert httpx.get(f"{url}/none").status_code == 404
    assert httpx.delete(f"{url}/none").status_code == 404
    assert httpx.put(url).status_code == 501
    assert "stock-out" in httpx.get(url).json()["presets"]


def test_rules_outlive_a_crash(tmp_path: Path) -> None:
    """With a state directory: what a rule holds stays held, and goes on when the rule goes; what
    may hit twice, by the control call or by the file, has hit once before the crash.
    """
    (tmp_path / "rules.toml").write_text(
        '[[faults]]\npreset = "unavailable"\nservice = "tpu"\ntimes = 2\n'
    )
    kept = {
        "HEARTWOOD_EMULATOR_STATE_DIR": str(tmp_path / "state"),
        "HEARTWOOD_EMULATOR_FAULTS": str(tmp_path / "rules.toml"),
    }

    def met(running: EmulatorProcess) -> list[int]:
        paths = (f"tpu/v2/projects/{PROJECT}/locations", "bigquery/bigquery/v2/projects")
        return [httpx.get(f"{running.rest_url}/{p}", timeout=60).status_code for p in paths]

    running = start_emulator("empty-project", 600, environment=kept)
    base = f"compute/v1/projects/{PROJECT}/global"
    body = {"name": "held", "type": "TCP", "tcpHealthCheck": {"port": 80}}
    try:
        rule = {"preset": "stuck-operation", "service": "compute", "id": "hold"}
        assert (
            httpx.post(f"{running.rest_url}/_heartwood/faults", json=rule, timeout=60).status_code
            == 200
        )
        twice = {"preset": "unavailable", "service": "bigquery", "times": 2}
        httpx.post(f"{running.rest_url}/_heartwood/faults", json=twice, timeout=60)
        assert met(running) == [503, 503]
        begun = httpx.post(f"{running.rest_url}/{base}/healthChecks", json=body, timeout=60).json()
        running.process.kill()
        running.process.wait(10)
    finally:
        running.stop()
    again = start_emulator("empty-project", 600, environment=kept)
    try:
        assert [met(again), met(again)] == [[503, 503], [200, 200]]
        operation = f"{again.rest_url}/{base}/operations/{begun['name']}"
        assert httpx.get(operation, timeout=60).json()["status"] == "RUNNING"
        assert httpx.delete(f"{again.rest_url}/_heartwood/faults/hold", timeout=60).json() == {
            "removed": 1
        }
        assert httpx.post(f"{operation}/wait", timeout=60).json()["status"] == "DONE"
        assert (
            httpx.get(f"{again.rest_url}/{base}/healthChecks/held", timeout=60).status_code == 200
        )
    finally:
        again.stop()


def test_rules_from_files(tmp_path: Path) -> None:
    """TOML and JSON at the start; a wrong file ends the start with the key's name."""
    good = tmp_path / "rules.toml"
    good.write_text('[[faults]]\npreset = "unavailable"\nservice = "tpu"\ntimes = 1\n')
    running = start_emulator("empty-project", environment={"HEARTWOOD_EMULATOR_FAULTS": str(good)})
    try:
        url = f"{running.rest_url}/tpu/v2/projects/{PROJECT}/locations"
        assert [httpx.get(url).status_code for _ in range(2)] == [503, 200]
    finally:
        running.stop()
    bad = tmp_path / "rules.json"
    bad.write_text(json.dumps({"faults": [{"preset": "slow", "colour": "red"}]}))
    command = [sys.executable, "-m", "emulator", "--scenario", "empty-project"]
    command += ["--faults", str(bad)]
    ended = subprocess.run(
        command, cwd=ROOT, env={"PATH": "", **PORTS}, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert "faults[0].colour" in ended.stderr
    assert "no such key" in ended.stderr
