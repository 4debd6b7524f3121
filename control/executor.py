"""Applies plans outside the page: one durable workflow per intent, in one console per directory.

The workflow's id is the plan's digest and the intent's id, so that a second click finds the first.
Killed inside a step, it resumes at that step when the process starts again. What a workflow does is
`control/applying.py`'s; the record is `control/audit.py`'s. DBOS is one per process.
"""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import structlog
from dbos import DBOS, DBOSConfig, SetWorkflowID
from sqlalchemy import Connection

from control.access import Actor, require, require_overrides
from control.appliers import Appliers, Interrupted
from control.applying import Applying, step_id
from control.approvals import Approval, Approvals
from control.audit import Audit, utc_now
from control.consoles import Consoles
from control.interventions import Interventions
from control.planning import Planning
from control.single_executor import DirectoryLock
from core import guards
from core.errors import Conflict, Expired, Unavailable
from core.plans import Outcome, Plan, Progress, Verdict
from core.records import Snapshot

_log: Final = structlog.get_logger("executor")

# Steps are resumed by the code that is there after a restart; they are written to allow it, so a
# newer version of the code may go on with them.
_WORKFLOW_VERSION: Final = "2"
_EXECUTOR: Final = "console"
_RETRY_FIRST_S: Final = 2.0  # how soon a taken lock is tried again; doubles
_RETRY_MAX_S: Final = 30.0

_bound: list[Executor] = []


