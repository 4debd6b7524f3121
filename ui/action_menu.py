"""The buttons that open an action's dialog, a menu for each tier.

Disabled ones say why. What a form asks for is `ui/action_forms.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.actions.available import why_not
from core.specs import TierSpec
from ui import access, plan_dialog, view
from ui.action_forms import FORMS


def draw_menus(actions: Sequence[str]) -> None:
    """A menu with these actions for every chosen tier that can have one of them.

    Also opens what the address asks for, so it stands before all that a page draws.
    """
    plan_dialog.follow_link()
    snapshot = access.snapshot()
    specs = [s for s in snapshot.specs if view.current().shows(s.name) and not s.is_local]
    if not specs:
        return
    with st.container(
        horizontal=True, gap="small", vertical_alignment="center", key="action_menus"
    ):
        st.markdown(":small[:gray[Act on]]", width="content")
        for spec in specs:
            if view.dialog() is not None:  # an open menu would lie over the dialog
                st.button(spec.title, key=f"shut_{spec.name}", icon=":material/bolt:")
                continue
            with st.popover(spec.title, key=f"act_{spec.name}", icon=":material/bolt:"):
                for action in actions:
                    _button(action, spec)


def _button(action: str, spec: TierSpec) -> None:
    form = FORMS[action]
    actor = access.console().actor()
    reason = actor.why_not if not actor.may_act else why_not(access.snapshot(), action, spec)
    st.button(
        form.label,
        key=f"{action.removesuffix('_tier')}_{spec.name}",
        icon=form.icon,
        on_click=plan_dialog.open_action,
        args=(action, spec.name),
        disabled=bool(reason),
        help=reason or f"{form.help}; shows a plan first",
        type="tertiary",
    )
