"""One request on its way through the server: what it asks for, and what comes back of it.

Plain data without JAX, so that the HTTP side starts before JAX is loaded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from serving.scheduler import Sequence
from serving.tokenizer import AnswerText


@dataclasses.dataclass(frozen=True, slots=True)
class SamplingParams:
    """How tokens are chosen; `top_k` 0 and `top_p` 1 leave the distribution whole."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Delta:
    """What one step added to an answer; `finish_reason` is set on the last one only.

    Reasons: stop, length, abort (the server gave up on it), error.
    """

    text: str
    tokens: int
    finish_reason: str | None = None


@dataclasses.dataclass(eq=False, slots=True)
class Job:
    """A sequence with its sampling, its growing text, its times, and where its text goes."""

    sequence: Sequence
    params: SamplingParams
    text: AnswerText
    sink: Callable[[Delta], None]  # called on the event loop's thread
    arrived_s: float
    admitted_s: float | None = None
    first_token_s: float | None = None
    last_token_s: float | None = None
