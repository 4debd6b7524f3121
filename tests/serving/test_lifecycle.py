"""Start, failure and end of the server process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from gguf import GGUFWriter

from serving.gguf_checkpoint import GgufCheckpoint
from serving.settings import SettingsError, read_settings
from serving.vocabulary import CheckpointError
from tests.serving.conftest import ready_server
from tests.serving.server_process import ROOT, ServerProcess, running_server
from tests.serving.small_checkpoints import write_gguf


def get_state(server: ServerProcess, path: str) -> tuple[int, dict]:
    """Status and body of `path`, once the port answers."""
    while True:
        try:
            response = httpx.get(server.url + path)
        except httpx.TransportError:
            assert server.process.poll() is None, server.log.read_text()
            time.sleep(0.02)
            continue
        return response.status_code, response.json()


def test_garbage_collection_leaves_alone_what_stays(server: ServerProcess) -> None:
    """A ready server has frozen its many objects: no full collection over them stops a stream."""
    (told,) = re.findall(r"(\d+) objects are left out of garbage", server.log.read_text())
    assert int(told) > 50_000


def test_start_of_what_is_no_model(tmp_path: Path) -> None:
    """Before it is ready: health 200, ready 503 with progress, requests 503. A file that is no
    model ends the process with 1 and a word on why."""
    model = tmp_path / "broken.gguf"
    os.mkfifo(model)  # held here until somebody opens it to write
    with running_server(tmp_path, "--model", str(model)) as server:
        assert get_state(server, "/health")[0] == 200
        status, state = get_state(server, "/ready")
        assert (status, state["status"]) == (503, "starting")
        assert state["message"]
        assert "vllm:num_requests_running" in httpx.get(f"{server.url}/metrics").text
        early = httpx.post(f"{server.url}/v1/completions", json={"prompt": "Hi"})
        assert early.status_code == 503
        assert early.json()["error"]["code"] == "not_ready"
        model.open("wb").close()
        assert server.process.wait(300) == 1
        assert "broken.gguf is not a whole GGUF file" in server.log.read_text()


def test_graceful_end(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """After SIGTERM: ready 503 at once, the running request is finished, new ones are refused,
    exit status 0."""
    with ready_server(tmp_path, tmp_path_factory) as server:
        body = {"prompt": "Count:", "max_tokens": 120, "ignore_eos": True, "temperature": 0}
        with ThreadPoolExecutor(1) as pool:
            url = f"{server.url}/v1/completions"
            running = pool.submit(httpx.post, url, json=body, timeout=300)
            while not get_state(server, "/v1/status")[1]["unfinished_requests"]:
                time.sleep(0.01)
            server.process.send_signal(signal.SIGTERM)
            while get_state(server, "/health")[1]["status"] == "ready":
                time.sleep(0.01)
            assert get_state(server, "/ready") == (
                503,
                {
                    "status": "draining",
                    "message": "the server is shutting down",
                    "done": 0,
                    "total": 0,
                },
            )
            assert httpx.post(url, json=body).status_code == 503
            answer = running.result()
        assert answer.json()["usage"]["completion_tokens"] == 120
        assert server.process.wait(60) == 0


def test_idle_server_rests(http: httpx.Client, server: ServerProcess) -> None:
    """With nothing to do the process uses next to no processor time, and memory stays small."""

    def cpu_s() -> float:
        fields = Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100

    assert http.get("/v1/status").json()["unfinished_requests"] == 0
    before = cpu_s()
    time.sleep(2)
    assert cpu_s() - before < 0.1
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    (resident,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")]
    assert int(resident) < 1_500_000


def run_server(*flags: str) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    command = [sys.executable, "-m", "serving", *flags]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_taken_port_is_told(server: ServerProcess) -> None:
    """A port in use ends the start with one line that names the variable."""
    ended = run_server("--port", str(server.port))
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "HEARTWOOD_SERVING_PORT" in ended.stderr


def test_missing_model_is_told(tmp_path: Path) -> None:
    """A path without a model ends the start with its name."""
    ended = run_server("--port", "1", "--model", str(tmp_path / "none.gguf"))
    assert ended.returncode == 1
    assert "none.gguf" in ended.stderr


def test_truncated_model_is_told(tmp_path: Path) -> None:
    """A file whose last tensor is cut off is refused by its name."""
    path = tmp_path / "cut.gguf"
    write_gguf(path, seed=1)
    GgufCheckpoint(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(CheckpointError, match=r"cut\.gguf is not a whole GGUF file"):
        GgufCheckpoint(path)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--precision", "f8"], ("precision", "HEARTWOOD_SERVING_PRECISION", "w8a8")),
        (["--slots", "0"], ("slots", "greater than or equal to 1")),
        (["--max-tokens-context", "300"], ("multiple of 256",)),
        (["--port", "99999"], ("HEARTWOOD_SERVING_PORT", "65535")),
    ],
)
def test_wrong_setting_is_told(flags: list[str], words: tuple[str, ...]) -> None:
    """A wrong value is named with its flag, its variable and what is allowed."""
    with pytest.raises(SettingsError) as error:
        read_settings(flags)
    for word in words:
        assert word in str(error.value)


def test_variables_set_and_flags_win(monkeypatch: pytest.MonkeyPatch) -> None:
    """HEARTWOOD_SERVING_* and HEARTWOOD_CACHE_DIR are read, and a flag stands above them."""
    monkeypatch.setenv("HEARTWOOD_SERVING_PORT", "9999")
    monkeypatch.setenv("HEARTWOOD_SERVING_SLOTS", "3")
    monkeypatch.setenv("HEARTWOOD_CACHE_DIR", "/somewhere")
    settings = read_settings(["--slots", "5"])
    assert (settings.port, settings.slots) == (9999, 5)
    assert settings.cache_dir == Path("/somewhere")


def test_misshapen_tensor_is_named(tmp_path: Path) -> None:
    """A tensor that is absent or of another shape is named with both shapes."""
    path = tmp_path / "small.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_embedding_length(8)
    writer.add_feed_forward_length(16)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_context_length(256)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_token_list(["a", "b", "c"])
    writer.add_tensor("token_embd.weight", np.zeros((3, 7), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    checkpoint = GgufCheckpoint(path)
    with pytest.raises(CheckpointError, match=r"token_embd.weight .*\(3, 7\).*\(3, 8\)"):
        checkpoint.read_tensor("token_embd.weight", (3, 8))
    with pytest.raises(CheckpointError, match=r"output_norm\.weight"):
        checkpoint.read_tensor("output_norm.weight", (8,))
