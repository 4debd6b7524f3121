"""What the person looks at: time range, tier and refresh, kept in the URL and shared by all pages.

Also the one place that refreshes: `live` runs a part of a page as a fragment at the chosen
interval, and stops while a dialog is open.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import streamlit as st

RANGES: Final[Mapping[str, int]] = {"1h": 1, "6h": 6, "24h": 24, "7d": 168, "30d": 720}  # hours
REFRESH: Final[Mapping[str, float | None]] = {
    "off": None,
    "5s": 5.0,
    "10s": 10.0,
    "30s": 30.0,
    "60s": 60.0,
}
ALL_TIERS: Final = "all tiers"
_DIALOG: Final = "dialog"
_PAGE: Final = "page"


@dataclass(frozen=True, slots=True)
class View:
    """The shared choices. `tier` None: all tiers; `refresh_s` None: only on demand."""

    range: str
    tier: str | None
    refresh_s: float | None

    @property
    def hours(self) -> int:
        """Length of the range."""
        return RANGES[self.range]

    def shows(self, tier: str) -> bool:
        """Whether that tier is among the chosen."""
        return self.tier is None or self.tier == tier


def current() -> View:
    """The choices as the widgets of `controls` hold them."""
    state = st.session_state
    tier = str(state.get("tier") or ALL_TIERS)
    chosen = str(state.get("range") or "6h")
    return View(
        range=chosen if chosen in RANGES else "6h",
        tier=None if tier == ALL_TIERS else tier,
        refresh_s=REFRESH.get(str(state.get("refresh") or "10s"), 10.0),
    )


def controls(tiers: Sequence[str], unused: Collection[str] = ()) -> None:
    """The row of shared choices; `tiers` are names.

    `unused` ("range", "tier") change nothing on this page: disabled, since what is not drawn is
    forgotten on the way to the next page. The options are what stands in the URL: Streamlit binds
    what is shown, not what is meant.
    """
    with st.container(
        horizontal=True, horizontal_alignment="right", vertical_alignment="center", gap="xsmall"
    ):
        st.segmented_control(
            "Time range", tuple(RANGES), default="6h", required=True, key="range",
            label_visibility="collapsed", bind="query-params", width="content",
            disabled="range" in unused,
        )  # fmt: skip
        st.selectbox(
            "Tier", (ALL_TIERS, *tiers), key="tier", label_visibility="collapsed",
            bind="query-params", width=132, icon=":material/filter_alt:",
            disabled="tier" in unused,
        )  # fmt: skip
        st.selectbox(
            "Refresh every", tuple(REFRESH), index=2, key="refresh", bind="query-params", width=104,
            label_visibility="collapsed", icon=":material/autorenew:",
        )  # fmt: skip


def unknown_in_address(tiers: Sequence[str]) -> str:
    """What the address asks for that there is not, and what is shown instead; "" when nothing.

    To be asked before `controls`, whose widgets take the default for what they do not know.
    """
    offered = (
        ("range", "time range", tuple(RANGES), "6h"),
        ("tier", "tier", (ALL_TIERS, *tiers), ALL_TIERS),
        ("refresh", "refresh interval", tuple(REFRESH), "10s"),
    )
    found: list[str] = []
    for name, noun, options, default in offered:
        asked = st.query_params.get(name)
        if asked is not None and asked not in options:
            found.append(
                f"There is no {noun} {asked!r}: {default} is shown. There are {', '.join(options)}."
            )
    return " ".join(found)


def shared_parameters() -> dict[str, str]:
    """The shared choices as query parameters, to take along on a link to another page."""
    state = st.session_state
    defaults = {"range": "6h", "tier": ALL_TIERS, "refresh": "10s"}
    return {k: str(state[k]) for k, d in defaults.items() if k in state and state[k] != d}


def arrive(page: str) -> None:
    """Note which page is being drawn: a dialog does not outlive the page that opened it.

    A link in the dialog, the sidebar and the browser's Back leave without closing it.
    """
    if st.session_state.get(_PAGE, page) != page:
        close_dialog()
    st.session_state[_PAGE] = page


def open_dialog(name: str) -> None:
    """Have `name` shown as the dialog from the next run on."""
    st.session_state[_DIALOG] = name


def close_dialog() -> None:
    """No dialog any more from the next run on."""
    st.session_state.pop(_DIALOG, None)


def dialog() -> str | None:
    """Name of the dialog that is open; None: none is."""
    return st.session_state.get(_DIALOG)


def live(part: Callable[[], None]) -> None:
    """Draw a part of the page, and again at the chosen interval unless a dialog is open."""
    every = None if dialog() is not None else current().refresh_s
    st.fragment(part, run_every=every)()
