"""One model on several devices: the same tokens as on one, whatever can be cut and whatever not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from serving.hf_config import read_config
from serving.loading import share_out
from serving.settings import Settings
from serving.vocabulary import CheckpointError
from tests.serving.greedy_tokens import ANSWER_TOKENS, FLAGS, PROMPTS
from tests.serving.numpy_families import NumpyFamily
from tests.serving.server_process import ROOT, find_free_port
from tests.serving.small_checkpoints import make_config, write_checkpoint


def expected_answers(name: str, tensors: dict[str, np.ndarray]) -> list[list[int]]:
    """What the float64 reference answers, on no device at all."""
    reference = NumpyFamily(make_config(name), tensors)
    answers = []
    for prompt in PROMPTS:
        tokens = list(prompt)
        for _ in range(ANSWER_TOKENS):
            tokens.append(int(reference.logits(tokens)[-1].argmax()))
        answers.append(tokens[len(prompt) :])
    return answers


def answer_on(devices: int, folder: Path, *flags: str, seen: int | None = None) -> list[list[int]]:
    """What a process with so many virtual CPU devices answers; it should see `seen` in all."""
    option = f"--xla_force_host_platform_device_count={devices}"
    done = subprocess.run(
        [sys.executable, "-m", "tests.serving.greedy_tokens", str(folder), *flags],
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": option},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["devices"] == (seen or devices)
    return found["answers"]


@pytest.mark.parametrize(
    ("devices", "name", "attention"), [(1, "gemma2", "paged"), (8, "llama", "spans")]
)
def test_any_number_of_devices_answers_the_same(
    tmp_path: Path, devices: int, name: str, attention: str
) -> None:
    """Tensor parallel on 8 devices gives the reference's tokens, as one device does.

    Through the server's own programs, which know of Gemma's embedding scale and of Llama's head
    that is not its embedding.
    """
    tensors = write_checkpoint(tmp_path, name)
    found = answer_on(devices, tmp_path, "--attention", attention)
    assert found == expected_answers(name, tensors)


def test_too_few_devices_are_told(tmp_path: Path) -> None:
    """More devices than there are is refused with both numbers."""
    with pytest.raises(CheckpointError, match=r"--devices 4096: 4096 .* JAX sees \d+"):
        share_out(read_config(make_config("llama"), "config.json")[0], Settings(devices=4096))


@pytest.mark.timeout(300)  # two servers compile beside each other
def test_two_processes_answer_the_same(tmp_path: Path) -> None:
    """Two processes of two devices give the reference's tokens; the follower serves no HTTP.

    Keys and values lie in pages, each device with those of its own heads.
    It ends by itself when the leader has gone, although SIGTERM came before.
    """
    tensors = write_checkpoint(tmp_path / "model", "llama")
    address, http_port = f"127.0.0.1:{find_free_port()}", find_free_port()
    flags = ("--coordinator", address, "--processes", "2", "--attention", "paged")
    model = ("--model", str(tmp_path / "model"), *FLAGS, "--speculation-rows", "0")
    own = ("--process", "1", "--port", str(http_port))
    options = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    with (tmp_path / "follower.log").open("wb") as output:
        follower = subprocess.Popen(
            [sys.executable, "-m", "serving", *model, *flags, *own],
            cwd=ROOT,
            env=options,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        found = answer_on(2, tmp_path / "model", *flags, seen=4)
        follower.send_signal(signal.SIGTERM)
        status = follower.wait(60)
    finally:
        follower.kill()
    told = (tmp_path / "follower.log").read_text()
    assert found == expected_answers("llama", tensors), told
    assert status == 0, told
    assert "the leader has gone after" in told
    assert "http://" not in told
