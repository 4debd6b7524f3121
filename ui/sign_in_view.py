"""What somebody sees who is not let in: why, the next step, and the sign-in where there is one.

Who is let in is decided by `control/people.py`. The identity providers stand in Streamlit's
secrets, so what is missing there is found here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import streamlit as st
from streamlit.errors import StreamlitAuthError, StreamlitSecretNotFoundError

from control.access import Actor
from ui import access, chrome, components, formats

_NOT_SET_UP: Final = (
    "This console asks people to sign in, but knows no identity provider: `[auth]` is missing in"
    " `.streamlit/secrets.toml`. What to write there is in `docs/sign-in.md`."
)
_DEFAULT: Final = ""  # the provider that stands in [auth] itself


def draw() -> None:
    """The page of those who are not let in."""
    console = access.console()
    actor = console.actor()
    st.space("large")
    with st.columns((1, 2, 1))[1], st.container(border=True):
        st.image(chrome.logo(), width=180)
        if console.people.login != "oidc":
            st.warning(formats.plain(actor.why_not), icon=":material/lock:")
            return
        found = _providers()
        if not found:
            st.error(_NOT_SET_UP, icon=":material/key_off:")
            return
        signed_in = access.session().claims is not None
        _tell(actor, signed_in=signed_in)
        for name in found:
            _button(name, again=signed_in)
        components.way_back(key="way_back", keep=True)
        if signed_in and st.button("Sign out", key="sign_out", type="tertiary"):
            console.people.sign_out()
            st.logout()


def _tell(actor: Actor, *, signed_in: bool) -> None:
    if not signed_in:
        st.markdown("Sign in to see the tiers and what they cost, and to act on them.")
        return
    st.warning(formats.plain(actor.why_not), icon=":material/lock:")
    if actor.expires_at is None:
        st.caption(
            "Ask an admin for the role you need: viewer to look, operator to act. With a role,"
            " sign in again."
        )


def _button(provider: str, *, again: bool) -> None:
    label = f"Sign in{' again' if again else ''}"
    if provider:
        label += f" with {provider.capitalize()}"
    pressed = st.button(
        label, key=f"sign_in_{provider}", type="primary", icon=":material/login:", width="stretch"
    )
    if not pressed:
        return
    try:
        st.login(provider or None)
    except StreamlitAuthError as error:
        st.error(formats.plain(str(error)), icon=":material/key_off:")


def _providers() -> list[str]:
    """Names of the sections [auth.NAME], "" for [auth] itself; empty: none is set up."""
    try:
        section: Mapping[str, Any] = st.secrets.get("auth", {})
    except StreamlitSecretNotFoundError:
        return []
    named = [name for name, of in section.items() if isinstance(of, Mapping) and "client_id" in of]
    return ([_DEFAULT] if "client_id" in section else []) + named
