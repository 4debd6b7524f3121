"""Scheduler and compiled programs together, on a small random model in f32.

Memory for two long sequences only, a prefix cache and guesses: everything that moves keys and
values about. Each answer must be what it is alone, in a server that does none of this.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from serving.drafting import Lookup
from serving.loading import Loaded, load
from serving.request import Job, SamplingParams
from serving.scheduler import Scheduler
from serving.sequence import Sequence
from serving.settings import read_settings
from serving.tokenizer import AnswerText
from tests.serving.small_checkpoints import write_checkpoint
from tests.serving.stepping import run_to_the_end

FLAGS = ("--precision", "f32", "--max-tokens-context", "512", "--slots", "5")
FLAGS += ("--cache-tokens", "1280", "--prefix-cache-tokens", "640", "--speculation-rows", "3")


def open_model(folder: Path) -> Loaded:
    """A small random Llama with memory for two sequences of more than 256 tokens."""
    write_checkpoint(folder, "llama")
    return load(folder, read_settings(["--model", str(folder), *FLAGS]), lambda *_: None)


def make_prompts() -> list[tuple[int, ...]]:
    """Prompts whose answers outgrow 256 positions, two with one beginning, and short ones."""
    random = np.random.default_rng(5)
    shared = random.integers(0, 250, 200)
    tails = [random.integers(0, 250, 40) for _ in range(2)]
    prompts = [np.concatenate([shared, tail]) for tail in tails]
    prompts += [random.integers(0, 250, 230), random.integers(0, 250, 20)]
    prompts += [random.integers(0, 250, size) for size in (21, 5, 7, 3)]
    return [tuple(prompt.tolist()) for prompt in prompts]


def answer(
    loaded: Loaded,
    scheduler: Scheduler,
    prompts: list[tuple[int, ...]],
    guess: bool,
    first: int = 0,
) -> list[list[int]]:
    """Answers of 40 tokens to all prompts at once, greedy and seeded by their number in turn."""
    jobs = {}
    for number, prompt in enumerate(prompts, first):
        lookup = Lookup(list(prompt)) if guess else None
        sequence = Sequence(prompt, 40, lookup=lookup)
        warmth = 0.0 if number % 2 else 0.7
        params = SamplingParams(temperature=warmth, seed=number)
        jobs[sequence] = Job(sequence, params, AnswerText(loaded.tokenizer), lambda _: None, 0.0)
    run_to_the_end(loaded, scheduler, jobs)
    return [sequence.generated for sequence in jobs]


def test_answers_survive_all_that_is_done_to_their_cache(tmp_path: Path) -> None:
    """Pre-empted, moved, loaded from the prefix cache, guessed ahead: the same tokens as alone."""
    prompts, loaded = make_prompts(), open_model(tmp_path / "llama")
    limits = loaded.runner.limits
    # One at a time, no prefix cache, no guesses: token by token.
    expected = []
    for number, prompt in enumerate(prompts):
        alone = Scheduler(dataclasses.replace(limits, draft_rows=0))
        expected += answer(loaded, alone, [prompt], guess=False, first=number)
        loaded.runner.reset()
    # Three in a call of four, begun before the tokens of the call before it are known.
    few = Scheduler(dataclasses.replace(limits, draft_rows=0))
    assert answer(loaded, few, prompts[4:7], guess=False, first=4) == expected[4:7]
    loaded.runner.reset()
    scheduler = Scheduler(limits, loaded.runner.places)
    assert answer(loaded, scheduler, prompts, guess=True) == expected
    assert answer(loaded, scheduler, prompts, guess=True) == expected
    counts = scheduler.counts
    assert counts.preemptions > 0
    assert counts.prefix_hits > 300
    assert counts.accepted > 0
