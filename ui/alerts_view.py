"""Alerts that Cloud Monitoring's policies have open: whose, since when, who looks after them.

Acknowledging one is an action as any other; its dialog is `ui/plan_dialog.py`'s.
"""

from __future__ import annotations

import streamlit as st

from core.alerts import Alert
from core.cloud_resources import PLATFORM
from core.records import Source
from ui import access, formats, plan_dialog, states, view

_COLOURS = {"CRITICAL": "red", "ERROR": "red", "WARNING": "orange"}


def panel() -> None:
    """A line for each open alert; nothing at all while none is open."""
    snapshot = access.snapshot()
    chosen = view.current()
    found = [a for a in snapshot.alerts or () if not a.tier or chosen.shows(a.tier)]
    if not found:
        return
    fresh = states.freshness(snapshot.sources, (Source.ALERTS,), access.now())
    known = access.console().acknowledgements()
    with states.panel("Open alerts", fresh, key="panel_alerts"):
        for alert in found:
            said = known.get(alert.name)
            who = f"{said.actor}, {formats.since(said.at, access.now())}" if said else ""
            _draw(alert, who)


def _draw(alert: Alert, looked_after_by: str) -> None:
    now = access.now()
    whose = access.snapshot().spec(alert.tier).title if alert.tier else "no single tier"
    mark = alert.severity or "no severity"
    colour = _COLOURS.get(alert.severity, "gray")
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", gap="small"
    ):
        st.markdown(
            f":{colour}-badge[{formats.plain(mark.lower())}] **{formats.plain(alert.title)}** "
            f":small[:gray[{formats.plain(whose)}, opened "
            f"{formats.since(alert.opened_at, now, 'at an unknown time')}]]",
            width="content",
        )
        if looked_after_by:
            st.markdown(
                f":small[:blue[:material/how_to_reg:] {formats.plain(looked_after_by)}]",
                width="content", help="Who acknowledged it, and when",
            )  # fmt: skip
        elif st.button(
            "Acknowledge", key=f"ack_{alert.name}", type="tertiary",
            icon=":material/notifications_paused:",
            disabled=not access.console().actor().may_act,
            help=access.console().actor().why_not or "Shows a plan first",
        ):  # fmt: skip
            plan_dialog.open_action("acknowledge_incident", alert.tier or PLATFORM)
            st.session_state["plan_alert"] = alert.name
            st.rerun()
