"""What planning needs besides the Snapshot and the request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.cloud_resources import CloudResource
from core.plans import Plan


@dataclass(frozen=True, slots=True)
class Undertaking:
    """An action that was applied from here, as the record tells it.

    Attributes:
        state: as `core.plans.Progress` has it.
        begun: numbers (from 1) of its plan's steps that began.
        later: full name of a resource → title of the newest later action that changed it. Those
            that take this one back do not count.
    """

    intent: str
    title: str
    state: str
    plan: Plan
    begun: tuple[int, ...]
    later: Mapping[str, str] = field(default_factory=dict[str, str])


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
        undertaking: what is to be taken back; None: there is no such thing, or the action does not
            need it.
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
    undertaking: Undertaking | None = None
