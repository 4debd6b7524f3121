"""One card per tier for the Overview: the same rows in each, so that cards compare like a table.

The figures stand in an HTML table because no native element is this dense; colours of text are
inherited from the theme. What the figures are is derived in `core/`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Final

import streamlit as st

from core.fleet import FleetTier, State
from core.pricing import Rate
from core.records import Quantiles, TierLoad
from core.slo import FAST, SLOW, Burn, Standing, TierSlo
from ui import charts, formats, palette, sparkline, view, words
from ui.derived import Derived

_NO_LOAD: Final = TierLoad("", datetime.min.replace(tzinfo=UTC), 0.0)
_QUIET: Final = (formats.UNKNOWN, "off", "no requests", "no TPU", formats.NOT_PRICED)


@dataclass(frozen=True, slots=True)
class Card:
    """All that one card shows; `recent` are requests/s over the time range."""

    tier: FleetTier
    load: TierLoad | None
    rate: Rate
    slo: TierSlo | None
    recent: charts.Values
    colour: str
    no_price: str  # what stands for a missing price


def draw_totals(derived: Derived) -> None:
    """The whole fleet in five figures."""
    loads = [v for v in (derived.snapshot.loads or {}).values() if v.requests_per_s is not None]
    requests = sum(v.requests_per_s or 0.0 for v in loads) if loads else None
    failed = [v for v in loads if v.error_ratio is not None]
    served = sum(v.requests_per_s or 0.0 for v in failed)
    errors = sum((v.requests_per_s or 0.0) * (v.error_ratio or 0.0) for v in failed)
    tokens = [v.generation_tokens_per_s for v in loads if v.generation_tokens_per_s is not None]
    rate = derived.rate
    per_day = None if rate.usd_per_hour is None else rate.usd_per_hour * 24
    basis = rate.basis.value
    figures = (
        ("TPU chips", formats.count(derived.fleet.chips_running)),
        ("Requests/s", formats.number(requests)),
        ("Errors", formats.ratio(errors / served if served else None)),
        ("Generated tokens/s", formats.number(sum(tokens) if tokens else None)),
        (f"Per hour :gray[· {basis}]", formats.money(rate.usd_per_hour)),
        (f"Per day :gray[· {basis}]", formats.money(per_day)),
    )
    with st.grid(len(figures), min_column_width=130, gap="small", key="totals"):
        for label, value in figures:
            st.metric(label, value)


def draw_cards(cards: list[Card]) -> None:
    """The cards side by side; on a narrow window one below the other."""
    with st.grid("auto", min_column_width=184, gap="small", key="tier_cards"):
        for card in cards:
            with st.container(border=True, gap="xsmall", height="stretch"):
                _head(card)
                st.html(_table(card))


def _head(card: Card) -> None:
    tier = card.tier
    with st.container(
        horizontal=True, vertical_alignment="center", gap="xsmall",
        horizontal_alignment="distribute",
    ):  # fmt: skip
        st.page_link(
            "pages/fleet.py",
            label=f"**{formats.plain(tier.spec.title)}**",
            query_params={**view.shared_parameters(), "tier": tier.name},
            help=formats.plain(tier.spec.description or tier.spec.model or tier.name),
        )
        st.markdown(
            words.state_badge(tier.state),
            width="content",
            help="  \n".join(formats.plain(r) for r in tier.reasons) or None,
        )


def triple(quantiles: Quantiles, none: str = formats.UNKNOWN) -> str:
    """p50 · p95 · p99 in one unit; `none` when all are missing."""
    values = (quantiles.p50_ms, quantiles.p95_ms, quantiles.p99_ms)
    known = [v for v in values if v is not None]
    if not known:
        return none
    in_seconds = max(known) >= 1000
    factor, unit = (1000.0, "s") if in_seconds else (1.0, "ms")
    parts = ("–" if v is None else formats.number(v / factor) for v in values)
    return "\u00a0·\u00a0".join(parts) + f"\u00a0{unit}"  # in one line, also in a narrow table


def _rows(card: Card) -> list[tuple[str, str]]:
    load, tier = card.load or _NO_LOAD, card.tier
    none = nothing(tier, load)
    no_unit = none if tier.spec.generation else "no TPU"
    return [
        (f"{tier.unit.capitalize()}s ready", _text(_chips(tier))),
        ("Requests/s", _text(formats.number(load.requests_per_s, none))),
        ("Errors", _text(formats.ratio(load.error_ratio, none))),
        ("TTFT ¹", _text(triple(load.ttft, none))),
        ("Latency ¹", _text(triple(load.latency, none))),
        ("TensorCore", _bar(load.tensorcore_utilisation_ratio, card, no_unit)),
        ("HBM", _bar(load.hbm_utilisation_ratio, card, no_unit)),
        ("Cost now", _cost(card)),
        ("Objectives", _standing(card.slo, none)),
    ]


def nothing(tier: FleetTier, load: TierLoad) -> str:
    """What a missing figure means here: nothing runs, nobody asks, or nobody knows."""
    if tier.state is State.OFF and not load.requests_per_s:
        return "off"
    return "no requests" if load.requests_per_s == 0 else formats.UNKNOWN


def _chips(tier: FleetTier) -> str:
    count = tier.chip_count
    if count.running is None:
        return formats.UNKNOWN
    ready = formats.count(count.ready, "?")
    return f"{ready} of {formats.count(count.wanted)}"


def _text(text: str) -> str:
    if text in _QUIET:
        return f'<span style="opacity:.55;font-style:italic">{text}</span>'
    return escape(text)


def _bar(value: float | None, card: Card, none: str) -> str:
    if value is None:
        return _text(none)
    track = palette.translucent(card.colour, 0.18)
    filled = f"{min(1.0, max(0.0, value)) * 100:.0f}%"
    return (
        f'<span style="display:inline-block;vertical-align:middle;width:44px;height:5px;'
        f'border-radius:3px;background:{track};margin-right:6px;overflow:hidden">'
        f'<span style="display:block;height:5px;width:{filled};background:{card.colour}"></span>'
        f"</span>{formats.ratio(value)}"
    )


def _cost(card: Card) -> str:
    rate = card.rate
    if rate.usd_per_hour is None:
        return f'<span title="{escape(rate.source)}">{_text(card.no_price)}</span>'
    basis = f'<span style="opacity:.6;font-size:11px"> {rate.basis.value}</span>'
    return f'<span title="{escape(rate.source)}">{formats.money(rate.usd_per_hour)}/h{basis}</span>'


def _standing(slo: TierSlo | None, none: str) -> str:
    standing = Standing.UNKNOWN if slo is None else slo.standing
    if standing is Standing.UNKNOWN:
        return _text(none)
    colours = palette.current()
    colour = {
        Standing.MET: colours.good,
        Standing.AT_RISK: colours.warning,
        Standing.MISSED: colours.bad,
    }.get(standing)
    sentence = escape(_hint(slo) if slo else "")
    word = "none set" if standing is Standing.NONE else standing.value
    if colour is None:
        return f'<span title="{sentence}">{_text(word)}</span>'
    return f'<span style="color:{colour};font-weight:600" title="{sentence}">{word}</span>'


def _hint(slo: TierSlo) -> str:
    """Each objective in a sentence, then how fast the error budget burns."""
    parts = [f"{o.name}: {o.sentence}" for o in slo.objectives]
    if len(slo.burns) == 4:
        fast, fast_short, slow, slow_short = slo.burns
        parts.append(
            f"fast burn {_burn(fast)} and {_burn(fast_short)}, alarm when both reach {FAST[0]:g}×"
        )
        parts.append(
            f"slow burn {_burn(slow)} and {_burn(slow_short)}, alarm when both reach {SLOW[0]:g}×"
        )
    return "; ".join(parts)


def _burn(burn: Burn) -> str:
    if burn.rate is not None:
        rate = f"{burn.rate:.2f}×"
    else:
        rate = formats.UNKNOWN if burn.events is None else "unknown (too few requests)"
    return f"{rate} over {formats.duration(burn.window_s)}"


def _table(card: Card) -> str:
    rows = "".join(
        f'<tr><th scope="row" style="text-align:left;font-weight:400;opacity:.68;padding:1.5px 0;'
        f'white-space:nowrap;border:0">{label}</th><td style="text-align:right;padding:1.5px 0;'
        f'white-space:nowrap;border:0">{value}</td></tr>'
        for label, value in _rows(card)
    )
    spark = sparkline.sparkline(sparkline.thin_values(card.recent, 120), card.colour)
    return (
        f'<div style="line-height:0;margin:0 0 4px">{spark}</div>'
        f'<table style="width:100%;border-collapse:collapse;border:0;font-size:12.5px;'
        f'line-height:1.45;font-variant-numeric:tabular-nums">{rows}</table>'
    )
