"""One request on its way through the server: what it asks for, and what comes back of it.

Plain data without JAX, so that the HTTP side starts before JAX is loaded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from serving.sequence import Sequence
from serving.tokenizer import AnswerText

if TYPE_CHECKING:
    from serving.adjustment import Adjustment


@dataclasses.dataclass(frozen=True, slots=True)
class SamplingParams:
    """How tokens are chosen; the defaults leave the model's distribution as it is."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    logprobs: int | None = None  # how many alternatives are told for each token; None: nothing
    prompt_logprobs: int | None = None  # likewise for the prompt's tokens

    @property
    def adjusts(self) -> bool:
        """It changes the logits themselves."""
        penalties = (self.presence_penalty, self.frequency_penalty)
        return self.repetition_penalty != 1.0 or penalties != (0.0, 0.0) or bool(self.logit_bias)


@dataclasses.dataclass(frozen=True, slots=True)
class Scored:
    """How likely the model found a token, and its most likely ones, before any adjustment."""

    token: int
    logprob: float
    best: tuple[tuple[int, float], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Output:
    """What the device gave for one chunk or row: no tokens for a chunk that is not the last."""

    tokens: tuple[int, ...] = ()
    scored: Scored | None = None  # of the token, where that was asked for
    prompt: tuple[Scored, ...] = ()  # of the prompt's tokens after each one of the chunk


@dataclasses.dataclass(frozen=True, slots=True)
class Delta:
    """What one step added to an answer; `finish_reason` is set on the last one only.

    Reasons: stop, length, timeout, abort (the server gave up on it), error.
    """

    text: str
    tokens: int  # of the answer so far
    finish_reason: str | None = None
    scored: tuple[Scored, ...] = ()
    prompt: tuple[Scored, ...] = ()  # of the prompt's tokens but the first, with the first delta


@dataclasses.dataclass(eq=False, slots=True)
class Job:
    """A sequence with its sampling, its growing text, its times, and where its text goes."""

    sequence: Sequence
    params: SamplingParams
    text: AnswerText
    sink: Callable[[Delta], None]  # called on the event loop's thread
    arrived_s: float
    deadline_s: float | None = None  # on the same clock as `arrived_s`
    adjustment: Adjustment | None = None
    admitted_s: float | None = None
    first_token_s: float | None = None
    last_token_s: float | None = None
    told: int = 0  # tokens of the answer that were turned into text
    prompt_scored: list[Scored] = dataclasses.field(default_factory=list)

    @property
    def ranked(self) -> bool:
        """Its rows need more than the next token: adjusted logits, or log-probabilities."""
        return self.adjustment is not None or self.params.logprobs is not None
