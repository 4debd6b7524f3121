"""`python -m tests.serving.greedy_tokens FOLDER [FLAG VALUE]...`: prints greedy answers as JSON.

Run as a process of its own, since JAX's devices are fixed when it starts. Three prompts are
answered together through the scheduler and the compiled programs, as the server does it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jax

from serving.loading import load
from serving.request import Job, SamplingParams
from serving.scheduler import Scheduler
from serving.sequence import Sequence
from serving.settings import read_settings
from serving.tokenizer import AnswerText
from tests.serving.stepping import run_to_the_end

PROMPTS = ([3, 90, 200, 17, 250], list(range(40, 90)), [7] * 9)
ANSWER_TOKENS = 8
FLAGS = ("--precision", "f32", "--slots", "3", "--max-tokens-context", "256")


def main(folder: str, *flags: str) -> None:
    """Answer and print."""
    settings = read_settings(["--model", folder, *FLAGS, "--speculation-rows", "0", *flags])
    loaded = load(Path(folder), settings, lambda *_: None)
    scheduler = Scheduler(loaded.runner.limits, loaded.runner.places)
    jobs = {}
    for prompt in PROMPTS:
        sequence = Sequence(tuple(prompt), ANSWER_TOKENS)
        text = AnswerText(loaded.tokenizer)
        jobs[sequence] = Job(sequence, SamplingParams(temperature=0.0), text, print, 0.0)
    run_to_the_end(loaded, scheduler, jobs)
    answers = [sequence.generated for sequence in jobs]
    sys.stdout.write(json.dumps({"devices": len(jax.devices()), "answers": answers}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
