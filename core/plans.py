"""Requests, plans, verdicts and audit entries: the records of the write path.

Making a plan is `core/actions/<verb_noun>.py`'s work, judging it `core/guards/<danger>.py`'s,
applying it `control/executor.py`'s.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from core.errors import PlanError

Facts = Mapping[str, str | int | float | bool | None]  # name → value

NOTES: Final = ("acknowledge_incident",)  # actions that change nothing but our own record


class Outcome(StrEnum):
    """What a guard says, mildest first."""

    PASS = "pass"
    WARN = "warn"
    CONSENT = "consent"  # must be ticked
    APPROVAL = "approval"  # needs a second person
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One guard's word on one plan; all are shown, also those that pass.

    Attributes:
        guard: module name, which states the danger.
        reason: one sentence with the figures it rests on.
        lift: what would lift it; "" when it passes.
        arithmetic: the lines of the calculation, for people to check; may be empty.
    """

    guard: str
    outcome: Outcome
    reason: str
    lift: str = ""
    arithmetic: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody wants: an action's name, the tier, and its parameters (JSON values)."""

    action: str
    tier: str
    parameters: Mapping[str, str | int | float | bool]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One call that changes something.

    Attributes:
        verb: key of the executor's table of step functions, e.g. "gke.set_node_pool_size".
        resource: full name of what it changes.
        before, after: the field values that it changes, JSON values.
        expected_s: how long it usually takes; None: unknown. `expected_source` says who says so.
        command: the equivalent gcloud or kubectl command line.
        key: what other steps call it, unique in its plan. "": it waits for all steps before it.
        needs: keys of the steps that it waits for; steps that need neither one another may run at
            the same time.
        body: JSON text of what is sent, where `after` does not hold all of it; "" when it does.
        undo: how it is taken back, in words ("delete it"); "" when nothing needs to be said.
    """

    verb: str
    resource: str
    title: str
    before: Mapping[str, str | int | float | bool | None]
    after: Mapping[str, str | int | float | bool | None]
    expected_s: float | None
    expected_source: str
    command: str
    key: str = ""
    needs: tuple[str, ...] = ()
    body: str = ""
    undo: str = ""


_LATER_FIELDS: Final = ("key", "needs", "body", "undo")  # left out of the digest while empty


@dataclass(frozen=True, slots=True)
class CostChange:
    """USD per hour before and after; None: the price is unknown."""

    before_usd_per_hour: float | None
    after_usd_per_hour: float | None
    basis: str
    source: str

    @property
    def delta_usd_per_hour(self) -> float | None:
        """After minus before."""
        if self.before_usd_per_hour is None or self.after_usd_per_hour is None:
            return None
        return self.after_usd_per_hour - self.before_usd_per_hour

    @property
    def sentence(self) -> str:
        """Per hour and day, before and after, with basis and source."""
        pair = (self.before_usd_per_hour, self.after_usd_per_hour)
        hour = ["unknown" if v is None else f"${v:,.2f}/h" for v in pair]
        day = ["unknown" if v is None else f"${v * 24:,.0f}" for v in pair]
        told = f"{hour[0]} → {hour[1]}, {day[0]} → {day[1]} a day"
        return f"{told} ({self.basis}; {self.source})"


@dataclass(frozen=True, slots=True)
class Plan:
    """Exactly what will happen, and what it was based on.

    Attributes:
        observed: the facts it rests on (name → value); apply re-reads them and refuses when one
            differs.
        affected: sentences about who and what it touches (requests/s, share, redundancy).
        irreversible: sentences about what cannot be undone; empty when all can.
        made_at, expires_at: UTC.
        slice_delta, chip_delta: slices and TPU chips that the plan adds or (negative) removes;
            None: guards read it from the steps' node counts.
        takes_out: names of the backend groups and backend services that serve nothing after it.
        leaves: sentences about what would belong to nothing afterwards, with its USD per day.
        reservation: name of the reservation that its chips come from; "" when on demand or spot.
        sources: names of the `core.records.Source`s that it rests on; empty: GKE, Kubernetes, load.
    """

    request: Request
    title: str
    steps: tuple[Step, ...]
    observed: Mapping[str, str | int | float | bool | None]
    cost: CostChange
    affected: tuple[str, ...]
    irreversible: tuple[str, ...]
    permissions: tuple[str, ...]
    made_at: datetime
    expires_at: datetime
    slice_delta: int | None = None
    chip_delta: int | None = None
    takes_out: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    reservation: str = ""
    sources: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 over everything but the times: the same facts give the same digest."""
        body = asdict(self)
        del body["made_at"], body["expires_at"]
        body["steps"] = [_without_empty(step) for step in body["steps"]]
        text = json.dumps(body, sort_keys=True, default=str, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def is_note(self) -> bool:
        """Whether it changes nothing but our own record, so that nobody has to wait for it."""
        return self.request.action in NOTES

    @property
    def expected_s(self) -> float | None:
        """How long the longest chain of steps usually takes; None: one of them is unknown."""
        ends: list[float] = []
        for step, before in zip(self.steps, order_of(self.steps), strict=True):
            if step.expected_s is None:
                return None
            ends.append(max((ends[number - 1] for number in before), default=0.0) + step.expected_s)
        return max(ends, default=0.0)


def _without_empty(step: dict[str, Any]) -> dict[str, Any]:
    return {name: v for name, v in step.items() if v or name not in _LATER_FIELDS}


def order_of(steps: Sequence[Step]) -> tuple[tuple[int, ...], ...]:
    """For each step the numbers (from 1) of those that it waits for, all smaller than its own.

    Raises:
        PlanError: a key is there twice, or a step needs one that does not stand before it.
    """
    known: dict[str, int] = {}
    found: list[tuple[int, ...]] = []
    for number, step in enumerate(steps, 1):
        missing = [name for name in step.needs if name not in known]
        if missing or step.key in known:
            wrong = f"needs {', '.join(missing)}" if missing else "is there twice"
            raise PlanError(f"The plan contradicts itself: {step.title} {wrong}.")
        before = {known[name] for name in step.needs}
        found.append(tuple(sorted(before)) if step.key else tuple(range(1, number)))
        if step.key:
            known[step.key] = number
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Progress:
    """Where an intent stands, as the audit store says it.

    `state`: planned, confirmed, running, paused, succeeded, failed, refused, cancelled.
    """

    intent: str
    state: str
    step: int
    steps: int
    detail: str
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One record per intent: who wanted what and what came of it.

    `consents` names the guards that were agreed to, `approvals` who else approved the digest,
    `overrides` the guards that were overridden, each with the reason given.
    """

    intent: str
    at: datetime
    actor: str
    origin: str
    action: str
    tier: str
    title: str
    reason: str
    digest: str
    state: str
    outcome: str
    verdicts: tuple[Verdict, ...]
    steps: tuple[Step, ...]
    cost: CostChange | None
    finished_at: datetime | None = None
    calls: tuple[str, ...] = ()
    tags: tuple[str, ...] = field(default_factory=tuple)
    consents: tuple[str, ...] = ()
    approvals: tuple[str, ...] = ()
    overrides: Mapping[str, str] = field(default_factory=dict[str, str])
