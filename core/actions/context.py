"""What planning needs besides the Snapshot and the request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PlanContext:
    """Facts that no Snapshot holds.

    Attributes:
        project: Google Cloud project id, for names and command lines.
        expires_after_s: life time of a plan.
        past_durations_s: verb of a step → how long earlier ones took here, from the audit.
    """

    project: str
    expires_after_s: float = 300.0
    past_durations_s: dict[str, Sequence[float]] = field(default_factory=dict[str, Sequence[float]])
