"""What stands around every page: its title, the shared choices, and what is simulated.

Drawn before the page's own work, so that a click answers at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

from core.records import Snapshot
from ui import access, first_read, formats, palette, people_view, states, view
from ui.states import Level

_UNUSED: Final[Mapping[str, frozenset[str]]] = {
    "Fleet": frozenset({"range"}),
    "Cost": frozenset({"range"}),
    "Connections": frozenset({"range", "tier"}),
}
_FLEET_DETAILS_IN_RANGE: Final = "Events"
# Streamlit writes a chosen segment in the primary colour, which has to be dark enough for the white
# words of a button: on the dark mode's surface that is too dark to read. Here it is as other words.
# `important`, since Streamlit's own rule for it is as specific as can be.
_CHOSEN: Final = """<style>
button[data-variant][data-selected="true"] { color: inherit !important; }
</style>"""
ASSETS: Final = Path(__file__).parent / "assets"


def through_app() -> None:
    """Have a page that was opened by its address run inside `app.py`, as all others.

    Streamlit takes a folder named pages/ for its old kind of multi-page app until `st.navigation`
    was called once in the process: the very first visitor, when coming by a deep link, would get
    the bare page without navigation. Called first by every page.
    """
    if PagesManager.uses_pages_directory:
        PagesManager.uses_pages_directory = False
        st.rerun()


def draw(title: str, *, shared: bool) -> None:
    """Title, shared choices (unless the page has no use for them) and the sidebar's notes."""
    view.arrive(title)
    st.html(_CHOSEN)
    st.logo(logo(), icon_image=ASSETS / "mark.svg")
    snapshot = access.snapshot()
    tiers = [s.name for s in snapshot.specs]
    unknown = view.unknown_in_address(tiers)
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="distribute",
        gap="small", key="chrome",
    ):  # fmt: skip
        st.title(title, anchor=False, width="content")
        if shared:
            view.controls(tiers, _unused(title))
    if unknown and shared:
        st.warning(formats.plain(unknown), icon=":material/link_off:")
    _banner(snapshot)
    if view.current().refresh_s is None and view.dialog() is None:
        first_read.follow()
    with st.sidebar:
        people_view.who()
        view.live(_sources)


def logo() -> Path:
    """The word mark that is legible on the present background."""
    return ASSETS / f"logo-{'dark' if palette.is_dark() else 'light'}.svg"


def _unused(title: str) -> frozenset[str]:
    """Shared choices that change nothing there. Of Fleet, only the events lie in a time range."""
    if title == "Fleet" and _FLEET_DETAILS_IN_RANGE in (
        st.session_state.get("details"),
        st.query_params.get("details"),
    ):
        return frozenset()
    return _UNUSED.get(title, frozenset())


def _banner(snapshot: Snapshot) -> None:
    """Which tiers are simulated, while Google Cloud is the emulator."""
    settings = access.console().settings
    if not settings.cloud.simulated:
        return
    real = [s.title for s in snapshot.specs if s.is_local]
    made = [s.title for s in snapshot.specs if not s.is_local]
    if not made:
        return
    text = f"**{', '.join(made)}** are simulated: Google Cloud is emulated on this machine."
    if real:
        text += f" **{', '.join(real)}** is measured on real hardware."
    st.markdown(f":small[:violet-badge[:material/science: Emulator] :gray[{text}]]")


def _sources() -> None:
    """One line on the health of all sources, linking to Connections."""
    snapshot = access.snapshot()
    levels = {s: states.level_of(state, access.now()) for s, state in snapshot.sources.items()}
    project = access.console().settings.project.id
    counts = Counter(levels.values())
    dead = counts[Level.FAILING] + counts[Level.FAILED]
    if dead:
        line = f":red[:material/sync_problem: {formats.plural(dead, 'source')} not refreshing]"
    elif part := counts[Level.PARTIAL]:
        line = f":orange[:material/sync_problem: {formats.plural(part, 'source')} read in part]"
    elif stale := counts[Level.STALE]:
        line = f":orange[:material/schedule: {formats.plural(stale, 'source')} stale]"
    elif counts[Level.LOADING]:
        line = ":gray[:material/hourglass_empty: reading sources]"
    else:
        line = ":green[:material/check_circle: all sources fresh]"
    st.markdown(f":small[{line}]  \n:small[:gray[{formats.plain(project)}]]")
