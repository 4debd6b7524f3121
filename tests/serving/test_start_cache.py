"""What a start keeps for the next one: the same answers without the work, or made anew."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from serving import loading
from serving.compilations import count_compilations
from serving.request import Job, Output, SamplingParams
from serving.scheduler import Scheduler
from serving.sequence import Sequence
from serving.settings import read_settings
from serving.start_cache import StartCache
from serving.tokenizer import AnswerText
from tests.serving.small_checkpoints import write_gguf
from tests.serving.stepping import run_to_the_end

FLAGS = ("--slots", "1", "--max-tokens-context", "256", "--prefix-cache-tokens", "0")
FLAGS += ("--speculation-rows", "0")
CODE = "serving.sequence"
VALUE = {"numbers": np.arange(5), "words": ("a", "b")}


@pytest.fixture
def compiled() -> Iterator[list[str]]:
    """Grows with every compilation; JAX's own cache is another one than before and after."""
    found: list[str] = []
    count_compilations(lambda: found.append("one"))
    compilation_cache.reset_cache()
    yield found
    compilation_cache.reset_cache()


def start_and_answer(path: Path, cache: Path) -> list[Output]:
    """Tokens and log-probabilities of a seeded answer, from a model that is loaded anew."""
    settings = read_settings(["--model", str(path), "--cache-dir", str(cache), *FLAGS])
    loaded = loading.load(path, settings, lambda *_: None)
    params = SamplingParams(seed=3, logprobs=5, prompt_logprobs=2)
    sequence = Sequence(tuple(range(1, 60)), 12)
    text = AnswerText(loaded.tokenizer)
    job = Job(sequence, params, text, lambda _: None, 0.0)
    return run_to_the_end(loaded, Scheduler(loaded.runner.limits), {sequence: job})


def spoil(path: Path) -> None:
    """Change one bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def test_second_start_computes_the_same_and_compiles_nothing(
    tmp_path: Path,
    compiled: list[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Taken over, every log-probability is the same to the bit; what is damaged or of another
    model is made anew, with a line for each damaged file."""
    monkeypatch.setattr(loading, "CHUNK_SIZES", (32,))  # fewer programs to compile
    model, cache = tmp_path / "model.gguf", tmp_path / "cache"
    caplog.set_level(logging.INFO, "serving")
    write_gguf(model, seed=1)
    first = start_and_answer(model, cache)
    assert compiled
    compiled.clear()
    assert start_and_answer(model, cache) == first
    assert not compiled
    programs = (cache / "start").glob("program-*")
    (weights,) = (cache / "start").glob("weights-*")
    spoiled = [max(programs, key=lambda path: path.stat().st_size), weights]
    for path in spoiled:
        spoil(path)
    assert not caplog.messages
    assert start_and_answer(model, cache) == first
    assert sorted(caplog.messages) == [f"{path} is damaged; made anew" for path in spoiled]
    assert compiled == ["one"]
    size = model.stat().st_size
    write_gguf(model, seed=2)
    assert model.stat().st_size == size
    compiled.clear()
    assert start_and_answer(model, cache) != first
    assert not compiled  # the programs are of the shapes alone


@pytest.mark.parametrize("place", [64, 70, 140, -1])
def test_a_value_comes_back_whole_or_not_at_all(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, place: int
) -> None:
    """Whichever byte is damaged, the value is not taken, one line says so, and it can be kept
    again; values of other arguments are other values."""
    caplog.set_level(logging.INFO, "serving")
    cache = StartCache(tmp_path / "start", CODE)
    assert cache.load("value", (1, 2)) is None
    cache.save("value", (1, 2), VALUE)
    assert cache.load("value", (1, 2))["words"] == VALUE["words"]
    assert cache.load("value", (1, 3)) is None
    assert cache.load("other", (1, 2)) is None
    assert not caplog.messages
    (path,) = (tmp_path / "start").iterdir()
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert cache.load("value", (1, 2)) is None
    path.write_bytes(content[: len(content) // 2])
    assert cache.load("value", (1, 2)) is None
    assert len(caplog.messages) == 2
    assert all(message.endswith("made anew") for message in caplog.messages)
    cache.save("value", (1, 2), VALUE)
    assert cache.load("value", (1, 2))["words"] == VALUE["words"]


def test_another_version_takes_nothing_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was made by other code, packages or compiler flags is made anew, in the same place."""
    caplog.set_level(logging.INFO, "serving")
    StartCache(tmp_path, CODE).save("value", 1, VALUE)
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    other = StartCache(tmp_path, CODE)
    assert other.load("value", 1) is None
    assert other.load("value", 1) is None
    (line,) = caplog.messages
    assert line.endswith("what another version of serving.sequence made; made anew")
    other.save("value", 1, VALUE)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_takes_nothing_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A start goes on without keeping anything, and says why, once."""
    (tmp_path / "start").write_text("a file where the folder should be")
    cache = StartCache(tmp_path / "start", CODE)
    assert cache.load("value", 1) is None
    cache.save("value", 1, VALUE)
    cache.save("value", 2, VALUE)
    (line,) = caplog.messages
    assert "cannot be kept for the next start" in line
