"""OpenAI's routes: chat and text completions (streamed or whole), and the list of models."""

from __future__ import annotations

import dataclasses
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from serving.api.answers import (
    TIMED_OUT,
    UNFINISHED,
    Answer,
    Ask,
    Running,
    limit_tokens,
    need_tokenizer,
)
from serving.api.asking import compile_format, make_ask, prompt_tokens
from serving.api.errors import ApiError
from serving.api.logprobs import chat_logprobs, prompt_logprobs, text_logprobs
from serving.api.schema import ChatRequest, CompletionRequest, Sampling
from serving.engine import Engine
from serving.grammar import Matcher
from serving.request import Scored
from serving.tokenizer import TemplateRefused, Tokenizer

QUIET_S = 15.0  # proxies drop streams that are silent for longer, typically after 30 or 60 s
DEFAULT_COMPLETION_TOKENS = 16  # as in OpenAI's API; a chat answer may fill the context

_STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

Shown = Sequence[Scored] | None  # None: log-probabilities were not asked for
WholeChoice = Callable[[int, Answer], dict[str, Any]]
# From index, text, finish reason and log-probabilities to a choice of a stream.
Choice = Callable[[int, str, str | None, Shown], dict[str, Any]]


def usage_of(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """OpenAI's usage object."""
    total = prompt_tokens + completion_tokens
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": total,
    }


def check_model(wanted: str | None, served: str, root: str) -> None:
    """ApiError 404 unless the request names this server's model, or none."""
    if wanted not in (None, "", served, root):
        message = f"The model {wanted!r} is not served here; this server has {served!r}."
        raise ApiError(404, message, "model", "model_not_found")


def _asks(
    body: Sampling,
    tokenizer: Tokenizer,
    prompts: list[tuple[int, ...]],
    limits: list[int],
    grammar: Matcher | None,
) -> list[Ask]:
    """One ask per prompt and choice; each further choice of a seed draws from the next seed."""
    warmth = 1.0 if body.temperature is None else body.temperature
    asks = []
    for prompt, limit in zip(prompts, limits, strict=True):
        ask = make_ask(body, tokenizer, prompt, limit, warmth)
        for choice in range(body.n or 1):
            seed = None if body.seed is None else body.seed + choice
            own = grammar.copy() if grammar is not None else None
            asks.append(dataclasses.replace(ask, seed=seed, grammar=own))
    return asks


def _event(payload: dict[str, Any]) -> str:
    return f"data: {json.dumps(payload, ensure_ascii=False, separators=(',', ':'))}\n\n"


class _Reply:
    """One request's answer in OpenAI's shape, whole or as a stream of chunks."""

    def __init__(
        self, engine: Engine, body: Sampling, running: Running, head: dict[str, Any]
    ) -> None:
        self.engine, self.body, self.running, self.head = engine, body, running, head
        per_prompt = body.n or 1
        self.prompt_tokens = sum(len(job.sequence.prompt) for job in running.jobs) // per_prompt

    async def whole(self, request: Request, kind: str, choice: WholeChoice) -> dict[str, Any]:
        """The JSON answer."""
        answers = await self.running.collect(request)
        choices = []
        for index, answer in enumerate(answers):
            made = choice(index, answer)
            if self.body.prompt_logprobs is not None:
                tokenizer = need_tokenizer(self.engine)
                made["prompt_logprobs"] = prompt_logprobs(tokenizer, answer.prompt)
            choices.append(made)
        usage = usage_of(self.prompt_tokens, sum(answer.tokens for answer in answers))
        return {**self.head, "object": kind, "choices": choices, "usage": usage}

    def stream(self, kind: str, opening: list[dict[str, Any]], choice: Choice) -> Response:
        """The server-sent events; `opening` are choices that are sent before any token."""
        lines = self._lines(kind, opening, choice)
        return StreamingResponse(lines, media_type="text/event-stream", headers=_STREAM_HEADERS)

    async def _lines(
        self, kind: str, opening: list[dict[str, Any]], choice: Choice
    ) -> AsyncIterator[str]:
        options = self.body.stream_options
        head = {**self.head, "object": kind}
        counts = [0] * len(self.running.jobs)

        def chunk(choices: list[dict[str, Any]]) -> str:
            payload = {**head, "choices": choices}
            if options and options.continuous_usage_stats:
                payload["usage"] = usage_of(self.prompt_tokens, sum(counts))
            elif options and options.include_usage:
                payload["usage"] = None
            return _event(payload)

        deltas = self.running.deltas(QUIET_S)
        try:
            for item in opening:
                yield chunk([item])
            async for item in deltas:
                if item is None:
                    yield ": keep-alive\n\n"
                    continue
                index, delta = item
                counts[index] = delta.tokens
                if delta.finish_reason in ("timeout", "abort", "error"):
                    message = TIMED_OUT if delta.finish_reason == "timeout" else UNFINISHED
                    yield _event({"error": {"message": message, "type": "server_error"}})
                    return
                scored = delta.scored if self.body.alternatives is not None else None
                if delta.text or scored:
                    yield chunk([choice(index, delta.text, None, scored)])
                if delta.finish_reason:
                    yield chunk([choice(index, "", delta.finish_reason, None)])
            if options and options.include_usage:
                usage = usage_of(self.prompt_tokens, sum(counts))
                yield _event({**head, "choices": [], "usage": usage})
            yield "data: [DONE]\n\n"
        finally:
            # Also when the client went away before the first delta was asked for.
            self.running.cancel()
            await deltas.aclose()


