"""Words for figures: money, ratios, rates, durations, ages, counts. Pure text, no Streamlit.

Every function takes None and says "unknown" (or the word given), so that no page has to decide
what a missing figure looks like and none can turn it into 0.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

from core.wording import plural as plural

UNKNOWN = "unknown"
NOT_PRICED = "not priced"

_STEPS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
_BYTE_STEPS = ((1024**4, "TiB"), (1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"))


def _significant(value: float) -> str:
    """Three significant digits without an exponent; whole numbers from 100 on.

    Below 0.01 two digits, and only what is 0 reads as 0.
    """
    size = abs(value)
    if 0 < size < 0.0001:
        return "<0.0001" if value > 0 else ">-0.0001"
    if 0 < size < 0.01:
        return f"{value:.2g}"
    digits = 0 if size >= 99.95 else 1 if size >= 9.995 else 2
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _scaled(value: float) -> str:
    for step, letter in _STEPS:
        if abs(value) >= step * 0.9995:
            return _significant(value / step) + letter
    return _significant(value)


def money(usd: float | None, unknown: str = UNKNOWN) -> str:
    """US dollars for reading: $3,072, $12.40, $0.0031, $0.000039, $9.2M."""
    if usd is None:
        return unknown
    sign, size = ("−" if usd < 0 else ""), abs(usd)
    if size == 0:
        return "$0"
    if size >= 1e6:
        return f"{sign}${_scaled(size)}"
    if size >= 1000:
        return f"{sign}${size:,.0f}"
    if size >= 1:
        return f"{sign}${size:,.2f}"
    if size < 1e-8:
        return f"{sign}${size:.1e}"
    if size < 1e-4:
        return f"{sign}${size:.{1 - math.floor(math.log10(size))}f}"
    digits = f"{size:.2g}"
    cents = len(digits.partition(".")[2]) <= 2
    return f"{sign}${size:.2f}" if cents else f"{sign}${digits}"


def money_exact(usd: float | None, unknown: str = UNKNOWN) -> str:
    """US dollars to the cent: for plans and reconciliation."""
    if usd is None:
        return unknown
    return f"{'−' if usd < 0 else ''}${abs(usd):,.2f}"


def money_change(usd: float | None, unknown: str = UNKNOWN) -> str:
    """A difference in US dollars with its sign: +$48.00, −$48.00, no change."""
    if usd is None:
        return unknown
    if usd == 0:
        return "no change"
    return f"{'−' if usd < 0 else '+'}${abs(usd):,.2f}"


def ratio(value: float | None, unknown: str = UNKNOWN) -> str:
    """A 0–1 ratio as per cent; small ones keep their digits: 0.42%, 63%."""
    if value is None:
        return unknown
    percent = value * 100
    if percent == 0:
        return "0%"
    if abs(percent) < 0.01:
        return "<0.01%"
    if abs(percent) < 1:
        return f"{percent:.2f}%"
    if abs(percent) < 10 or (99 < percent < 100):
        return f"{percent:.1f}%"
    return f"{percent:.0f}%"


def number(value: float | None, unknown: str = UNKNOWN) -> str:
    """A figure with three significant digits: 0.42, 12.5, 1.31k, 8.03B."""
    return unknown if value is None else _scaled(value)


def count(value: int | None, unknown: str = UNKNOWN) -> str:
    """A whole number in full: 9,216."""
    return unknown if value is None else f"{value:,}"


def milliseconds(value: float | None, unknown: str = UNKNOWN) -> str:
    """A latency in milliseconds: 84 ms, 1.2 s, 21 s."""
    if value is None:
        return unknown
    if value < 1000:
        return f"{_significant(value)} ms"
    return f"{_significant(value / 1000)} s"


def duration(seconds: float | None, unknown: str = UNKNOWN) -> str:
    """A length of time in its two largest units: 45 s, 3 min 20 s, 2 h 5 min, 4 d 3 h."""
    if seconds is None:
        return unknown
    whole = round(seconds)
    if whole < 60:
        return f"{_significant(seconds)} s" if seconds < 10 else f"{whole} s"
    for size, name, smaller, small_name in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {name}" + (f" {rest} {small_name}" if rest else "")
    return f"{whole} s"


def age(seconds: float | None, never: str = "never read") -> str:
    """How old something is: 12 s ago."""
    if seconds is None:
        return never
    return "just now" if seconds < 1 else f"{duration(float(round(seconds)))} ago"


def since(moment: datetime | None, now: datetime, never: str = "never") -> str:
    """How long ago a moment was."""
    return never if moment is None else age(max(0.0, (now - moment).total_seconds()))


def clock(moment: datetime | None, unknown: str = UNKNOWN) -> str:
    """A moment of today as UTC time: 08:45:03."""
    return unknown if moment is None else moment.astimezone(UTC).strftime("%H:%M:%S")


def stamp(moment: datetime | None, unknown: str = UNKNOWN) -> str:
    """A moment as UTC date and time: 2026-11-21 08:45:03."""
    return unknown if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def data_size(size: float | None, unknown: str = UNKNOWN) -> str:
    """Bytes in binary units: 192 GiB."""
    if size is None:
        return unknown
    for step, unit in _BYTE_STEPS:
        if abs(size) >= step:
            return f"{_significant(size / step)} {unit}"
    return f"{size:.0f} B"


def shortened(text: str, limit: int) -> str:
    """The text, cut at a word and marked with … when it is longer than `limit`."""
    if len(text) <= limit:
        return text
    head, _, _ = text[:limit].rpartition(" ")
    return (head or text[:limit]).rstrip(" ,;:") + " …"


def plain(text: str) -> str:
    """Text from outside, made safe to stand inside Streamlit's Markdown."""
    escaped = text.replace("\\", "\\\\")
    for sign in "`*_[]<>$:#~|@":  # @: an e-mail address would become a link
        escaped = escaped.replace(sign, "\\" + sign)
    return " ".join(escaped.split())
