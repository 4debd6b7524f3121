"""The Console: everything of this process that is not a page, built once and shared by all.

`get_console()` gives it; `server.py` starts and stops it with the server, plain `streamlit run`
starts it with the first page. Nothing here waits for a source: all starts when nothing answers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, cast

from control import logs
from control.access import Actor
from control.acknowledgements import Acknowledgement, acknowledgements
from control.appliers import make_appliers
from control.approvals import Approval, Approvals
from control.audit import Audit
from control.audit_copies import AuditCopies, destinations_of
from control.consoles import Consoles, console_id
from control.executor import Executor
from control.facts import Facts
from control.history import History, Reading
from control.people import People
from control.planning import Judged, Planning
from control.readers import make_readers, not_set_up
from control.refresh import Refresher
from control.route_checks import RouteChecks
from control.router import Router
from control.settings import Settings, load_settings
from control.sign_outs import SignOuts
from control.single_executor import DirectoryLock
from control.store import open_store
from core.plans import Plan, Progress, Request
from core.records import Snapshot, Source
from core.series import Annotation, Series, Signal, Window
from services.clients import Clients, CloudTarget
from services.iap import Iap
from services.inference import Inference
from services.monitoring import Monitoring
from services.permissions import Permissions
from services.project import ProjectResources
from services.tier_rows import Inventory


def cloud_target(settings: Settings) -> CloudTarget:
    """Where the cloud of these settings is."""
    return CloudTarget(
        kind=settings.cloud.target,
        project=settings.project.id,
        region=settings.project.region,
        billing_account=settings.project.billing_account,
        billing_export=settings.project.billing_export,
        rest_url=settings.emulator_url,
        grpc_target=settings.emulator_grpc,
    )


class Console:
    """What pages and routes use. Safe for threads.

    Attributes:
        settings: in force.
        clients: the SDK clients.
        refresher: current state.
        past: the cache of series.
        audit: the record.
        copies: of the record, elsewhere.
        approvals: what a second person was asked, and said.
        people: tells who is in front of a page.
        planning: plans and verdicts.
        executor: applies them.
        router: which tier takes a request, and what it decided lately.
        route_checks: sends a request per rule and looks where it lands.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clients = Clients(cloud_target(settings))
        local = next((t.endpoint_url for t in settings.tiers if t.is_local and t.endpoint_url), "")
        self.local_inference: Inference | None = None
        if local:
            key = settings.playground.api_key.get_secret_value()
            self.local_inference = Inference(local, api_key=key, ours=True)
        readers = make_readers(settings, self.clients, self.local_inference)
        self.refresher = Refresher(settings.tiers, readers, not_set_up=not_set_up(settings))
        self.past = History(
            Monitoring(self.clients),
            settings.tiers,
            lambda: Inventory.of(self.refresher.snapshot()),
        )
        self.audit = Audit(open_store(settings.data.database_url))
        self.planning = Planning(
            settings,
            self.refresher.snapshot,
            self.past,
            self.audit,
            self.burn_series,
            facts=Facts(Permissions(self.clients)).find,
            resources=ProjectResources(self.clients),
        )
        self.approvals = Approvals(self.audit.engine, settings.guards.approval_expires_after_s)
        access = settings.access
        iap = Iap(access.iap_audience, access.iap_keys_url) if access.login == "iap" else None
        self.people = People(settings, iap, SignOuts(self.audit.engine))
        me = console_id(settings.data.dir)
        self.copies = AuditCopies(self.audit.engine, me, destinations_of(settings, self.clients))
        self.executor = Executor(
            self.audit,
            self.planning,
            make_appliers(self.clients, self.refresher.snapshot),
            self.refresher.snapshot,
            self.refresher.refresh_now,
            settings.data.workflow_database_url,
            DirectoryLock(settings.data.dir),
            approvals=self.approvals,
            consoles=Consoles(self.audit.engine, me),
        )
        self.router = Router(settings, self.refresher.snapshot)
        self.route_checks = RouteChecks(self.router, self.refresher.snapshot)
        self._lock = threading.Lock()
        self._started = False

    def start(self) -> None:
        """Start reading, and the executor with what it has to resume. Twice does nothing."""
        with self._lock:
            if self._started:
                return
            self._started = True
            self.refresher.start()
            self.copies.start()
            self.executor.start()

    def stop(self) -> None:
        """Stop reading and leave running intents to the next start."""
        with self._lock:
            if not self._started:
                return
            self._started = False
            self.route_checks.stop()
            self.executor.stop()
            self.copies.stop()
            self.refresher.stop()
            self.past.stop()
            if self.local_inference is not None:
                self.local_inference.close()
            self.clients.close()

    # --- reading ---------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """The newest picture of everything."""
        return self.refresher.snapshot()

    def refresh_now(self, *sources: Source) -> None:
        """Read these sources soon (none named: all)."""
        self.refresher.refresh_now(*sources)

    def history(self, signal: Signal, span: str | Window) -> Reading:
        """A signal of all tiers over "1h", "6h", "24h", "7d", "30d" or a window; see `History`."""
        return self.past.read(signal, span)

    def history_if_cached(self, signal: Signal, span: str | Window) -> Reading | None:
        """Likewise without waiting; None: not read yet, it is being read in the background."""
        return self.past.peek(signal, span)

    def burn_series(self) -> Mapping[str, tuple[Series, Series]]:
        """Requests/s and error ratio of the last 6 h by tier, for `core.slo.tier_slo`.

        Never waits; empty until they were read in the background.
        """
        return self._pairs((Signal.REQUESTS, "6h"), (Signal.ERRORS, "6h"))

    def solved_series(self) -> Mapping[str, tuple[Series, Series]]:
        """Share of tasks solved over 6 h and over 7 d by tier, for `core.answers.worse_answers`.

        Likewise.
        """
        return self._pairs((Signal.SOLVED, "6h"), (Signal.SOLVED, "7d"))

    def arriving_series(self) -> Mapping[str, tuple[Series, Series]]:
        """Requests/s of the last 6 h and of 7 d by tier, for `core.surge.surge`; likewise."""
        return self._pairs((Signal.REQUESTS, "6h"), (Signal.REQUESTS, "7d"))

    def _pairs(
        self, one: tuple[Signal, str], other: tuple[Signal, str]
    ) -> Mapping[str, tuple[Series, Series]]:
        first, second = self.past.peek(*one), self.past.peek(*other)
        if first is None or second is None:
            return {}
        both = first.series.keys() & second.series.keys()
        return {tier: (first.series[tier], second.series[tier]) for tier in both}

    def annotations(self, window: Window, tier: str | None = None) -> tuple[Annotation, ...]:
        """What happened in the window to that tier (None: to any)."""
        return self.audit.annotations(window.start, window.end, tier)

    # --- acting ----------------------------------------------------------------------------------

    def actor(self) -> Actor:
        """Who is in front of this console."""
        return self.people.present()

    def plan(self, request: Request) -> Judged:
        """The plan for a request with all verdicts; raises PlanError."""
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
        """Have the plan applied, as `Executor.submit`; the intent's id."""
        return self.executor.submit(
            judged.plan,
            judged.verdicts,
            consents,
            actor or self.actor(),
            reason=reason,
            intent=intent,
            overrides=overrides,
        )

    def ask_approval(self, judged: Judged, reason: str = "") -> Approval:
        """Ask a second person to approve a plan, as `Approvals.ask`."""
        return self.approvals.ask(judged.plan, judged.verdicts, self.actor(), reason)

    def decide_approval(self, request: str, *, approve: bool, reason: str = "") -> Approval:
        """Approve or decline what somebody else asked for, as `Approvals.decide`."""
        return self.approvals.decide(request, self.actor(), approve=approve, reason=reason)

    def judge(self, plan: Plan) -> Judged:
        """A plan that was made earlier, with every guard's verdict as of now."""
        return Judged(plan, self.planning.judge(plan, self.snapshot()))

    def progress(self, intent: str) -> Progress | None:
        """Where an intent stands; None: there is no such one."""
        return self.executor.progress(intent)

    def cancel(self, intent: str) -> bool:
        """Cancel, or leave out what has not begun; False: too late. Raises Denied."""
        return self.executor.interventions.cancel(intent, self.actor())

    def pause(self, intent: str) -> bool:
        """Have no further step begin; False: too late. Raises Denied."""
        return self.executor.interventions.pause(intent, self.actor())

    def resume(self, intent: str) -> bool:
        """Have a paused intent go on; False: it has ended. Raises Denied."""
        return self.executor.interventions.resume(intent, self.actor())

    def why_not_resume(self, intent: str) -> str:
        """Why whoever is there may not let it go on; "" when they may."""
        actor = self.actor()
        return actor.lacks(self.executor.interventions.role_to_resume(intent, actor))

    def acknowledgements(self) -> Mapping[str, Acknowledgement]:
        """Who acknowledged which alert, by its full name."""
        return acknowledgements(self.audit, datetime.now(UTC))

    def why_not_applying(self) -> str:
        """Why this console does not apply plans now; "" when it does."""
        return self.executor.why_not()


_console: Console | None = None
_lock = threading.Lock()


def get_console(settings: Settings | None = None) -> Console:
    """The process's one Console, built and started when first asked for.

    `settings` counts only then; None: `load_settings()`.

    Raises:
        ConfigError: the settings are wrong.
    """
    global _console
    with _lock:
        if _console is None:
            built = Console(settings or load_settings())
            logs.configure(built.settings.log)
            try:
                built.start()
            except BaseException:
                built.stop()
                raise
            _stop_with_process(built.stop)
            _console = built
        return _console


def close_console() -> None:
    """Stop the process's Console, if there is one; the next `get_console` builds another."""
    global _console
    with _lock:
        if _console is not None:
            _console.stop()
            _console = None


def _stop_with_process(stop: Callable[[], None]) -> None:
    """Have `stop` called before Python waits for the threads of pools.

    atexit comes too late: a thread that waits for an operation would hold up the end of the
    process for minutes. concurrent.futures uses the same hook, and hooks run latest first.
    """
    register = cast(Callable[[Callable[[], None]], None], cast(Any, threading)._register_atexit)
    register(stop)
