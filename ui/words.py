"""Marks for states: which colour and icon stand for a tier's state, an objective, a severity.

Streamlit's Markdown badges, so that they follow the theme by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from core.fleet import State
from core.plans import Outcome
from core.problems import Severity
from core.slo import Standing

STATES: Final[Mapping[State, tuple[str, str]]] = {
    State.RUNNING: ("green", "check_circle"),
    State.PROVISIONING: ("blue", "progress_activity"),
    State.DEGRADED: ("orange", "warning"),
    State.STOPPED: ("gray", "stop_circle"),
    State.EMPTY: ("gray", "inbox"),
    State.OFF: ("gray", "power_settings_new"),
    State.UNKNOWN: ("violet", "help"),
}
STANDINGS: Final[Mapping[Standing, tuple[str, str]]] = {
    Standing.MET: ("green", "check"),
    Standing.AT_RISK: ("orange", "warning"),
    Standing.MISSED: ("red", "error"),
    Standing.UNKNOWN: ("violet", "help"),
    Standing.NONE: ("gray", "remove"),
}
SEVERITIES: Final[Mapping[Severity, tuple[str, str]]] = {
    Severity.CRITICAL: ("red", "error"),
    Severity.WARNING: ("orange", "warning"),
    Severity.NOTE: ("blue", "info"),
}
OUTCOMES: Final[Mapping[Outcome, tuple[str, str]]] = {
    Outcome.PASS: ("green", "check_circle"),
    Outcome.WARN: ("orange", "warning"),
    Outcome.CONSENT: ("orange", "front_hand"),
    Outcome.APPROVAL: ("violet", "group"),
    Outcome.BLOCK: ("red", "block"),
}
INTENTS: Final[Mapping[str, tuple[str, str]]] = {
    "planned": ("gray", "edit_note"),
    "confirmed": ("blue", "how_to_reg"),
    "running": ("blue", "progress_activity"),
    "paused": ("violet", "pause_circle"),
    "succeeded": ("green", "check_circle"),
    "failed": ("red", "error"),
    "refused": ("orange", "block"),
    "cancelled": ("gray", "cancel"),
}


def badge(word: str, look: tuple[str, str]) -> str:
    """A Markdown badge with that colour and icon."""
    colour, icon = look
    return f":{colour}-badge[:material/{icon}: {word}]"


def state_badge(state: State) -> str:
    """A tier's, slice's or host's state."""
    return badge(state.value, STATES[state])


def standing_badge(standing: Standing) -> str:
    """How an objective stands."""
    word = "no objective" if standing is Standing.NONE else standing.value
    return badge(word, STANDINGS[standing])
