"""Connections: each source's reachability, latency, identity, age and last error."""

from __future__ import annotations

import streamlit as st

from ui import access, chrome, connections_view, view

chrome.through_app()

st.button(
    "Read all now", icon=":material/refresh:", key="read_now",
    on_click=lambda: access.console().refresh_now(),
    help="Each source is read at most every few seconds, however often this is clicked",
)  # fmt: skip
view.live(connections_view.sources)
view.live(connections_view.server)
