"""Fleet: tier, part, slice, host, chip; and a menu of actions for each tier."""

from __future__ import annotations

import streamlit as st

from ui import action_menu, chrome, fleet_lists, fleet_view, plan_dialog, view

chrome.through_app()

ACTIONS = (
    "provision_tier", "scale_tier", "scale_replicas", "shift_traffic", "fail_over", "drain_tier",
    "restore_tier", "restart_slice", "deploy_model", "roll_back", "change_budget", "tear_down_tier",
)  # fmt: skip
OF_ALL = ("clean_up_orphans", "tear_down_all")
PANELS = {
    "Hosts": fleet_view.hosts,
    "Slices": fleet_view.slices,
    "Workloads": fleet_lists.workloads,
    "Events": fleet_lists.events,
    "Unassigned": fleet_lists.unassigned,
}

action_menu.draw_menus(ACTIONS, OF_ALL)
view.live(fleet_view.picture)
view.live(fleet_view.sizes)
chosen = st.segmented_control(
    "Details", list(PANELS), default="Hosts", required=True, key="details",
    bind="query-params", label_visibility="collapsed",
)  # fmt: skip
view.live(PANELS.get(chosen, fleet_view.hosts))
plan_dialog.draw()
