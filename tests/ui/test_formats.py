"""Words for figures: unknown is a word, units are right, nothing from outside is Markdown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ui import formats

NOW = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "say",
    [
        formats.money, formats.money_exact, formats.money_change, formats.ratio, formats.number,
        formats.count, formats.milliseconds, formats.duration, formats.data_size, formats.clock,
        formats.stamp,
    ],
)  # fmt: skip
def test_none_is_unknown_and_never_zero(say: object) -> None:
    """Every formatter says "unknown" for None."""
    assert say(None) == "unknown"  # type: ignore[operator]


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (0, "$0"), (3072.0, "$3,072"), (12.4, "$12.40"), (0.0031, "$0.0031"), (9.2e6, "$9.2M"),
        (-48.0, "−$48.00"), (110592.0, "$110,592"), (0.00002, "$0.000020"), (1_000_000, "$1M"),
        (0.2, "$0.20"), (0.05, "$0.05"), (0.012, "$0.012"), (0.999, "$1.00"),
    ],
)  # fmt: skip
def test_money(usd: float, text: str) -> None:
    """Dollars are short, small ones keep their digits."""
    assert formats.money(usd) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0%"),
        (0.0042, "0.42%"),
        (0.63, "63%"),
        (0.00001, "<0.01%"),
        (0.999, "99.9%"),
        (1, "100%"),
    ],
)
def test_ratio(value: float, text: str) -> None:
    """A small ratio is not rounded to nothing, a nearly whole one not to all."""
    assert formats.ratio(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.5, "0.5 s"), (45, "45 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (356400, "4 d 3 h")],
)
def test_duration(seconds: float, text: str) -> None:
    """Two units at most."""
    assert formats.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(84.2, "84.2 ms"), (1200, "1.2 s"), (999.99, "1,000 ms"), (21000, "21 s")]
)
def test_milliseconds(value: float, text: str) -> None:
    """Below a second in ms, from there in s."""
    assert formats.milliseconds(value) == text


def test_ages() -> None:
    """How long ago, or never."""
    assert formats.since(NOW - timedelta(seconds=12), NOW) == "12 s ago"
    assert formats.since(None, NOW, "never read") == "never read"
    assert formats.age(0.2) == "just now"


@given(st.text(max_size=80))
def test_outside_text_cannot_open_markdown(text: str) -> None:
    """Every sign that Streamlit's Markdown reacts to is escaped."""
    safe = formats.plain(text)
    for sign in "`*_[]<>$#~|":
        assert safe.count(sign) == safe.count("\\" + sign)


@given(st.floats(min_value=-1e15, max_value=1e15))
def test_numbers_have_no_exponent(value: float) -> None:
    """Any size reads as digits with a letter."""
    assert "e" not in formats.number(value)


@given(st.floats(min_value=1e-12, max_value=1e15))
def test_only_zero_reads_as_zero(value: float) -> None:
    """One request in five minutes is a rate; it does not read as none."""
    assert formats.number(value).rstrip("kMBT") != "0"
    assert formats.milliseconds(value).split(" ")[0] != "0"
    assert formats.number(1 / 300) == "0.0033"
