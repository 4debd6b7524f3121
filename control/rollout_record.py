"""Which pod template a tier's servers had before their last roll-out made from here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, cast

from control.audit import Audit
from core.actions import ROLLING_OUT
from core.actions.rollouts import VERB

_BEGUN: Final = ("succeeded", "failed", "cancelled")  # of a "running" one the lock keeps others out


def template_before(audit: Audit, tier: str, workload: str) -> Mapping[str, Any] | None:
    """Of the newest intent whose roll-out of that workload began; None: there is none."""
    entries = [e for action in ROLLING_OUT for e in audit.entries(tier=tier, action=action)]
    for entry in sorted(entries, key=lambda e: e.at, reverse=True):
        if entry.state not in _BEGUN:
            continue
        for step in entry.steps:
            if (step.verb, step.resource) == (VERB, workload) and step.command in entry.calls:
                return cast(Mapping[str, Any], json.loads(step.body)["before"])
    return None
