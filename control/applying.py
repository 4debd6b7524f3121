"""Applies one intent inside its workflow: prepare, gate, steps, end; each recorded step by step.

Killed inside a step, it goes on with that step. Which intents run, and where, is
`control/executor.py`'s; how a verb is done `control/appliers.py`'s.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

import structlog
from dbos import DBOS

from control.appliers import Applier, GkePort, observe_plan
from control.audit import Audit, utc_now
from control.planning import Planning
from core import guards
from core.errors import Conflict, Expired, HeartwoodError, PlanError, Stale
from core.plans import Plan
from core.records import Snapshot, Source

_log: Final = structlog.get_logger("executor")
T = TypeVar("T")

_CHANGED: Final = (Source.GKE, Source.KUBE, Source.LOAD)


class Stopped(PlanError):
    """Somebody asked to stop before this step."""


class Applying:
    """Applies intents; `stop` is set when the process is about to end."""

    def __init__(
        self,
        audit: Audit,
        planning: Planning,
        gke: GkePort,
        snapshot: Callable[[], Snapshot],
        refresh_now: Callable[..., None],
        appliers: dict[str, Applier],
        stop: threading.Event,
    ) -> None:
        self._audit, self._planning, self._gke = audit, planning, gke
        self._snapshot, self._refresh_now = snapshot, refresh_now
        self._appliers, self._stop = appliers, stop

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
            except Stopped as error:
                _step("stop", self._finish, intent, "cancelled", number - 1, error.message)
                return "cancelled"
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
        self._check_stop(intent, number)
        step = self._audit.plan_of(intent).steps[number - 1]
        self._audit.record(intent, "running", number, f"{step.title}: begins", call=step.command)
        operation = self._applier(step.verb).start(step)
        word = f"started as {operation}" if operation else "is there already"
        self._audit.record(intent, "running", number, f"{step.title}: {word}")
        return operation

    def _check_stop(self, intent: str, number: int) -> None:
        """Raise Stopped when somebody asked for it and the step has not begun (before a kill)."""
        actor = self._audit.stop_asked_by(intent)
        progress = self._audit.progress(intent)
        if not actor or progress is None or progress.step >= number:
            return
        done = f"{number - 1} of {progress.steps} steps were done and stay"
        raise Stopped(f"stopped by {actor}: {done}" if number > 1 else f"stopped by {actor}")

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


def _step(name: str, work: Callable[..., T], *arguments: Any) -> T:
    """One recorded step: what it returned or raised is remembered across restarts."""
    return DBOS.run_step({"name": name}, work, *arguments)
