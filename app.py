"""Heartwood's console: page config, navigation and the chrome that all pages share.

`streamlit run app.py` starts it; `server.py` wraps it for `make run`.
"""

from __future__ import annotations

import streamlit as st

from ui import access, chrome, sign_in_view

PAGES = {
    "": [
        st.Page("pages/overview.py", title="Overview", icon=":material/monitoring:", default=True,
                help="Each tier's state, load, latency, utilisation, cost; what is wrong, first."),
        st.Page("pages/fleet.py", title="Fleet", icon=":material/memory:",
                help="Tier, slice, host, chip: sizes, health, utilisation of each; scale a tier."),
        st.Page("pages/traffic.py", title="Traffic", icon=":material/route:",
                help="Rates, errors and latency over time; backends, and where a path goes."),
        st.Page("pages/cost.py", title="Cost", icon=":material/payments:",
                help="Billed days by tier and SKU, today, budgets, dollars per million tokens."),
    ],
    "Use": [
        st.Page("pages/playground.py", title="Playground", icon=":material/forum:",
                help="Chat with a tier: timing, tokens, dollars and the raw request."),
        st.Page("pages/heartbeat.py", title="Heartbeat", icon=":material/favorite:",
                help="One matrix product timed on this machine, beside what TPUs can do."),
    ],
    "Record": [
        st.Page("pages/audit.py", title="Audit", icon=":material/history:",
                help="What was planned, by whom, and what came of it."),
        st.Page("pages/connections.py", title="Connections", icon=":material/hub:",
                help="Each source: reachable, how fast, as whom, and its last error."),
    ],
}  # fmt: skip

st.set_page_config(
    page_title="Heartwood",
    page_icon=chrome.ASSETS / "mark.svg",
    layout="wide",
    initial_sidebar_state="auto",
)
let_in = access.console().actor().role is not None
page = st.navigation(PAGES, expanded=True, position="sidebar" if let_in else "hidden")
if let_in:
    chrome.draw(page.title, shared=page.title not in ("Playground", "Heartbeat"))
    page.run()
else:
    sign_in_view.draw()
