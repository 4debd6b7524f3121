"""A Console for page tests: planted Snapshot and series, the real audit store and planning."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from control.access import Actor, require
from control.acknowledgements import Acknowledgement, acknowledgements
from control.approvals import Approval, Approvals
from control.audit import Audit
from control.audit_copies import AuditCopies
from control.history import PRESETS, Reading, preset_window
from control.interventions import Interventions
from control.people import People
from control.planning import CloudFacts, Judged, Planning
from control.route_checks import RouteChecks
from control.router import Router
from control.settings import Settings, load_settings
from control.store import open_store
from core import guards
from core.cloud_resources import CloudResource
from core.plans import Plan, Progress, Request
from core.records import Problem, Snapshot
from core.series import UNITS, Annotation, Series, Signal, Window
from services.project import Found
from tests import make

LEVELS: Mapping[str, Mapping[str, float]] = {
    "requests/s": {"local": 0.4, "small": 412, "medium": 206, "dev": 0.9},
    "tokens/s": {"local": 40, "small": 99_000, "medium": 49_000, "dev": 200},
    "ms": {"local": 4200, "small": 1450, "medium": 8900, "dev": 3100},
}


@dataclass
class FakeHistory:
    """Daily waves for every tier that runs; `problem` makes every read fail."""

    problem: Problem | None = None
    empty: bool = False

    def read(self, signal: Signal, span: str | Window) -> Reading:
        """As `control.history.History.read`."""
        now = datetime.now(UTC)
        window = span if isinstance(span, Window) else preset_window(span, now)
        if self.problem is not None:
            return Reading(signal, {}, window, None, self.problem)
        levels = LEVELS.get(UNITS[signal], {"small": 0.5, "medium": 0.7})
        series: dict[str, Series] = {}
        if not self.empty:
            series = {t: make.make_series(t, signal, window, v) for t, v in levels.items()}
        return Reading(signal, series, window, now)


@dataclass
class FakeResources:
    """What exists in the project, by full name."""

    there: dict[str, Found] = field(default_factory=dict[str, Found])

    def list_present(self, names: tuple[str, ...]) -> Mapping[str, CloudResource]:
        """As `services.project.ProjectResources.list_present`."""
        return {n: CloudResource(n, f.owner) for n, f in self.there.items() if n in names}

    def list_ours(self) -> tuple[CloudResource, ...]:
        """Likewise."""
        return tuple(CloudResource(n, f.owner) for n, f in self.there.items() if f.owner)

    def get(self, name: str) -> Found | None:
        """Likewise."""
        return self.there.get(name)


@dataclass
class FakeConsole:
    """What `ui/access.py` needs of `control.wiring.Console`."""

    planted: Snapshot
    directory: Path
    past: FakeHistory = field(default_factory=FakeHistory)
    may_act: bool = True
    submitted: list[str] = field(default_factory=list[str])
    cancelled: list[str] = field(default_factory=list[str])
    not_applying: str = ""
    resources: FakeResources = field(default_factory=FakeResources)
    person: Actor | None = None
    asked: int = 0
    lacking: Collection[str] = ()
    notes: tuple[Annotation, ...] = ()
    burning: Mapping[str, tuple[Series, Series]] = field(
        default_factory=dict[str, tuple[Series, Series]]
    )
    solved: Mapping[str, tuple[Series, Series]] = field(
        default_factory=dict[str, tuple[Series, Series]]
    )
    arriving: Mapping[str, tuple[Series, Series]] = field(
        default_factory=dict[str, tuple[Series, Series]]
    )

    def __post_init__(self) -> None:
        """Open the audit store and the planning over it."""
        self.set_window(0.0)  # what a test is about otherwise says so
        self.router = Router(self.settings, self.snapshot)
        self.route_checks = RouteChecks(self.router, self.snapshot)
        self.people = People(self.settings)
        self.audit = Audit(open_store(f"sqlite:///{self.directory / 'audit.db'}"))
        self.copies = AuditCopies(self.audit.engine, "here", {})
        self.approvals = Approvals(self.audit.engine)
        self.planning = Planning(
            self.settings, self.snapshot, self.past, self.audit,  # type: ignore[arg-type]
            facts=self.granted, resources=self.resources,
        )  # fmt: skip

    def granted(self, plan: Plan, _snapshot: Snapshot) -> CloudFacts:
        """A cloud in which we may do all but what is `lacking`."""
        return CloudFacts(permissions={p: p not in self.lacking for p in plan.permissions})

    def set_window(self, cancel_window_s: float) -> None:
        """Have a click on a green plan applied after so long."""
        limit = {"HEARTWOOD_GUARDS__CANCEL_WINDOW_S": str(cancel_window_s)}
        self.settings: Settings = load_settings(environ=limit)

    def snapshot(self) -> Snapshot:
        """The planted one."""
        return self.planted

    def history(self, signal: Signal, span: str | Window) -> Reading:
        """Planted series."""
        assert isinstance(span, Window) or span in PRESETS
        return self.past.read(signal, span)

    def burn_series(self) -> Mapping[str, tuple[Series, Series]]:
        """Planted."""
        return self.burning

    def solved_series(self) -> Mapping[str, tuple[Series, Series]]:
        """Likewise."""
        return self.solved

    def arriving_series(self) -> Mapping[str, tuple[Series, Series]]:
        """Likewise."""
        return self.arriving

    def annotations(self, window: Window, tier: str | None = None) -> tuple[Annotation, ...]:
        """Planted ones and those of the audit store."""
        return (*self.notes, *self.audit.annotations(window.start, window.end, tier))

    def actor(self) -> Actor:
        """A person, who may act unless told otherwise."""
        if self.person is not None:
            return self.person
        why = "" if self.may_act else "This console is in read-only mode."
        return Actor("ada", "console", self.may_act, why)

    def plan(self, request: Request) -> Judged:
        """The real planning."""
        return self.planning.plan(request)

    def submit(
        self,
        judged: Judged,
        consents: Collection[str],
        *,
        reason: str = "",
        intent: str = "",
        actor: Actor | None = None,
        overrides: Mapping[str, str] = MappingProxyType({}),
    ) -> str:
        """Record the intent as the executor does, and leave it there."""
        approval = self.approvals.given_for(judged.plan.digest, self.actor())
        guards.check(judged.verdicts, consents, approved=approval is not None, overridden=overrides)
        self.submitted.append(intent)
        self.audit.record_intent(
            intent, judged.plan, judged.verdicts, consents,
            actor=(actor or self.actor()).name, origin="console", reason=reason,
            overrides=overrides, approvals=() if approval is None else (approval.decided_by,),
        )  # fmt: skip
        return intent

    def ask_approval(self, judged: Judged, reason: str = "") -> Approval:
        """The real approvals."""
        return self.approvals.ask(judged.plan, judged.verdicts, self.actor(), reason)

    def decide_approval(self, request: str, *, approve: bool, reason: str = "") -> Approval:
        """Likewise."""
        return self.approvals.decide(request, self.actor(), approve=approve, reason=reason)

    def judge(self, plan: Plan) -> Judged:
        """The real guards."""
        return Judged(plan, self.planning.judge(plan, self.planted))

    def cancel(self, intent: str) -> bool:
        """Cancel as the executor does what has not begun."""
        require(self.actor())
        self.cancelled.append(intent)
        return self.audit.open_gate(intent, "cancelled", "cancelled by ada") == "cancelled"

    def pause(self, intent: str) -> bool:
        """As the executor does."""
        return Interventions(self.audit).pause(intent, self.actor())

    def resume(self, intent: str) -> bool:
        """Likewise."""
        return Interventions(self.audit).resume(intent, self.actor())

    def why_not_resume(self, intent: str) -> str:
        """Likewise."""
        actor = self.actor()
        return actor.lacks(Interventions(self.audit).role_to_resume(intent, actor))

    def acknowledgements(self) -> Mapping[str, Acknowledgement]:
        """From the audit store."""
        return acknowledgements(self.audit, datetime.now(UTC))

    def why_not_applying(self) -> str:
        """Planted."""
        return self.not_applying

    def progress(self, intent: str) -> Progress | None:
        """From the audit store."""
        return self.audit.progress(intent)

    def refresh_now(self, *sources: object) -> None:
        """Count that it was asked."""
        self.asked += 1
