"""What the leader tells the others: steps survive the wire, and nobody is left waiting."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np

from serving.processes import decode_step, encode_step
from serving.request import Job, SamplingParams
from serving.sequence import Sequence
from serving.step import Chunk, Layout, Load, Row, Save, Step
from tests.serving.server_process import ROOT

NOBODY: Any = None


def make_job(sequence: Sequence, params: SamplingParams, adjustment: Any = None) -> Job:
    """A job whose text nobody reads."""
    return Job(sequence, params, NOBODY, lambda _: None, 0.0, adjustment=adjustment)


def test_a_step_survives_the_wire() -> None:
    """What the runner reads of step, sequences and jobs is the same on the other side."""
    prompt = Sequence((5, 6, 7, 8), 9, slot=2)
    answer = Sequence((1, 2), 9, slot=0)
    answer.push(3)
    answer.push(4)
    biased = SamplingParams(0.5, 3, 0.9, 2**63 - 1, logit_bias=((4, -1.5),), logprobs=2)
    adjustment = SimpleNamespace(repeat=np.full(6, 1.25), bias=np.array([0, -np.inf, 1, 2, 3, 4]))
    jobs = {
        prompt: make_job(prompt, SamplingParams(prompt_logprobs=1)),
        answer: make_job(answer, biased, adjustment),
    }
    step = Step(
        saves=(Save(1, ((0, 5), (1, 6))),),
        layout=Layout(512, 4),
        source=(3, 2, 1, 0),
        loads=(Load(prompt, (7, 8)),),
        chunks=(Chunk(prompt, 1, (6, 7, 8), 32),),
        rows=(Row(answer, (9, 9)),),
        width=8,
        idle=((3, 17),),
        admitted=(prompt,),
        batches=((0,),),
        ahead=True,
    )
    message, arrays = encode_step(step, jobs)
    numbers = np.concatenate([array.astype(np.float32) for array in arrays])
    told, others = decode_step(json.loads(json.dumps(message)), numbers)
    for name in ("saves", "layout", "source", "width", "idle", "batches", "ahead"):
        assert getattr(told, name) == getattr(step, name)
    (chunk,), (row,) = told.chunks, told.rows
    assert (chunk.start, chunk.tokens, chunk.size, chunk.last) == (1, (6, 7, 8), 32, True)
    assert (chunk.sequence.tokens, chunk.sequence.slot) == (prompt.tokens, 2)
    assert told.loads[0].sequence is chunk.sequence
    assert (row.draft, row.sequence.slot, len(row.sequence.tokens)) == ((9, 9), 0, 4)
    assert row.sequence.tokens[-1] == 4
    assert row.sequence.generated_count == 2
    assert others[row.sequence].params == biased
    assert others[row.sequence].ranked
    np.testing.assert_array_equal(others[row.sequence].adjustment.bias, adjustment.bias)
    assert others[chunk.sequence].params == SamplingParams(prompt_logprobs=1)


def test_leader_ends_when_another_has_gone() -> None:
    """It would wait for ever for the other's devices, so the process ends with 1 and a word."""
    script = (
        "import socket\n"
        "from serving.processes import LeadingRunner\n"
        "ours, theirs = socket.socketpair()\n"
        "theirs.close()\n"
        "LeadingRunner(None, (ours,)).reset()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "a process has gone" in done.stderr
