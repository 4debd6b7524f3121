"""From checked bodies to asks: sampling parameters, tokens within the vocabulary, grammars."""

from __future__ import annotations

import asyncio

from serving.api.answers import Ask, need_tokenizer
from serving.api.errors import ApiError
from serving.api.schema import Choosing, ResponseFormat, Sampling
from serving.engine import Engine, NotReady
from serving.grammar import GrammarError, Matcher
from serving.request import SamplingParams
from serving.tokenizer import Tokenizer


def prompt_tokens(prompt: str | list[int], tokenizer: Tokenizer) -> tuple[int, ...]:
    """The tokens of a prompt; ApiError when one is outside the vocabulary."""
    if isinstance(prompt, str):
        return tuple(tokenizer.encode(prompt))
    check_tokens(prompt, tokenizer, "prompt")
    return tuple(prompt)


def check_tokens(tokens: list[int], tokenizer: Tokenizer, field: str) -> None:
    """ApiError unless all tokens are in the vocabulary."""
    unknown = [token for token in tokens if token >= tokenizer.size]
    if unknown:
        message = (
            f"{field} has the token {unknown[0]}; the vocabulary ends at {tokenizer.size - 1}."
        )
        raise ApiError(400, message, field)


def make_ask(
    body: Choosing, tokenizer: Tokenizer, prompt: tuple[int, ...], limit: int, temperature: float
) -> Ask:
    """What `body` asks for after `prompt`; ApiError for tokens outside the vocabulary."""
    biases = body.logit_bias or {}
    check_tokens(list(biases), tokenizer, "logit_bias")
    check_tokens(body.stop_token_ids or [], tokenizer, "stop_token_ids")
    params = SamplingParams(
        temperature=temperature,
        top_p=1.0 if body.top_p is None else body.top_p,
        top_k=max(body.top_k or 0, 0),
        min_p=body.min_p or 0.0,
        repetition_penalty=1.0 if body.repetition_penalty is None else body.repetition_penalty,
        presence_penalty=body.presence_penalty or 0.0,
        frequency_penalty=body.frequency_penalty or 0.0,
        logit_bias=tuple(biases.items()),
        logprobs=body.alternatives if isinstance(body, Sampling) else None,
        prompt_logprobs=_prompt_alternatives(body),
    )
    return Ask(
        prompt=prompt,
        max_tokens=limit,
        params=params,
        seed=body.seed,
        stops=body.stops,
        stop_tokens=frozenset(body.stop_token_ids or ()),
        ignore_eos=body.ignore_eos,
        timeout_s=body.timeout_s,
    )


def _prompt_alternatives(body: Choosing) -> int | None:
    """How many alternatives are told for the prompt's tokens; an echo tells the prompt's too."""
    if not isinstance(body, Sampling):
        return None
    if body.prompt_logprobs is None and getattr(body, "echo", False):
        return body.alternatives
    return body.prompt_logprobs


async def compile_format(engine: Engine, wanted: ResponseFormat | None) -> Matcher | None:
    """The matcher of a response format; None for free text, ApiError for a schema in error."""
    need_tokenizer(engine)
    schema = wanted.wanted if wanted is not None else None
    if schema is None:
        return None
    if engine.grammars is None:
        raise NotReady(engine.state.message)
    try:
        # In a thread: a large schema takes a second, and nobody else should wait for it.
        return await asyncio.to_thread(engine.grammars.compile, schema)
    except GrammarError as error:
        message = f"response_format holds a schema that cannot be followed: {error}"
        raise ApiError(400, message, "response_format") from error
