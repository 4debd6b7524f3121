"""The buttons that open an action's dialog: a menu for each tier, one for what all tiers share.

Disabled ones say why. What a form asks for is `ui/action_forms.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.actions.available import why_not
from core.cloud_resources import PLATFORM
from core.specs import TierSpec
from ui import access, plan_dialog, view
from ui.action_forms import FORMS


def draw_menus(actions: Sequence[str], of_all: Sequence[str] = ()) -> None:
    """A menu with these actions for every chosen tier that can have one of them.

    `of_all` are those that are not of one tier. Also opens what the address asks for, so it stands
    before all that a page draws.
    """
    plan_dialog.follow_link()
    snapshot = access.snapshot()
    specs = [s for s in snapshot.specs if view.current().shows(s.name) and not s.is_local]
    with st.container(
        horizontal=True, gap="small", vertical_alignment="center", key="action_menus"
    ):
        if specs or of_all:
            st.markdown(":small[:gray[Act on]]", width="content")
        for spec in specs:
            _menu(spec.title, spec.name, actions, spec)
        if of_all:
            _menu("Everything", PLATFORM, of_all, None)


def _menu(title: str, name: str, actions: Sequence[str], spec: TierSpec | None) -> None:
    icon = ":material/bolt:" if spec is not None else ":material/public:"
    if view.dialog() is not None:  # an open menu would lie over the dialog
        st.button(title, key=f"shut_{name}", icon=icon)
        return
    with st.popover(title, key=f"act_{name}", icon=icon):
        harmless = [a for a in actions if not FORMS[a].destructive]
        for action in harmless:
            button(action, spec)
        destructive = [a for a in actions if FORMS[a].destructive]
        if harmless and destructive:
            st.divider()  # what deletes does not stand beside what restarts
        for action in destructive:
            button(action, spec)


def button(action: str, spec: TierSpec | None) -> None:
    """Opens the action's dialog; disabled with the reason when it makes no sense or is denied."""
    form = FORMS[action]
    name = PLATFORM if spec is None else spec.name
    actor = access.console().actor()
    reason = actor.why_not
    if actor.may_act:
        reason = "" if spec is None else why_not(access.snapshot(), action, spec)
    st.button(
        f":red[{form.label}]" if form.destructive and not reason else form.label,
        key=f"{action.removesuffix('_tier')}_{name}",
        icon=form.icon,
        on_click=plan_dialog.open_action,
        args=(action, name),
        disabled=bool(reason),
        help=reason or f"{form.help}; shows a plan first",
        type="tertiary",
    )
