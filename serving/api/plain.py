"""The server's own routes: /generate, /v1/predict, /tokenize and /detokenize."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from serving.api.answers import Ask, Running, limit_tokens, need_tokenizer
from serving.api.asking import make_ask
from serving.api.errors import ApiError
from serving.api.openai import usage_of
from serving.api.schema import (
    DetokenizeRequest,
    GenerateRequest,
    PredictRequest,
    TokenizeRequest,
)
from serving.engine import Engine
from serving.request import SamplingParams
from serving.tokenizer import TemplateRefused


async def _predict(
    engine: Engine, body: PredictRequest, request: Request, context: int
) -> list[dict[str, Any]]:
    tokenizer = need_tokenizer(engine)
    asks = []
    for index, instance in enumerate(body.instances):
        prompt = tuple(tokenizer.encode(instance.text))
        wanted = instance.max_tokens or body.parameters.max_tokens
        limit = limit_tokens(prompt, wanted, context, f"instances.{index}.text")
        own = instance.temperature
        warmth = body.parameters.temperature if own is None else own
        params = SamplingParams(temperature=warmth)
        asks.append(Ask(prompt=prompt, max_tokens=limit, params=params))
    answers = await Running(engine, asks).collect(request)
    return [
        {
            "text": answer.text,
            "finish_reason": answer.finish_reason,
            "usage": usage_of(len(ask.prompt), answer.tokens),
        }
        for ask, answer in zip(asks, answers, strict=True)
    ]


def plain_routes(engine: Engine, model_name: str, context: int) -> APIRouter:
    """The router of the plain API for one model."""
    router = APIRouter(tags=["Plain"])

    @router.post("/generate")
    async def generate(body: GenerateRequest, request: Request) -> dict[str, Any]:
        tokenizer = need_tokenizer(engine)
        prompt = tuple(tokenizer.encode(body.prompt))
        limit = limit_tokens(prompt, body.max_tokens, context, "prompt")
        ask = make_ask(body, tokenizer, prompt, limit, body.temperature)
        (answer,) = await Running(engine, [ask]).collect(request)
        return {
            "text": answer.text,
            "finish_reason": answer.finish_reason,
            "model": model_name,
            "usage": usage_of(len(prompt), answer.tokens),
        }

    @router.post("/v1/predict")
    async def predict(body: PredictRequest, request: Request) -> dict[str, Any]:
        return {
            "predictions": await _predict(engine, body, request, context),
            "model": model_name,
        }

    @router.post("/tokenize")
    async def tokenize(body: TokenizeRequest) -> dict[str, Any]:
        tokenizer = need_tokenizer(engine)
        if (body.prompt is None) == (body.messages is None):
            raise ApiError(400, "Send either prompt or messages.", "prompt")
        if body.messages is None:
            tokens = tokenizer.encode(body.prompt or "")
        else:
            messages = [{"role": m.role, "content": m.text} for m in body.messages]
            try:
                tokens = tokenizer.encode(tokenizer.render_chat(messages), add_bos=False)
            except TemplateRefused as error:
                raise ApiError(400, f"The chat template refused: {error}", "messages") from error
        return {"tokens": tokens, "count": len(tokens), "max_model_len": context}

    @router.post("/detokenize")
    async def detokenize(body: DetokenizeRequest) -> dict[str, str]:
        tokenizer = need_tokenizer(engine)
        for token in body.tokens:
            if token >= tokenizer.size:
                last = tokenizer.size - 1
                raise ApiError(400, f"There is no token {token}; the last is {last}.", "tokens")
        return {"prompt": tokenizer.decode(body.tokens, skip_special=False)}

    return router
