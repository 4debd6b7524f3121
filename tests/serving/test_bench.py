"""What `make bench` reckons from its events, apart from any server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.replay import SHORTER, SLOWER, Request, read_trace
from tests.bench.serving_loads import Server, make_prompt
from tests.bench.streams import Stream


def test_a_gap_counts_where_it_reaches_into_the_time() -> None:
    """The longest wait between two moments, also one that began before or ends after them."""
    stream = Stream(0.0, [1.0, 1.1, 4.1, 4.2, 9.2], tokens=5)
    assert stream.worst_gap_s(2.0, 4.15) == pytest.approx(3.0)
    assert stream.worst_gap_s(4.15, 5.0) == pytest.approx(5.0)
    assert stream.worst_gap_s(10.0, 11.0) == 0
    assert stream.tpot_s == pytest.approx(8.2 / 4)


def test_no_prompt_is_known_from_an_earlier_one() -> None:
    """Prompts are made of the given tokens, as long as asked for, and each is another one."""
    server = Server("s", 1, tuple(range(100, 400)))
    first, second = make_prompt(server, 512), make_prompt(server, 512)
    assert len(first) == len(second) == 512
    assert set(first) <= set(server.words)
    assert first[:32] != second[:32]


def test_a_trace_is_scaled_down(tmp_path: Path) -> None:
    """Arrivals are spread and lengths cut, never to nothing."""
    path = tmp_path / "trace.csv"
    path.write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:47.6805900,3,1\n"
    )
    assert read_trace(path) == [
        Request(0.0, round(374 / SHORTER), round(44 / SHORTER)),
        Request(pytest.approx(SLOWER), 1, 2),
    ]
