"""Components with a script of their own, in `assets/`: what they draw is told by their data.

What the data holds stands at the head of each script. Scripts and styles travel with the page and
need no server route, so that `streamlit run app.py` has them too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from streamlit.components import v2

_ASSETS: Final = Path(__file__).with_name("assets")


def _read(*names: str) -> str:
    return "\n".join((_ASSETS / name).read_text(encoding="utf-8") for name in names)


_TIME_CHART: Final = v2.component(
    "heartwood_time_chart",
    html=_read("time_chart.html"),
    css=_read("uplot/uPlot.min.css", "time_chart.css"),
    js=_read("uplot/uPlot.iife.min.js", "time_chart.js"),
)

_CHIP_MAP: Final = v2.component(
    "heartwood_chip_map",
    html=_read("chip_map.html"),
    css=_read("chip_map.css"),
    js=_read("chip_map.js"),
)


_REMEMBER: Final = v2.component("heartwood_remember_user", js=_read("remember_user.js"))

_WAY_BACK: Final = v2.component("heartwood_way_back", js=_read("way_back.js"))


def time_chart(*, key: str, data: Mapping[str, Any], height: int) -> None:
    """Lines over time; `height` in pixels is kept from the first moment, so nothing jumps."""
    _TIME_CHART(key=key, data=dict(data), height=height)


def chip_map(*, key: str, data: Mapping[str, Any]) -> None:
    """A cell per chip; as high as its width asks for, up to `data["height"]`."""
    _CHIP_MAP(key=key, data=dict(data))


def remember_user(*, key: str, name: str, cookie: str) -> None:
    """Have this browser remember a name in a cookie, for its later sessions; draws nothing."""
    _REMEMBER(key=key, data={"name": name, "cookie": cookie})


def way_back(*, key: str, keep: bool) -> None:
    """Note where this tab was going (`keep`), or send it there once it is let in; draws nothing."""
    _WAY_BACK(key=key, data={"keep": keep})
