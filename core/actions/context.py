"""What planning needs besides the Snapshot and the request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.cloud_resources import CloudResource


@dataclass(frozen=True, slots=True)
class PlanContext:
    """Facts that no Snapshot holds.

    Attributes:
        project: Google Cloud project id, for names and command lines.
        billing_account: "billingAccounts/…", likewise; "" where none is configured.
        expires_after_s: life time of a plan.
        past_durations_s: verb of a step → how long earlier ones took here, from the audit.
        capacity_before_drain: "service group" → the capacity ratio before the last drain made from
            here, from the audit.
        resources: what exists of the chain that the action is about, and what else is ours, by full
            name; None: it was not read, or the action does not need it.
        workload: what runs the tier's servers, as Kubernetes has it; None: it was not read, or the
            action does not need it.
        template_before: the pod template that was there before the tier's last roll-out made from
            here, from the audit; None: there was none.
        acknowledged: names of alerts that were acknowledged here, from the audit.
    """

    project: str
    expires_after_s: float = 300.0
    past_durations_s: dict[str, Sequence[float]] = field(default_factory=dict[str, Sequence[float]])
    capacity_before_drain: Mapping[str, float] = field(default_factory=dict[str, float])
    billing_account: str = ""
    resources: Mapping[str, CloudResource] | None = None
    acknowledged: frozenset[str] = frozenset()
    workload: Mapping[str, Any] | None = None
    template_before: Mapping[str, Any] | None = None
