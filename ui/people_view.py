"""Who is in front of the page: sign-in, the choice of a local user, and what their role is.

What a role may do is decided in `control/`, not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import streamlit as st

from control.access import Role
from control.people import USER_COOKIE
from ui import access, components, formats

_MAY: Final = {
    "viewer": "may look",
    "operator": "may apply plans",
    "approver": "may apply plans, and approve others'",
    "admin": "may also override guards, with a reason",
}


def gate() -> None:
    """Let nobody past who may not even look; offers the sign-in where there is one."""
    console = access.console()
    actor = console.actor()
    if actor.role is not None:
        return
    st.title("Heartwood", anchor=False)
    st.markdown(formats.plain(actor.why_not))
    if console.people.login == "oidc":
        signed_in = access.session().claims is not None
        if signed_in:
            st.button("Sign out", on_click=st.logout, key="sign_out")
        else:
            st.button("Sign in", on_click=st.login, type="primary", key="sign_in")
    st.stop()


def _choose(names: Mapping[str, Role], present: str) -> None:
    """Lets one of these act; the browser remembers who."""
    listed = list(names)
    with st.container(gap=None):  # what remembers is not seen: no gap for it
        st.selectbox(
            "Acting as",
            listed,
            index=listed.index(present) if present in names else 0,
            key=access.CHOSEN,
            format_func=lambda name: f"{name} · {names[name]}",
            help="Named users without a password, since Google Cloud is emulated on this machine: "
            "choose another one in another browser to approve what the first one asks for.",
        )
        if st.session_state.get(access.CHOSEN):
            components.remember_user(
                key="remember_user", name=st.session_state[access.CHOSEN], cookie=USER_COOKIE
            )


def who() -> None:
    """The person and their role; in the sidebar."""
    console = access.console()
    names = console.people.names()
    actor = console.actor()
    if names:
        _choose(names, actor.name)
    else:
        st.markdown(f":small[:material/person: {formats.plain(actor.name)} · {actor.role}]")
    if not actor.may_act:
        st.caption(formats.plain(actor.why_not))
    elif actor.role is not None:
        st.caption(_MAY[actor.role.value])
    if console.people.login == "oidc":
        st.button("Sign out", on_click=st.logout, key="sign_out", type="tertiary")
