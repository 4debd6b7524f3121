"""Alerts that Cloud Monitoring's policies have open: whose, since when, who looks after them.

Acknowledging one is an action as any other; its dialog is `ui/plan_dialog.py`'s.
"""

from __future__ import annotations

from typing import Final

import streamlit as st

from control.acknowledgements import Acknowledgement
from core.alerts import Alert, various_first
from core.cloud_resources import PLATFORM
from core.records import Source
from core.wording import plural
from ui import access, formats, plan_dialog, states, view

_SHOWN: Final = 5
_COLOURS = {"CRITICAL": "red", "ERROR": "red", "WARNING": "orange"}


def panel() -> None:
    """A line for each open alert; nothing at all while none is open."""
    snapshot = access.snapshot()
    chosen = view.current()
    mine = [a for a in snapshot.alerts or () if not a.tier or chosen.shows(a.tier)]
    if not mine:
        return
    found = various_first(mine)
    fresh = states.freshness(snapshot.sources, (Source.ALERTS,), access.now())
    known = access.console().acknowledgements()
    with states.panel("Open alerts", fresh, key="panel_alerts"):
        for alert in found[:_SHOWN]:
            _draw(alert, known.get(alert.name))
        if rest := found[_SHOWN:]:
            with st.expander(plural(len(rest), "more alert"), type="compact"):
                for alert in rest:
                    _draw(alert, known.get(alert.name))


def _draw(alert: Alert, said: Acknowledgement | None) -> None:
    now = access.now()
    looked_after_by = f"{said.actor}, {formats.since(said.at, now)}" if said else ""
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
