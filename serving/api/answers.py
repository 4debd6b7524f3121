"""Builds jobs from checked requests, submits them, and collects what comes back.

What does not live here: the shape of any route's body or answer.
"""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.requests import Request

from serving.adjustment import Adjustment
from serving.api.errors import ApiError
from serving.drafting import Lookup
from serving.engine import Engine, NotReady
from serving.grammar import Matcher
from serving.request import Delta, Job, SamplingParams, Scored
from serving.sequence import Sequence
from serving.tokenizer import AnswerText, Tokenizer

UNFINISHED = "The server ended this request before it was finished."
TIMED_OUT = "This request's time was up before it was finished; ask for fewer tokens or more time."


@dataclasses.dataclass(frozen=True, slots=True)
class Ask:
    """One prompt with everything that decides its answer; `seed` None means any."""

    prompt: tuple[int, ...]
    max_tokens: int
    params: SamplingParams
    seed: int | None = None
    stops: tuple[str, ...] = ()
    stop_tokens: frozenset[int] = frozenset()
    ignore_eos: bool = False
    timeout_s: float | None = None
    grammar: Matcher | None = None


@dataclasses.dataclass(slots=True)
class Answer:
    """A finished answer."""

    text: str = ""
    tokens: int = 0
    finish_reason: str | None = None
    scored: list[Scored] = dataclasses.field(default_factory=list)
    prompt: tuple[Scored, ...] = ()


def need_tokenizer(engine: Engine) -> Tokenizer:
    """The tokenizer, or NotReady while the model is loading."""
    if engine.loaded is None:
        raise NotReady(engine.state.message)
    return engine.loaded.tokenizer


def limit_tokens(prompt: tuple[int, ...], wanted: int | None, context: int, field: str) -> int:
    """How many tokens may be generated after `prompt`; ApiError when it does not fit."""
    if not prompt:
        raise ApiError(400, f"{field} is empty; send at least one token of text.", field)
    left = context - len(prompt)
    if left < 1:
        raise ApiError(
            413,
            f"{field} has {len(prompt)} tokens, and this server's context holds {context} with "
            f"the answer; shorten it to at most {context - 1} tokens.",
            field,
            "context_length_exceeded",
        )
    if wanted is not None and wanted > left:
        raise ApiError(
            400,
            f"max_tokens is {wanted}, but after the {len(prompt)} tokens of {field} the context "
            f"of {context} has room for {left}; ask for at most {left}.",
            "max_tokens",
            "context_length_exceeded",
        )
    return wanted or left


class Running:
    """Several jobs that were submitted together, and their deltas in the order they came."""

    def __init__(self, engine: Engine, asks: list[Ask]) -> None:
        """Submit at once: NotReady or QueueFull before any answer has begun."""
        self._engine = engine
        self._queue: asyncio.Queue[tuple[int, Delta]] = asyncio.Queue()
        tokenizer = need_tokenizer(engine)
        now = time.monotonic()
        self.jobs = [self._make_job(index, ask, tokenizer, now) for index, ask in enumerate(asks)]
        engine.submit(self.jobs)

    def _make_job(self, index: int, ask: Ask, tokenizer: Tokenizer, now: float) -> Job:
        limit_s = self._engine.settings.request_limit_s
        ends = frozenset() if ask.ignore_eos and not ask.grammar else tokenizer.eos_tokens
        seed = secrets.randbits(63) if ask.seed is None else ask.seed
        params = dataclasses.replace(ask.params, seed=seed)
        adjustment = None
        if params.adjusts or ask.grammar is not None:
            vocabulary = self._engine.vocabulary
            adjustment = Adjustment(params, vocabulary, ask.prompt, ask.grammar)
        job = Job(
            sequence=Sequence(ask.prompt, ask.max_tokens, ends | ask.stop_tokens),
            params=params,
            text=AnswerText(tokenizer, ask.stops),
            sink=lambda delta: self._queue.put_nowait((index, delta)),
            arrived_s=now,
            deadline_s=now + min(ask.timeout_s or limit_s, limit_s),
            adjustment=adjustment,
        )
        job.sequence.use_prefix = params.prompt_logprobs is None
        if self._engine.guesses and not job.ranked:
            job.sequence.lookup = Lookup(list(ask.prompt))
        return job

    def cancel(self) -> None:
        """End whatever still runs."""
        self._engine.cancel(self.jobs)

    async def deltas(self, quiet_s: float | None = None) -> AsyncIterator[tuple[int, Delta] | None]:
        """(index, delta) until all have finished; None after each `quiet_s` without any.

        The jobs are cancelled when the consumer goes away.
        """
        left = len(self.jobs)
        try:
            while left:
                try:
                    async with asyncio.timeout(quiet_s):
                        index, delta = await self._queue.get()
                except TimeoutError:
                    yield None
                    continue
                left -= delta.finish_reason is not None
                yield index, delta
        finally:
            self.cancel()

    async def collect(self, request: Request) -> list[Answer]:
        """All answers whole; ApiError if the server gave up, and cancelled if the client did."""
        answers = [Answer() for _ in self.jobs]
        async with _cancelled_with(request, self):
            async for item in self.deltas():
                if item is None:
                    continue
                index, delta = item
                answers[index].text += delta.text
                answers[index].tokens = delta.tokens
                answers[index].finish_reason = delta.finish_reason
                answers[index].scored += delta.scored
                answers[index].prompt = answers[index].prompt or delta.prompt
        for answer in answers:
            if answer.finish_reason == "timeout":
                raise ApiError(504, TIMED_OUT, "timeout_s", "deadline_exceeded")
            if answer.finish_reason not in ("stop", "length"):
                raise ApiError(503, UNFINISHED)
        return answers


@asynccontextmanager
async def _cancelled_with(request: Request, running: Running) -> AsyncIterator[None]:
    """Cancel the jobs and this task when the client disconnects (its answer can go nowhere)."""
    waiting = asyncio.current_task()

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        running.cancel()
        if waiting is not None:
            waiting.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        watcher.cancel()
        with suppress(asyncio.CancelledError):
            await watcher
