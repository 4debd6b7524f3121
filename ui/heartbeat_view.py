"""The Heartbeat page's panels: measure this machine, the roofline plot, what each device can do.

What it costs a device at least is `core/roofline.py`'s, measuring the inference server's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import streamlit as st

from core import roofline, tpu
from core.errors import HeartwoodError
from core.records import Problem, Source
from core.roofline import Heartbeat
from services.inference import Inference
from ui import access, formats, palette, states, tables

_KEY: Final = "heartbeats"
_SHOWN: Final = ("v5e", "v5p", "v6e", "TPU7x")
_SPAN: Final = (4.0, 2000.0)  # operations per byte that the plot shows


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The last measurement of this browser session."""

    at: datetime
    beats: tuple[Heartbeat, ...] = ()
    problem: Problem | None = None


def draw() -> None:
    """The whole page: a button, what came of it, the plot, the table, the claims."""
    outcome: _Outcome | None = st.session_state.get(_KEY)
    with states.panel("This machine"):
        _controls()
        _tell(outcome)
    beats = outcome.beats if outcome else ()
    with states.panel("Roofline", note="of one chip, or of this machine as measured"):
        _plot([beat for beat in beats if beat.refused is None])
    with states.panel("One product of 128 x 4096 and 4096 x 16384", note="17.2 GFLOP"):
        tables.table(_rows(beats), key="heartbeat_devices", alt="Devices", paged=False)
    with states.panel("What the handbook says"):
        _claims()


def _controls() -> None:
    snapshot = access.snapshot()
    url = next((s.endpoint_url for s in snapshot.specs if s.is_local and s.endpoint_url), "")
    if not url:
        states.show_missing(snapshot.sources, (Source.INFERENCE,))
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        clicked = st.button("Measure", icon=":material/favorite:", type="primary", key="measure")
        force = st.checkbox(
            "Even while requests run", key="beat_force",
            help="They are slowed down meanwhile. Otherwise a busy server refuses.",
        )  # fmt: skip
        st.caption("100 products in f32 and in bf16, by the inference server; one at a time")
    if clicked:
        with st.spinner("Measuring: some seconds, longer on a busy machine", show_time=True):
            st.session_state[_KEY] = _measure(url, force=force)
        st.rerun()


def _measure(url: str, *, force: bool) -> _Outcome:
    try:
        key = access.console().settings.playground.api_key.get_secret_value()
        with Inference(url, api_key=key, ours=True) as server:
            return _Outcome(access.now(), server.measure_heartbeat(force=force))
    except HeartwoodError as error:
        return _Outcome(access.now(), problem=states.problem_of(error))


def _tell(outcome: _Outcome | None) -> None:
    if outcome is None:
        states.show_empty("Not measured yet", "The TPUs beside it are drawn from published figures")
        return
    if outcome.problem is not None:
        states.show_problem("No measurement", outcome.problem)
        return
    for column, beat in zip(st.columns(len(outcome.beats)), outcome.beats, strict=True):
        with column:
            _beat(beat)
    st.caption(f"Measured at {formats.clock(outcome.at)} UTC, kept in this browser session")


def _beat(beat: Heartbeat) -> None:
    if beat.refused is not None:
        st.error(formats.plain(beat.refused), title=f"{beat.dtype}: refused")
        return
    share = "peak unknown"
    if beat.peak_tflops is not None:
        bound = "peak" if beat.peak_published else "upper bound"
        share = f"{formats.ratio(beat.tflops / beat.peak_tflops)} of the {bound}"
    st.metric(
        f"{beat.dtype} on {formats.plain(beat.device)}",
        f"{beat.tflops:.3g} TFLOP/s",
        f"{beat.ms:.4g} ms ± {beat.spread_ms / 2:.2g} · {beat.gb_per_s:.3g} GB/s · {share}",
        delta_color="off",
        delta_arrow="off",
    )