class Executor:
    """Submits and runs intents. `start` once per process, before `submit`.

    Attributes:
        interventions: stops, pauses and resumes what was submitted.
    """

    def __init__(
        self,
        audit: Audit,
        planning: Planning,
        appliers: Appliers,
        snapshot: Callable[[], Snapshot],
        refresh_now: Callable[..., None],
        database_url: str,
        lock: DirectoryLock,
        *,
        approvals: Approvals | None = None,
        consoles: Consoles | None = None,
        retry_first_s: float = _RETRY_FIRST_S,
        retry_max_s: float = _RETRY_MAX_S,
    ) -> None:
        self._audit = audit
        self._approvals = approvals or Approvals(audit.engine)
        self._consoles = consoles or Consoles(audit.engine, _EXECUTOR)
        self._database_url, self._lock = database_url, lock
        self._retry_first_s, self._retry_max_s = retry_first_s, retry_max_s
        self._stop = threading.Event()
        self.interventions = Interventions(audit)
        self._applying = Applying(
            audit,
            self.interventions,
            planning,
            appliers,
            snapshot,
            refresh_now,
            self._stop,
        )
        self._life = threading.Lock()
        self._waiter: threading.Thread | None = None
        self._started = False
        self._seen: set[str] = set()  # intents that this process has begun or taken up
        self._trouble = ""

    # --- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the workflow database, resume what was killed, start what never began.

        While another console on this data directory applies plans, this one only looks, and tries
        again with growing waits until it can take over.
        """
        with self._life:
            if self._started or self._waiter is not None:
                return
            self._stop.clear()
            if self._try_start():
                return
            _log.warning("only looks: another console applies plans", holder=self._lock.holder())
            self._waiter = threading.Thread(target=self._wait, name="executor-lock", daemon=True)
            self._waiter.start()

    def _wait(self) -> None:
        """Try to take over until it succeeds or the process stops."""
        pause_s = self._retry_first_s
        while not self._stop.wait(pause_s * random.uniform(0.8, 1.2)):
            pause_s = min(pause_s * 2, self._retry_max_s)
            try:
                with self._life:
                    if self._try_start():
                        _log.info("took over: this console applies plans now")
                        return
            except Exception as error:  # noqa: BLE001 - a thread that ends in silence would never take over
                _log.exception("could not take over")
                self._trouble = f"{type(error).__name__}: {error}"

    def _try_start(self) -> bool:
        """Start if the directory's lock is free; False: it is taken. `_life` is held."""
        if not self._lock.acquire():
            return False
        if _bound:
            self._lock.release()
            raise RuntimeError("one executor per process")
        _bound.append(self)
        try:
            self._open_engine()
        except BaseException:  # nothing may stay taken: a later start must be able to succeed
            DBOS.destroy()
            _bound.remove(self)
            self._lock.release()
            raise
        self._started, self._trouble = True, ""
        self._seen.clear()
        self._consoles.start(self._take_over)
        self._take_over()
        return True

    def _take_over(self) -> None:
        """Go on with what is unfinished and ours, or that of a console which is gone."""
        unfinished = [r.intent for r in self._audit.unfinished() if r.intent not in self._seen]
        for intent in self._consoles.take(unfinished):
            self._seen.add(intent)
            self._take_up(intent)

    def _open_engine(self) -> None:
        config: DBOSConfig = {
            "name": "heartwood",
            "system_database_url": self._database_url,
            "application_version": _WORKFLOW_VERSION,
            "executor_id": self._consoles.me,
            "log_level": "WARNING",
            "enable_otlp": False,
        }
        DBOS(config=config)
        DBOS.launch()

    def stop(self) -> None:
        """Leave running steps where they are; they are resumed at the next start."""
        self._stop.set()
        if self._waiter is not None:
            self._waiter.join()
            self._waiter = None
        with self._life:
            if not self._started:
                return
            self._consoles.stop()
            DBOS.destroy()
            _bound.remove(self)
            self._lock.release()
            self._started = False

    def why_not(self) -> str:
        """Why this console does not apply plans, in a sentence; "" when it does."""
        if self._started:
            return ""
        if self._trouble:
            return f"This console could not take over applying plans ({self._trouble})."
        if self._waiter is None:
            return "This console does not apply plans: it is starting or stopping."
        holder = self._lock.holder()
        return (
            "This console does not apply plans: another one on this data directory does"
            + (f" ({holder})" if holder else "")
            + ". It takes over by itself when that one stops."
        )

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
        overrides: Mapping[str, str] = MappingProxyType({}),
    ) -> str:
        """Have the plan applied; the intent's id. The same intent submitted again does nothing.

        Args:
            plan: as it was shown.
            verdicts: as they were shown; judged again before the first change.
            consents: names of the guards that were agreed to.
            actor: who clicked.
            reason: why, for the audit.
            intent: made by the page when it shows the plan, so that two clicks are one.
            overrides: guard whose block does not count → the reason; needs the role admin.

        Raises:
            Denied: the actor may only look, or overrides without the role for it.
            Conflict: this console does not apply plans.
            Expired: the plan is too old.
            Blocked, Unconfirmed: a guard blocks, or a consent is missing.
            Unavailable: the workflow could not be started; the intent is recorded as failed.
        """
        require(actor)
        if not self._started:
            raise Conflict(self.why_not(), hint="Use the other one, or stop it and wait a moment")
        intent = intent or new_intent()
        if self._audit.progress(intent) is not None:
            return intent
        approval = self._agreed(plan, verdicts, consents, actor, overrides)

        def also(db: Connection) -> None:
            self._consoles.claim(db, intent)
            if approval is not None:
                self._approvals.use(db, approval, intent, actor)

        self._seen.add(intent)  # it is begun below, not taken up
        new = self._audit.record_intent(
            intent, plan, verdicts, consents, actor=actor.name, origin=actor.origin, reason=reason,
            approvals=() if approval is None else (approval.decided_by,), overrides=overrides,
            also=also,
        )  # fmt: skip
        if not new and self._audit.progress(intent) is None:
            raise Conflict("The approval was used by another action.", hint="Ask for a new one")
        if new:
            self._launch_new(intent, plan)
        return intent

    def _agreed(
        self,
        plan: Plan,
        verdicts: Sequence[Verdict],
        consents: Collection[str],
        actor: Actor,
        overrides: Mapping[str, str],
    ) -> Approval | None:
        """Pass what may be applied now; the approval that it needs and uses."""
        if utc_now() > plan.expires_at:
            raise Expired("The plan has expired.", resource=plan.title, hint="Plan it again")
        require_overrides(actor, overrides)
        approval = self._approvals.given_for(plan.digest, actor)
        guards.check(verdicts, consents, approved=approval is not None, overridden=overrides)
        needed = any(v.outcome is Outcome.APPROVAL for v in verdicts)
        return approval if needed else None  # else kept for when it is needed

    def progress(self, intent: str) -> Progress | None:
        """Where the intent stands; None: there is no such one."""
        return self._audit.progress(intent)

    def run(self, intent: str) -> str:
        """Apply an intent to its end; the final state. Called by its workflow."""
        return self._applying.run(intent, self._launch_step)

    def run_step(self, intent: str, number: int) -> tuple[str, str]:
        """Apply one step of an intent; how it ended. Called by its workflow."""
        return self._applying.run_step(intent, number)

    def _launch_step(self, intent: str, number: int) -> None:
        with SetWorkflowID(step_id(self._audit.plan_of(intent).digest, intent, number)):
            DBOS.start_workflow(_apply_step, intent, number)

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
        """Go on with an intent; one whose workflow ended without a record has failed.

        What was under way here DBOS itself resumes, when it is launched.
        """
        plan = self._audit.plan_of(intent)
        status = DBOS.get_workflow_status(f"{plan.digest}-{intent}")
        if status is None:
            self._launch(intent, plan)
            return
        if status.status in ("PENDING", "ENQUEUED", "DELAYED"):
            ours = (status.executor_id, status.app_version) == (
                self._consoles.me,
                _WORKFLOW_VERSION,
            )
            if status.status == "PENDING" and not ours:
                self._launch(intent, plan)
            return
        detail = f"its workflow ended as {status.status} without a record; look at the resource"
        self._audit.finish(intent, "failed", 0, detail)


def new_intent() -> str:
    """An id for what one person is about to do once."""
    return uuid.uuid4().hex


@DBOS.workflow(name="apply_plan")
def _apply_plan(intent: str) -> str:
    if not _bound:
        raise Interrupted  # resumed while no console is there; the next start resumes it again
    return _bound[0].run(intent)


@DBOS.workflow(name="apply_step")
def _apply_step(intent: str, number: int) -> tuple[str, str]:
    if not _bound:
        raise Interrupted
    return _bound[0].run_step(intent, number)
