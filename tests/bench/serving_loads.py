"""What `tests.bench.serving` asks of a server: each load returns its figures, in the units named.

Every prompt is its own (a number at its beginning), so that no prefix cache knows it unless the
load is about that. What does not live here: which servers, their order, how figures are reported.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass

from tests.bench.streams import CHAT, COMPLETIONS, Stream, ask

ANSWER_TOKENS = 128
PREFIX_TOKENS = 512
TAIL_TOKENS = 8
LONG_TOKENS = 1500
RUNNING = 4
_GAP_TOKENS = 400
_TASKS = (
    "Write a story about a lighthouse keeper who finds a letter.",
    "Explain how a bicycle stays upright.",
    "Describe a market in a harbour town in the morning.",
    "Give advice to somebody who learns to cook.",
    "Tell the history of the printing press.",
    "Explain to a child why the sky is blue.",
    "Write a letter to a friend about a walk in the mountains.",
    "Compare trains and ships for carrying goods.",
)
_number = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Server:
    """One that answers on loopback, and the tokens that prompts are made of."""

    name: str
    port: int
    words: tuple[int, ...]  # tokens of ordinary text


def _chat(task: str, temperature: float) -> dict[str, object]:
    number = next(_number)
    return {
        "messages": [{"role": "user", "content": f"Request {number}. {task}"}],
        "max_tokens": ANSWER_TOKENS,
        "temperature": temperature,
        "seed": number,
    }


def make_prompt(server: Server, count: int) -> list[int]:
    """A prompt of so many tokens that no server has seen."""
    choose = random.Random(next(_number))
    return choose.choices(server.words, k=count)


async def _together(server: Server, path: str, bodies: Iterable[dict[str, object]]) -> list[Stream]:
    return list(await asyncio.gather(*(ask(server.port, path, body) for body in bodies)))


async def decode(server: Server, streams: int, temperature: float = 0.0) -> float:
    """Tokens per second of so many chats at once: those after each one's first, while any runs."""
    tasks = itertools.islice(itertools.cycle(_TASKS), streams)
    answers = await _together(server, CHAT, [_chat(task, temperature) for task in tasks])
    began = min(answer.times_s[0] for answer in answers)
    ended = max(answer.end_s for answer in answers)
    return sum(answer.tokens - 1 for answer in answers) / (ended - began)


async def _first_token(server: Server, prompt: list[int]) -> float:
    body = {"prompt": prompt, "max_tokens": 2, "temperature": 0.0, "ignore_eos": True}
    return (await ask(server.port, COMPLETIONS, body)).ttft_s


async def prefill(server: Server) -> float:
    """Prompt tokens per second of a prompt of 512 tokens, by its time to first token."""
    return PREFIX_TOKENS / await _first_token(server, make_prompt(server, PREFIX_TOKENS))


async def _first_tokens(server: Server) -> tuple[float, float]:
    """Seconds to the first token of 520 tokens: uncached, and with 512 of them cached."""
    prefix = make_prompt(server, PREFIX_TOKENS)
    uncached_s = await _first_token(server, prefix + make_prompt(server, TAIL_TOKENS))
    return uncached_s, await _first_token(server, prefix + make_prompt(server, TAIL_TOKENS))


async def cached_share(server: Server) -> float:
    """Time to first token with 512 tokens cached and 8 new ones ÷ that of as many uncached."""
    uncached_s, cached_s = await _first_tokens(server)
    return cached_s / uncached_s


async def cached_ms(server: Server) -> float:
    """Time to first token with 512 tokens cached and 8 new ones, in ms."""
    return (await _first_tokens(server))[1] * 1000


async def worst_gap(server: Server) -> float:
    """Longest wait, in ms, of 4 running streams while a prompt of 1,500 tokens is computed."""
    events = [0] * RUNNING
    going = asyncio.Event()

    def count(index: int) -> None:
        events[index] += 1
        if min(events) >= 16:
            going.set()

    bodies = [
        {
            "prompt": make_prompt(server, 24),
            "max_tokens": _GAP_TOKENS,
            "temperature": 0.8,
            "seed": i + 1,
        }
        | {"ignore_eos": True}
        for i in range(RUNNING)
    ]
    running = [
        asyncio.create_task(ask(server.port, COMPLETIONS, body, lambda i=i: count(i)))
        for i, body in enumerate(bodies)
    ]
    await going.wait()
    since = time.perf_counter()
    first_s = await _first_token(server, make_prompt(server, LONG_TOKENS))
    answers = await asyncio.gather(*running)
    return 1e3 * max(answer.worst_gap_s(since, since + first_s) for answer in answers)
