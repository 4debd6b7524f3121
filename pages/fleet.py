"""Fleet: tier, part, slice, host, chip; and the button that scales a tier."""

from __future__ import annotations

import streamlit as st

from ui import access, chrome, fleet_lists, fleet_view, plan_dialog, view

chrome.through_app()

PANELS = {
    "Hosts": fleet_view.hosts,
    "Slices": fleet_view.slices,
    "Workloads": fleet_lists.workloads,
    "Events": fleet_lists.events,
    "Unassigned": fleet_lists.unassigned,
}

plan_dialog.scale_buttons([t.spec for t in fleet_view.scalable(access.derived())])
view.live(fleet_view.picture)
view.live(fleet_view.sizes)
chosen = st.segmented_control(
    "Details", list(PANELS), default="Hosts", required=True, key="details",
    bind="query-params", label_visibility="collapsed",
)  # fmt: skip
view.live(PANELS.get(chosen, fleet_view.hosts))
plan_dialog.draw()
