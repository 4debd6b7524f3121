"""How much a person has to do before a plan is applied: in proportion to what it may break.

The dangers themselves are the guards'; here is only how their sum is agreed to.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from core.plans import Outcome, Plan, Verdict

_ASKING: Final = (Outcome.WARN, Outcome.CONSENT)
_RED_ACTIONS: Final = ("fail_over", "tear_down_tier", "tear_down_all")


class Friction(StrEnum):
    """What the person does."""

    GREEN = "green"  # one click
    AMBER = "amber"  # tick each danger
    RED = "red"  # tick each danger, and type the tier's name


def friction(plan: Plan, verdicts: Iterable[Verdict]) -> Friction:
    """Red when something stops serving or all of a tier's users are moved; amber for a danger."""
    if plan.takes_out or plan.request.action in _RED_ACTIONS:
        return Friction.RED
    asking = any(v.outcome in _ASKING for v in verdicts)
    return Friction.AMBER if asking else Friction.GREEN
