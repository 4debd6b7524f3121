"""Replays a trace of chat requests, scaled down in rate and length, on one server after another.

The trace is a CSV with the columns TIMESTAMP, ContextTokens and GeneratedTokens, as the Azure LLM
inference traces are (Patel et al., ISCA 2024); it is not part of this repository.
"""

from __future__ import annotations

import asyncio
import csv
import itertools
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from tests.bench.serving_loads import Server, make_prompt
from tests.bench.streams import COMPLETIONS, Refused, Stream, ask

REQUESTS = 60
SLOWER = 4.0  # times between arrivals, and ...
SHORTER = 6.0  # ... of lengths; so two cores can answer what was sent to a cluster
GOOD_TTFT_S, GOOD_TPOT_S = 2.0, 0.2


@dataclass(frozen=True, slots=True)
class Request:
    """One request, so many seconds after the first."""

    at_s: float
    prompt: int
    answer: int


def read_trace(path: Path, count: int = REQUESTS) -> list[Request]:
    """The trace's first requests, scaled down."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(itertools.islice(csv.DictReader(file), count))
    times = [datetime.fromisoformat(row["TIMESTAMP"][:26]).timestamp() for row in rows]
    return [
        Request(
            (at - times[0]) * SLOWER,
            max(1, round(int(row["ContextTokens"]) / SHORTER)),
            max(2, round(int(row["GeneratedTokens"]) / SHORTER)),
        )
        for at, row in zip(times, rows, strict=True)
    ]


async def _one(server: Server, request: Request, began_s: float) -> Stream | None:
    await asyncio.sleep(began_s + request.at_s - time.perf_counter())
    body = {
        "prompt": make_prompt(server, request.prompt),
        "max_tokens": request.answer,
        "temperature": 0.8,
        "ignore_eos": True,
    }
    try:
        return await ask(server.port, COMPLETIONS, body)
    except (Refused, OSError):
        return None


async def _replay(server: Server, requests: Iterable[Request]) -> tuple[str, ...]:
    """Good requests per minute; p50 and p99 of first token (ms), and of each later one."""
    began_s = time.perf_counter()
    found = await asyncio.gather(*(_one(server, request, began_s) for request in requests))
    took_min = (time.perf_counter() - began_s) / 60
    done = [stream for stream in found if stream is not None]
    ttft = [stream.ttft_s for stream in done]
    tpot = [stream.tpot_s for stream in done if stream.tpot_s is not None]
    good = [s for s in done if s.ttft_s <= GOOD_TTFT_S and (s.tpot_s or 0) <= GOOD_TPOT_S]
    first, later = (1e3 * np.percentile(times, [50, 99]) for times in (ttft, tpot))
    return (
        f"{len(good) / took_min:.1f}",
        f"{first[0]:.0f} / {first[1]:.0f}",
        f"{later[0]:.0f} / {later[1]:.0f}",
        str(len(found) - len(done)),
    )


def compare(path: Path, servers: tuple[Server, Server]) -> list[str]:
    """Lines of the report's table, one for each figure."""
    requests = read_trace(path)
    ours, peer = (asyncio.run(_replay(server, requests)) for server in servers)
    names = (
        f"trace: good requests a minute (≤ {GOOD_TTFT_S:g} s, ≤ {GOOD_TPOT_S * 1e3:g} ms a token)",
        "trace: TTFT p50 / p99, ms",
        "trace: TPOT p50 / p99, ms",
        "trace: requests refused or broken off",
    )
    return [f"| {name} | {a} | {b} | | – | |" for name, a, b in zip(names, ours, peer, strict=True)]
