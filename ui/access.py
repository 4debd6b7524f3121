"""The pages' one door to the rest of the house: the console that `control/wiring.py` built.

Pages ask here for the Snapshot and the present; nothing here draws. Also tells the console what the
browser's session says of the person, so that `Console.actor` is right wherever it is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import unquote

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from control.people import Session
from control.wiring import Console, get_console
from core.records import Snapshot
from core.series import Annotation, Window
from ui.derived import Derived, derive

CHOSEN: Final = "acting_as"  # session key of the local user that was chosen


def console() -> Console:
    """The process's one console, which asks this module who is there."""
    found = get_console()
    found.people.ask_by(session)
    return found


def session() -> Session:
    """What the browser's session tells; nothing where no page runs."""
    if get_script_run_ctx(suppress_warning=True) is None:
        return Session()
    address = st.context.ip_address
    signed_in = bool(getattr(st.user, "is_logged_in", False))
    return Session(
        origin=f"console from {address}" if address else "console",
        headers={name.lower(): value for name, value in st.context.headers.items()},
        cookies={name: unquote(value) for name, value in st.context.cookies.items()},
        claims=st.user.to_dict() if signed_in else None,
        chosen=str(st.session_state.get(CHOSEN) or ""),
    )


def snapshot() -> Snapshot:
    """The latest Snapshot."""
    return get_console().snapshot()


def derived() -> Derived:
    """The latest Snapshot with all that follows from it; never waits."""
    console = get_console()
    series = console.burn_series(), console.solved_series(), console.arriving_series()
    return derive(console.snapshot(), *series)


def now() -> datetime:
    """The present, by which ages are told."""
    return datetime.now(UTC)


def happened(window: Window) -> Sequence[Annotation]:
    """What happened in the window, to any tier."""
    return get_console().annotations(window)
