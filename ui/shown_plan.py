"""The plan that the dialog shows, as the browser's session keeps it between two runs.

Who draws it is `ui/plan_dialog.py`; how it is agreed to `ui/consent_view.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import streamlit as st

from control.executor import new_intent
from control.planning import Judged
from core.plans import Plan, Request

_KEY: Final = "shown_plan"


@dataclass(frozen=True, slots=True)
class Agreed:
    """What was agreed to at the click: names of guards, overrides with their reasons, and why."""

    consents: frozenset[str]
    overrides: Mapping[str, str]
    reason: str


@dataclass(slots=True)
class Shown:
    """A plan under the id that applying it will have.

    Attributes:
        fixed: it was saved or approved as it stands: no form makes another of it.
        before: the plan that it replaces, for what differs; None: it is the first.
        agreed: the click that the cancel window runs from; None: nobody has clicked.
        applies_at: when that window ends; None: it does not run.
        submitted: it is under way, or ended.
    """

    request: Request
    judged: Judged
    intent: str = field(default_factory=new_intent)
    fixed: bool = False
    before: Plan | None = None
    agreed: Agreed | None = None
    applies_at: datetime | None = None
    submitted: bool = False


def get() -> Shown | None:
    """The plan of this session's dialog; None: there is none yet."""
    return st.session_state.get(_KEY)


def put(shown: Shown) -> None:
    """Show that plan from now on."""
    st.session_state[_KEY] = shown


def forget() -> None:
    """Show none; a cancel window that runs ends with it."""
    st.session_state.pop(_KEY, None)