def _chat_choices(tokenizer: Tokenizer, logprobs: bool) -> tuple[WholeChoice, Choice]:
    """How a chat's choices look: whole ones, and those of a stream."""

    def told(shown: Shown) -> dict[str, Any] | None:
        return None if shown is None else chat_logprobs(tokenizer, shown)

    def whole(index: int, answer: Answer) -> dict[str, Any]:
        message = {"role": "assistant", "content": answer.text, "refusal": None}
        known = told(answer.scored if logprobs else None)
        reason = answer.finish_reason
        return {"index": index, "message": message, "logprobs": known, "finish_reason": reason}

    def delta(index: int, text: str, reason: str | None, shown: Shown) -> dict[str, Any]:
        part = {"content": text} if text else {}
        return {"index": index, "delta": part, "logprobs": told(shown), "finish_reason": reason}

    return whole, delta


def _chat_opening(index: int) -> dict[str, Any]:
    delta = {"role": "assistant", "content": ""}
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}


def _text_choice(
    index: int, text: str, reason: str | None, logprobs: dict[str, Any] | None
) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": reason}


@dataclasses.dataclass(frozen=True, slots=True)
class _Served:
    """The one model that the routes answer for."""

    engine: Engine
    name: str
    root: str
    context: int
    created: int

    async def start(
        self, body: Sampling, prefix: str, prompts: list[tuple[int, ...]], limits: list[int]
    ) -> _Reply:
        """Submit all prompts; raises before any answer has begun."""
        grammar = await compile_format(self.engine, body.response_format)
        asks = _asks(body, need_tokenizer(self.engine), prompts, limits, grammar)
        running = Running(self.engine, asks)
        now = int(time.time())
        head = {"id": f"{prefix}-{secrets.token_hex(12)}", "created": now, "model": self.name}
        return _Reply(self.engine, body, running, head)

    def card(self) -> dict[str, Any]:
        """The model's entry in the list of models."""
        return {
            "id": self.name,
            "object": "model",
            "created": self.created,
            "owned_by": "heartwood",
            "root": self.root,
            "parent": None,
            "max_model_len": self.context,
        }


async def _chat(served: _Served, body: ChatRequest, request: Request) -> dict[str, Any] | Response:
    check_model(body.model, served.name, served.root)
    tokenizer = need_tokenizer(served.engine)
    messages = [
        {"role": "system" if m.role == "developer" else m.role, "content": m.text}
        for m in body.messages
    ]
    try:
        prompt = tuple(tokenizer.encode(tokenizer.render_chat(messages), add_bos=False))
    except TemplateRefused as error:
        raise ApiError(400, f"The chat template refused: {error}", "messages") from error
    wanted = body.max_completion_tokens or body.max_tokens
    limit = limit_tokens(prompt, wanted, served.context, "messages")
    reply = await served.start(body, "chatcmpl", [prompt], [limit])
    whole, delta = _chat_choices(tokenizer, bool(body.logprobs))
    if not body.stream:
        return await reply.whole(request, "chat.completion", whole)
    opening = [_chat_opening(index) for index in range(body.n or 1)]
    return reply.stream("chat.completion.chunk", opening, delta)


async def _complete(
    served: _Served, body: CompletionRequest, request: Request
) -> dict[str, Any] | Response:
    check_model(body.model, served.name, served.root)
    tokenizer, context = need_tokenizer(served.engine), served.context
    prompts = [prompt_tokens(prompt, tokenizer) for prompt in body.prompts]
    if not prompts:
        raise ApiError(400, "prompt is empty; send at least one.", "prompt")
    wanted = body.max_tokens or DEFAULT_COMPLETION_TOKENS
    if body.max_tokens is None:
        wanted = min([wanted, *(context - len(p) for p in prompts if len(p) < context)])
    limits = [limit_tokens(prompt, wanted, context, "prompt") for prompt in prompts]
    reply = await served.start(body, "cmpl", prompts, limits)
    each = [prompt for prompt in prompts for _ in range(body.n or 1)]
    echoes = [tokenizer.decode(prompt) if body.echo else "" for prompt in each]
    ends = [0] * len(each)  # of the text that a stream has told

    def delta(index: int, text: str, reason: str | None, shown: Shown) -> dict[str, Any]:
        start, ends[index] = ends[index], ends[index] + len(text)
        told = None if shown is None else text_logprobs(tokenizer, None, shown, start)
        return _text_choice(index, text, reason, told)

    if body.stream:
        opening = [_text_choice(i, echo, None, None) for i, echo in enumerate(echoes) if echo]
        return reply.stream("text_completion", opening, delta)

    def choice(index: int, answer: Answer) -> dict[str, Any]:
        if body.logprobs is None:
            told = None
        elif body.echo:
            told = text_logprobs(tokenizer, each[index][0], (*answer.prompt, *answer.scored))
        else:
            told = text_logprobs(tokenizer, None, answer.scored)
        return _text_choice(index, echoes[index] + answer.text, answer.finish_reason, told)

    return await reply.whole(request, "text_completion", choice)


def openai_routes(engine: Engine, model_name: str, root: str, context: int) -> APIRouter:
    """The router of OpenAI's API for one model."""
    router = APIRouter(tags=["OpenAI"])
    served = _Served(engine, model_name, root, context, int(time.time()))

    @router.post("/v1/chat/completions", response_model=None)
    async def chat(body: ChatRequest, request: Request) -> dict[str, Any] | Response:
        return await _chat(served, body, request)

    @router.post("/v1/completions", response_model=None)
    async def completions(body: CompletionRequest, request: Request) -> dict[str, Any] | Response:
        return await _complete(served, body, request)

    @router.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [served.card()]}

    @router.get("/v1/models/{name:path}")
    async def model(name: str) -> dict[str, Any]:
        check_model(name, model_name, root)
        return served.card()

    return router
