"""Who is in front of the page: their name, role and sign-out, and the choice of a local user.

What a role may do is decided in `control/`, not here; who is not let in sees `ui/sign_in_view.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import streamlit as st

from control.access import Role
from control.people import USER_COOKIE
from ui import access, components, formats

_LOOK_S: Final = 5.0  # how often an open page looks whether its sign-in has ended
_MAY: Final = {
    "viewer": "may look",
    "operator": "may apply plans",
    "approver": "may apply plans, and approve others'",
    "admin": "may also override guards, with a reason",
}


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
        st.markdown(f":small[:material/person: {formats.plain(actor.name)} · **{actor.role}**]")
    may = _MAY[actor.role.value] if actor.may_act and actor.role is not None else actor.why_not
    until = f" · until {formats.clock(actor.expires_at)} UTC" if actor.expires_at else ""
    st.caption(f"{formats.plain(may)}{until}")
    if console.people.login == "oidc":
        _sign_out()


def _sign_out() -> None:
    """The end of a sign-in; also shuts the page when it has ended otherwise."""
    if st.button("Sign out", key="sign_out", type="tertiary", icon=":material/logout:"):
        access.console().people.sign_out()
        st.logout()
        st.stop()  # a rerun would take back that the browser goes to the provider's sign-out
    components.way_back(key="way_back", keep=False)
    st.fragment(_shut_when_ended, run_every=_LOOK_S)()


def _shut_when_ended() -> None:
    if access.console().actor().role is None:
        st.rerun()
