"""One model on several devices: the same tokens as on one, whatever can be cut and whatever not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from serving.hf_config import read_config
from serving.loading import share_out
from serving.vocabulary import CheckpointError
from tests.serving.greedy_tokens import ANSWER_TOKENS, PROMPTS
from tests.serving.numpy_families import NumpyFamily
from tests.serving.server_process import ROOT
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


def answer_on(devices: int, folder: Path, *flags: str) -> list[list[int]]:
    """What a process with so many virtual CPU devices answers."""
    option = f"--xla_force_host_platform_device_count={devices}"
    done = subprocess.run(
        [sys.executable, "-m", "tests.serving.greedy_tokens", str(folder), *flags],
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": option},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["devices"] == devices
    return found["answers"]


@pytest.mark.parametrize(("devices", "name"), [(1, "gemma2"), (8, "llama")])
def test_any_number_of_devices_answers_the_same(tmp_path: Path, devices: int, name: str) -> None:
    """Tensor parallel on 8 devices gives the reference's tokens, as one device does.

    Through the server's own programs, which know of Gemma's embedding scale and of Llama's head
    that is not its embedding.
    """
    tensors = write_checkpoint(tmp_path, name)
    assert answer_on(devices, tmp_path) == expected_answers(name, tensors)


def test_too_few_devices_are_told(tmp_path: Path) -> None:
    """More devices than there are is refused with both numbers."""
    with pytest.raises(CheckpointError, match=r"--devices 4096: 4096 .* JAX sees \d+"):
        share_out(read_config(make_config("llama"), "config.json")[0], 4096)
