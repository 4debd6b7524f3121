"""Applies plans outside the page: one durable workflow per intent, recorded step by step.

The workflow's id is the plan's digest and the intent's id, so that a second click finds the first.
Killed inside a step, it resumes at that step when the process starts again. How a verb is done is
`control/appliers.py`'s; the record is `control/audit.py`'s. DBOS is one per process.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, TypeVar

import structlog
from dbos import DBOS, DBOSConfig, SetWorkflowID

from control.access import Actor, require
from control.appliers import Applier, GkePort, Interrupted, make_appliers, observe_plan
from control.audit import FINAL_STATES, Audit, utc_now
from control.planning import Planning
from control.single_executor import DirectoryLock
from core import guards
from core.errors import Conflict, Expired, HeartwoodError, Stale, Unavailable
from core.plans import Plan, Progress, Verdict
from core.records import Snapshot, Source

_log: Final = structlog.get_logger("executor")
T = TypeVar("T")

# Steps are resumed by the code that is there after a restart; they are written to allow it, so a
# newer version of the code may go on with them.
_WORKFLOW_VERSION: Final = "1"
_CHANGED: Final = (Source.GKE, Source.KUBE, Source.LOAD)

_bound: list[Executor] = []


class Executor:
    """Submits and runs intents. `start` once per process, before `submit`."""

    def __init__(
        self,
        audit: Audit,
        planning: Planning,
        gke: GkePort,
        snapshot: Callable[[], Snapshot],
        refresh_now: Callable[..., None],
        database_url: str,
        lock: DirectoryLock,
        appliers: dict[str, Applier] | None = None,
    ) -> None:
        self._audit, self._planning, self._gke = audit, planning, gke
        self._snapshot, self._refresh_now = snapshot, refresh_now
        self._database_url, self._lock = database_url, lock
        self._appliers = make_appliers(gke) if appliers is None else appliers
        self._stop = threading.Event()
        self._started = False

    # --- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the workflow database, resume what was killed, start what never began.

        Does nothing while another console on this data directory applies plans.
        """
        if self._started:
            return
        if not self._lock.acquire():
            _log.warning(
                "another console on this data directory applies plans; this one only looks"
            )
            return
        if _bound:
            raise RuntimeError("one executor per process")
        _bound.append(self)
        try:
            self._open_engine()
        except BaseException:  # nothing may stay taken: a later start must be able to succeed
            DBOS.destroy()
            _bound.remove(self)
            self._lock.release()
            raise
        self._started = True
        for running in self._audit.unfinished():
            self._take_up(running.intent)

    def _open_engine(self) -> None:
        config: DBOSConfig = {
            "name": "heartwood",
            "system_database_url": self._database_url,
            "application_version": _WORKFLOW_VERSION,
            "executor_id": "console",
            "log_level": "WARNING",
            "enable_otlp": False,
        }
        DBOS(config=config)
        DBOS.launch()

    def stop(self) -> None:
        """Leave running steps where they are; they are resumed at the next start."""
        if not self._started:
            return
        self._stop.set()
        DBOS.destroy()
        _bound.remove(self)
        self._lock.release()
        self._started = False

    # --- what pages call -------------------------------------------------------------------------

    def submit(
        self,
        plan: Plan,
        verdicts: Sequence[Verdict],
        consents: Collection[str],
        actor: Actor,
        *,
        reason: str = "",
        intent: str = "",
    ) -> str:
        """Have the plan applied; the intent's id. The same intent submitted again does nothing.

        Args:
            plan: as it was shown.
            verdicts: as they were shown; judged again before the first change.
            consents: names of the guards that were agreed to.
            actor: who clicked.
            reason: why, for the audit.
            intent: made by the page when it shows the plan, so that two clicks are one.

        Raises:
            Denied: the actor may only look.
            Conflict: this console does not apply plans.
            Expired: the plan is too old.
            Blocked, Unconfirmed: a guard blocks, or a consent is missing.
            Unavailable: the workflow could not be started; the intent is recorded as failed.
        """
        require(actor)
        if not self._started:
            raise Conflict(
                "This console does not apply plans: another one on this data directory does.",
                hint="Use that one, or stop it and start this one again",
            )
        intent = intent or new_intent()
        if self._audit.progress(intent) is not None:
            return intent
        if utc_now() > plan.expires_at:
            raise Expired("The plan has expired.", resource=plan.title, hint="Plan it again")
        guards.check(verdicts, consents)
        new = self._audit.record_intent(
            intent,
            plan,
            verdicts,
            consents,
            actor=actor.name,
            origin=actor.origin,
            reason=reason,
        )
        if new:
            self._launch_new(intent, plan)
        return intent

    def progress(self, intent: str) -> Progress | None:
        """Where the intent stands; None: there is no such one."""
        return self._audit.progress(intent)

    def cancel(self, intent: str, actor: Actor) -> bool:
        """Cancel before the first change; False: it has begun or ended already.

        Raises:
            Denied: the actor may only look.
        """
        require(actor)
        found = self._audit.progress(intent)
        if found is None or found.state in FINAL_STATES:
            return False
        detail = f"cancelled by {actor.name} before the first change"
        return self._audit.open_gate(intent, "cancelled", detail) == "cancelled"

    def _launch_new(self, intent: str, plan: Plan) -> None:
        """Start the workflow; when that fails the intent ends, and closes its gate for ever."""
        try:
            self._launch(intent, plan)
        except Exception as error:
            _log.exception("a workflow could not be started", intent=intent)
            detail = f"it could not be started ({type(error).__name__}: {error}); nothing changed"
            if self._audit.open_gate(intent, "failed") == "failed":
                self._audit.finish(intent, "failed", 0, detail)
            raise Unavailable(detail, resource=plan.title, hint="Plan it again") from error

    def _launch(self, intent: str, plan: Plan) -> None:
        with SetWorkflowID(f"{plan.digest}-{intent}"):
            DBOS.start_workflow(_apply_plan, intent)

    def _take_up(self, intent: str) -> None:
        """Go on with an intent; one whose workflow ended without a record has failed."""
        plan = self._audit.plan_of(intent)
        status = DBOS.get_workflow_status(f"{plan.digest}-{intent}")
        if status is None or status.status in ("PENDING", "ENQUEUED", "DELAYED"):
            self._launch(intent, plan)
            return
        detail = f"its workflow ended as {status.status} without a record; look at the resource"
        self._audit.finish(intent, "failed", 0, detail)

    # --- the workflow ----------------------------------------------------------------------------

    def run(self, intent: str) -> str:
        """Apply an intent to its end; the final state. Runs inside the workflow."""
        try:
            return self._run(intent)
        except Exception as error:
            if not self._stop.is_set():  # else the engine was closed under it: it is resumed later
                _log.exception("a workflow failed", intent=intent)
                detail = f"Heartwood failed, look at the resource: {type(error).__name__}: {error}"
                self._audit.finish(intent, "failed", 0, detail)
            raise

    def _run(self, intent: str) -> str:
        plan = self._audit.plan_of(intent)
        refusal = _step("prepare", self._prepare, intent)
        if refusal:
            _step("refuse", self._finish, intent, "refused", 0, refusal)
            return "refused"
        gate = _step("open gate", self._open_gate, intent)
        if gate == "expired":
            refusal = "Expired: the plan expired while it was interrupted; nothing changed"
            _step("refuse", self._finish, intent, "refused", 0, refusal)
            return "refused"
        if gate != "started":
            _step("give back", self._finish, intent, "cancelled", 0, "cancelled")
            return "cancelled"
        for number, step in enumerate(plan.steps, 1):
            try:
                operation = _step(f"start {number}", self._start_step, intent, number)
                _step(f"wait {number}", self._wait_step, intent, number, operation)
                _step(f"verify {number}", self._verify_step, intent, number)
            except HeartwoodError as error:
                detail = f"step {number} ({step.title}): {error.message}"
                _step("fail", self._finish, intent, "failed", number, detail)
                return "failed"
        count = len(plan.steps)
        detail = f"{count} of {count} steps done and verified"
        _step("succeed", self._finish, intent, "succeeded", count, detail)
        return "succeeded"

    def _prepare(self, intent: str) -> str:
        """Lock the tier, compare, judge again; why it is refused, "" when it is not."""
        plan = self._audit.plan_of(intent)
        holder = self._audit.lock_tier(plan.request.tier, intent)
        if holder != intent:
            return f"Conflict: another action on {plan.request.tier} is in progress ({holder})"
        try:
            self._check_again(intent, plan)
        except HeartwoodError as error:
            return f"{error.kind}: {error.message}"
        return ""

    def _open_gate(self, intent: str) -> str:
        """The last moment before the first change: "started", or why not.

        What was prepared before a kill is remembered by the workflow however long that was ago:
        the plan's own life time bounds it.
        """
        if utc_now() > self._audit.plan_of(intent).expires_at:
            return "expired"
        return self._audit.open_gate(intent, "started")

    def _check_again(self, intent: str, plan: Plan) -> None:
        if utc_now() > plan.expires_at:
            raise Expired("The plan has expired.", resource=plan.title)
        snapshot, differs = observe_plan(self._gke, plan, self._snapshot())
        if differs:
            raise Stale("; ".join(differs), resource=plan.title, hint="Plan it again")
        verdicts = self._planning.judge(plan, snapshot, leave_out=intent)
        guards.check(verdicts, self._audit.consents_of(intent))

    def _start_step(self, intent: str, number: int) -> str:
        step = self._audit.plan_of(intent).steps[number - 1]
        self._audit.record(intent, "running", number, f"{step.title}: begins", call=step.command)
        operation = self._applier(step.verb).start(step)
        word = f"started as {operation}" if operation else "is there already"
        self._audit.record(intent, "running", number, f"{step.title}: {word}")
        return operation

    def _wait_step(self, intent: str, number: int, operation: str) -> None:
        step = self._audit.plan_of(intent).steps[number - 1]

        def report(sentence: str) -> None:
            self._audit.record(intent, "running", number, f"{step.title}: {sentence}")

        self._applier(step.verb).wait(operation, report, self._stop)

    def _verify_step(self, intent: str, number: int) -> None:
        step = self._audit.plan_of(intent).steps[number - 1]
        sentence = self._applier(step.verb).verify(step, self._stop)
        self._audit.record(intent, "running", number, f"verified: {sentence}")

    def _finish(self, intent: str, state: str, number: int, detail: str) -> None:
        self._audit.finish(intent, state, number, detail)
        _log.info("intent ended", intent=intent, state=state, detail=detail)
        self._refresh_now(*_CHANGED)

    def _applier(self, verb: str) -> Applier:
        found = self._appliers.get(verb)
        if found is None:
            raise Conflict(f"There is no way to do {verb!r} in this version.")
        return found


def new_intent() -> str:
    """An id for what one person is about to do once."""
    return uuid.uuid4().hex


def _step(name: str, work: Callable[..., T], *arguments: Any) -> T:
    """One recorded step: what it returned or raised is remembered across restarts."""
    return DBOS.run_step({"name": name}, work, *arguments)


@DBOS.workflow(name="apply_plan")
def _apply_plan(intent: str) -> str:
    if not _bound:
        raise Interrupted  # resumed while no console is there; the next start resumes it again
    return _bound[0].run(intent)
