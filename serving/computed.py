"""What a step's programs gave, still on the device: `outputs` waits for it and brings it over.

Until then the device may go on to what comes next. What does not live here: which programs run
(`runner`), what becomes of the tokens (`engine`).
"""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from serving.request import Job, Output, Scored
from serving.sampling import SamplingRows
from serving.step import Chunk

Ranks = tuple[jax.Array, jax.Array, jax.Array]  # own log-probability, best values, best ids


def _scored(token: int, own: np.ndarray, values: np.ndarray, ids: np.ndarray, count: int) -> Scored:
    best = zip(ids[:count].tolist(), values[:count].tolist(), strict=True)
    return Scored(token, float(own), tuple(best))


@dataclasses.dataclass(frozen=True, slots=True)
class Chosen:
    """The next tokens of the rows of one call."""

    token: jax.Array  # N 1
    jobs: list[Job | None]  # whose each is; None: nobody's
    ranks: Ranks | None = None  # where somebody asks how likely they are

    def outputs(self, width: int = 1) -> list[Output]:
        """Tokens and how likely they are, for each `width` rows together."""
        found = np.asarray(self.token).reshape(-1, width).tolist()
        scored: list[Scored | None] = [None] * len(found)
        if self.ranks is not None:
            own, values, ids = (np.asarray(array) for array in self.ranks)
            for row, job in enumerate(self.jobs):
                if job is not None and job.params.logprobs is not None:
                    count = job.params.logprobs
                    scored[row] = _scored(found[row][0], own[row], values[row], ids[row], count)
        return [Output(tuple(tokens), score) for tokens, score in zip(found, scored, strict=True)]


@dataclasses.dataclass(frozen=True, slots=True)
class Prompts:
    """One call over chunks of prompts."""

    chunks: list[Chunk]
    chosen: Chosen | None  # a row for each chunk, then spare ones; None: no chunk is its last
    ranks: Ranks | None = None  # of the tokens of a single chunk
    following: tuple[int, ...] = ()  # these tokens
    count: int = 0  # alternatives that are told for each of them

    def outputs(self) -> list[Output]:
        """What each chunk gave."""
        prompt: tuple[Scored, ...] = ()
        if self.ranks is not None:
            own, values, ids = (np.asarray(array) for array in self.ranks)
            prompt = tuple(
                _scored(token, own[row], values[row], ids[row], self.count)
                for row, token in enumerate(self.following)
            )
        if self.chosen is None:
            return [Output(prompt=prompt) for _ in self.chunks]
        outputs = self.chosen.outputs()
        return [
            dataclasses.replace(output, prompt=prompt) if chunk.last else Output(prompt=prompt)
            for chunk, output in zip(self.chunks, outputs, strict=False)
        ]


@dataclasses.dataclass(frozen=True, slots=True)
class Answers:
    """One call over rows that continue, with all that the next such call needs."""

    chosen: Chosen
    width: int
    where: list[int]  # which row of the call each row of the step is
    slots: np.ndarray  # R
    start: np.ndarray  # R
    sampling: SamplingRows

    def outputs(self) -> list[Output]:
        """What each row gave."""
        found = self.chosen.outputs(self.width)
        return [found[place] for place in self.where]


@dataclasses.dataclass(frozen=True, slots=True)
class Computed:
    """A step that was handed to the device."""

    prompts: tuple[Prompts, ...]
    batches: tuple[tuple[int, ...], ...]  # which of the step's chunks each call has
    answers: Answers | None

    def outputs(self) -> tuple[list[Output], list[Output]]:
        """What each chunk gave, and each row; raises what the device did."""
        chunks: dict[int, Output] = {}
        for batch, prompts in zip(self.batches, self.prompts, strict=True):
            chunks |= zip(batch, prompts.outputs(), strict=True)
        rows = self.answers.outputs() if self.answers is not None else []
        return [chunks[number] for number in sorted(chunks)], rows
