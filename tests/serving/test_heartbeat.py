"""The heartbeat: honest figures are shown, impossible ones refused with the likely mistake."""

from __future__ import annotations

import threading
import time

import httpx
import pytest

from serving.heartbeat import FLOPS, ITERATIONS, find_mistake, judge, main, render
from serving.peaks import find_peak
from tests.serving.server_process import ServerProcess
from tests.serving.test_http import read_metric

V6E = find_peak("tpu", "TPU v6 lite")


def test_the_impossible_figure_is_refused() -> None:
    """0.0056 ms on a v6e would be 3.3 times its peak: refused, and the clock is blamed."""
    beat = judge("bf16", [0.0056e-3] * 5, ITERATIONS, V6E)
    assert beat.tflops == pytest.approx(3068, rel=1e-3)
    assert beat.refused is not None
    assert "3.3 times what TPU v6 lite can do" in beat.refused
    assert "block_until_ready" in beat.refused
    assert "REFUSED" in render(beat)


@pytest.mark.parametrize(
    ("platform", "kind", "dtype", "elapsed_s", "blamed"),
    [
        ("tpu", "TPU v6 lite", "bf16", 0.10e-3, None),
        ("tpu", "TPU v6 lite", "bf16", 0.05e-3, "stayed in a cache"),
        ("tpu", "TPU v5 lite", "bf16", 0.05e-3, "block_until_ready"),
        ("gpu", "NVIDIA H100 80GB HBM3", "f32", 0.05e-3, "bf16 or TF32"),
        ("gpu", "NVIDIA H100 80GB HBM3", "f32", 0.40e-3, None),
        ("gpu", "a device of tomorrow", "bf16", 1e-9, None),
    ],
)
def test_each_mistake_has_its_name(
    platform: str, kind: str, dtype: str, elapsed_s: float, blamed: str | None
) -> None:
    """Bandwidth, precision and clock are told apart; without a known limit nothing is refused."""
    found = find_mistake(dtype, elapsed_s, find_peak(platform, kind))  # type: ignore[arg-type]
    assert found is None if blamed is None else blamed in str(found)


def test_peaks_of_devices() -> None:
    """A TPU7x chip is two devices of JAX; v5p is not taken for v5e."""
    assert find_peak("tpu", "TPU7x").bf16_flops == pytest.approx(2307e12 / 2)
    assert find_peak("tpu", "TPU v5").bf16_flops == pytest.approx(459e12)
    assert find_peak("tpu", "TPU v5 lite").bf16_flops == pytest.approx(197e12)
    assert not find_peak("cpu", "cpu").published


def test_this_machine_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """The command measures this machine, checks the arithmetic, and finds the figure possible."""
    assert main(["--iterations", "10", "--dtype", "f32"]) == 0
    (line,) = capsys.readouterr().out.splitlines()[1:]
    assert line.startswith("f32 ")
    assert "TFLOP/s" in line
    assert "GB/s" in line


def test_endpoint_never_hurts_requests(server: ServerProcess, http: httpx.Client) -> None:
    """Refused while a request runs and while another one measures; nothing counts as compiled."""
    body = {"dtypes": ["bf16"], "iterations": 10}
    slow = {"prompt": "The forest", "max_tokens": 400, "ignore_eos": True, "stream": True}
    with httpx.stream("POST", f"{server.url}/v1/completions", json=slow, timeout=60) as stream:
        assert stream.status_code == 200, stream.read()
        lines = stream.iter_lines()  # dropping it would end the request
        next(lines)
        refused = http.post("/v1/heartbeat", json=body)
        assert refused.status_code == 409
        assert refused.json()["error"]["param"] == "force"
    while http.get("/v1/status").json()["unfinished_requests"]:
        time.sleep(0.05)
    answers: list[httpx.Response] = []
    url = f"{server.url}/v1/heartbeat"
    first = threading.Thread(target=lambda: answers.append(httpx.post(url, json=body, timeout=90)))
    first.start()
    time.sleep(0.3)
    second = http.post("/v1/heartbeat", json=body)
    first.join()
    assert second.status_code == 409
    answer = answers[0].json()
    (beat,) = answer["heartbeats"]
    memory = read_metric(http, "heartwood_measured_bytes_per_second")
    assert memory == pytest.approx(answer["read_gb_per_s"] * 1e9)
    assert 1e8 < memory < 1e13
    # What the endless request above has cost.
    assert read_metric(http, "heartwood_model_flops_total") > 0
    assert read_metric(http, "heartwood_model_read_bytes_total") > 0
    assert read_metric(http, "heartwood_step_seconds_total") > 0
    assert (beat["dtype"], beat["refused"]) == ("bf16", None)
    assert beat["tflops"] == pytest.approx(FLOPS / beat["ms"] / 1e9)
    assert http.get("/v1/status").json()["compilations_after_ready"] == 0
