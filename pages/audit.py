"""Audit: what was planned, by whom, what came of it; ?intent=ID opens one."""

from __future__ import annotations

import streamlit as st

from ui import approvals_view, audit_view, chrome, plan_dialog, view

chrome.through_app()

intent = st.query_params.get("intent")
if intent:
    st.page_link(
        "pages/audit.py", label="All intents", icon=":material/arrow_back:",
        query_params=view.shared_parameters(),
    )  # fmt: skip
    audit_view.detail(intent, plan_dialog.open_plan)
else:
    approvals_view.panel(plan_dialog.open_plan)
    audit_view.filters()
    view.live(audit_view.listing)
    audit_view.integrity()
    audit_view.copies()
plan_dialog.draw()
