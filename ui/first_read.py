"""What was drawn before everything had been read once follows when it is, without being asked."""

from __future__ import annotations

from typing import Final

import streamlit as st

from ui import access, states

_LOOK_S: Final = 1.0


def is_reading() -> bool:
    """Whether some source was never read to the end yet."""
    sources = access.snapshot().sources.values()
    return any(states.level_of(s, access.now()) is states.Level.LOADING for s in sources)


def follow(note: str = "") -> None:
    """Draw all of it again once everything was read; until then the note stands here.

    For what does not refresh by itself. Does nothing when everything was read.
    """
    if not is_reading():
        return

    @st.fragment(run_every=_LOOK_S)
    def look() -> None:
        if not is_reading():
            st.rerun()
        if note:
            st.caption(note)

    look()