def _rows(beats: tuple[Heartbeat, ...]) -> list[tables.Row]:
    measured = {beat.dtype: beat for beat in beats if beat.refused is None}
    rows: list[tables.Row] = []
    if measured:
        any_beat = next(iter(measured.values()))
        times = {d: f"{beat.ms:.4g} measured" for d, beat in measured.items()}
        rows.append(
            {
                "Device": f"This machine ({any_beat.device})",
                "Peak bf16, TFLOP/s": _published(measured.get("bf16")),
                "Memory, GB/s": _rate(any_beat.peak_gb_per_s),
                "f32, ms": times.get("f32", formats.UNKNOWN),
                "bf16, ms": times.get("bf16", formats.UNKNOWN),
            }
        )
    for name in _SHOWN:
        chip = tpu.generation(name)
        rows.append(
            {
                "Device": f"{name}, one chip",
                "Peak bf16, TFLOP/s": _rate(chip.bf16_flops / tpu.TERA),
                "Memory, GB/s": _rate(chip.hbm_bytes_per_s / tpu.GB),
                "f32, ms": f"{roofline.least_ms(chip, 'f32'):.3f} at least",
                "bf16, ms": f"{roofline.least_ms(chip, 'bf16'):.3f} at least",
            }
        )
    return rows


def _published(beat: Heartbeat | None) -> str:
    """A peak that the maker tells; an upper bound is none."""
    return _rate(beat.peak_tflops if beat is not None and beat.peak_published else None)


def _rate(value: float | None) -> str:
    if value is None:
        return formats.UNKNOWN
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _claims() -> None:
    for claim in roofline.CLAIMS:
        impossible = roofline.why_impossible(claim)
        mark = ":red-badge[impossible]" if impossible else ":green-badge[possible]"
        st.markdown(f"**{claim.told}** {mark}  \n{_rate(claim.tflops)} TFLOP/s")
        if impossible:
            st.markdown(impossible)


def _plot(beats: list[Heartbeat]) -> None:
    colours = palette.current()
    roofs = [_roof(name, colours.series[i + 1]) for i, name in enumerate(_SHOWN)]
    claims = [
        _point(
            roofline.intensity("f32"), claim.tflops, claim.told, "x",
            colours.bad if roofline.why_impossible(claim) else colours.muted,
        )
        for claim in roofline.CLAIMS
    ]  # fmt: skip
    measured = [
        _point(
            roofline.intensity(b.dtype),
            b.tflops,
            f"this machine, {b.dtype}",
            "circle",
            colours.text,
        )
        for b in beats
    ]
    layout: dict[str, Any] = {
        "height": 420,
        "margin": {"l": 4, "r": 8, "t": 8, "b": 4},
        "legend": {"orientation": "h", "x": 0, "y": -0.18, "yanchor": "top", "font": {"size": 11}},
        "hovermode": "closest",
        "uirevision": "heartbeat",
        "xaxis": {"type": "log", "title": {"text": "operations per byte"}, "dtick": 1,
                  "fixedrange": True, "automargin": True},
        "yaxis": {"type": "log", "title": {"text": "TFLOP/s"}, "dtick": 1, "fixedrange": True,
                  "automargin": True},
    }  # fmt: skip
    st.plotly_chart(
        {"data": roofs + claims + measured, "layout": layout},
        key="roofline",
        config={"displayModeBar": False, "displaylogo": False},
        alt="Rooflines of v5e, v5p, v6e and TPU7x with this machine and the handbook's claims",
    )


def _roof(name: str, colour: str) -> dict[str, Any]:
    chip = tpu.generation(name)
    ridge = chip.bf16_flops / chip.hbm_bytes_per_s
    places = [_SPAN[0], ridge, _SPAN[1]]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": places,
        "y": [roofline.roof_tflops(chip, place) for place in places],
        "line": {"color": colour, "width": 2},
        "hovertemplate": f"{name}: at most %{{y:.3s}} TFLOP/s at %{{x:.3s}} operations per byte",
    }


def _point(place: float, tflops: float, name: str, symbol: str, colour: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [place],
        "y": [tflops],
        "marker": {"symbol": symbol, "size": 11, "color": colour, "line": {"width": 0}},
        "hovertemplate": "%{fullData.name}: %{y:.4~s} TFLOP/s<extra></extra>",
    }
