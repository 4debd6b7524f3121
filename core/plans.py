"""Requests, plans, verdicts and audit entries: the records of the write path.

Making a plan is `core/actions/<verb_noun>.py`'s work, judging it `core/guards/<danger>.py`'s,
applying it `control/executor.py`'s.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum


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
    """

    verb: str
    resource: str
    title: str
    before: Mapping[str, str | int | float | bool | None]
    after: Mapping[str, str | int | float | bool | None]
    expected_s: float | None
    expected_source: str
    command: str


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
        text = json.dumps(body, sort_keys=True, default=str, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Progress:
    """Where an intent stands, as the audit store says it.

    `state`: planned, confirmed, running, succeeded, failed, refused, cancelled.
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
