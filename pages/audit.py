"""Audit: what was planned, by whom, what came of it; ?intent=ID opens one."""

from __future__ import annotations

import streamlit as st

from ui import audit_view, chrome, view

chrome.through_app()

intent = st.query_params.get("intent")
if intent:
    st.page_link(
        "pages/audit.py", label="All intents", icon=":material/arrow_back:",
        query_params=view.shared_parameters(),
    )  # fmt: skip
    audit_view.detail(intent)
else:
    audit_view.filters()
    view.live(audit_view.listing)
