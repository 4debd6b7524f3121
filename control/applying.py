"""Applies one intent inside its workflow: prepare, gate, steps, end; each recorded step by step.

Each step of the plan is a workflow of its own that waits for the steps that it needs, so that
independent ones run at the same time. Killed inside a step, it goes on with that step. Which
intents run, and where, is `control/executor.py`'s; how a verb is done `control/appliers/`'s.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import structlog
from dbos import DBOS

from control.appliers import Appliers, Interrupted, TakenBack
from control.audit import Audit, utc_now
from control.audit_rows import begins
from control.board import Board, Ended, Ending
from control.interventions import Held, Interventions
from control.planning import Planning
from core import guards
from core.actions.chain_steps import deletes_shared
from core.cloud_resources import PLATFORM
from core.errors import Expired, HeartwoodError, Stale
from core.guards.change import concerned
from core.plans import Plan, Step, order_of
from core.records import Snapshot, Source
from core.shortage import alternatives

_log: Final = structlog.get_logger("executor")
T = TypeVar("T")
Launch = Callable[[str, int], None]

_LOOK_S: Final = 1.0  # how often a step of a paused intent looks whether it may begin
_FAILED: Final = (Ending.FAILED, Ending.TAKEN_BACK)
_CHANGED: Final = (
    Source.GKE,
    Source.KUBE,
    Source.LOAD,
    Source.LOAD_BALANCER,
    Source.VERTEX,
    Source.TPU,
    Source.BUDGETS,
    Source.ALERTS,
    Source.RESERVATIONS,
    Source.RECOMMENDER,
)


class Applying:
    """Applies intents; `stop` is set when the process is about to end."""

    def __init__(
        self,
        audit: Audit,
        interventions: Interventions,
        planning: Planning,
        appliers: Appliers,
        snapshot: Callable[[], Snapshot],
        refresh_now: Callable[..., None],
        stop: threading.Event,
    ) -> None:
        self._audit, self._interventions = audit, interventions
        self._planning, self._appliers = planning, appliers
        self._snapshot, self._refresh_now = snapshot, refresh_now
        self._stop = stop
        self._boards: dict[str, Board] = {}
        self._lock, self._beginning = threading.Lock(), threading.Lock()

    # --- the intent's workflow -------------------------------------------------------------------

    def run(self, intent: str, launch: Launch) -> str:
        """Apply an intent to its end; the final state. Runs inside its workflow.

        `launch` starts the workflow of one step, by its number.
        """
        try:
            return self._run(intent, launch)
        except Exception as error:
            if not self._stop.is_set():  # else the engine was closed under it: it is resumed later
                _log.exception("a workflow failed", intent=intent)
                detail = f"Heartwood failed, look at the resource: {type(error).__name__}: {error}"
                self._audit.finish(intent, "failed", 0, detail)
            raise

    def _run(self, intent: str, launch: Launch) -> str:
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
        for number in range(1, len(plan.steps) + 1):
            launch(intent, number)
        state, begun, detail = _step("steps", self._await_all, intent)
        _step("end", self._finish, intent, state, begun, detail)
        self._boards.pop(intent, None)
        return state

    def _prepare(self, intent: str) -> str:
        """Lock what is changed, compare, judge again; why it is refused, "" when it is not."""
        plan = self._audit.plan_of(intent)
        for name in self._locks(plan):
            holder = self._audit.lock_tier(name, intent)
            if holder != intent:
                return f"Conflict: another action on {name} is in progress ({holder})"
        try:
            self._check_again(intent, plan)
        except HeartwoodError as error:
            return f"{error.kind}: {error.message}"
        return ""

    def _locks(self, plan: Plan) -> tuple[str, ...]:
        """What has to be locked, always in the same order, so that of two plans one gets all.

        The tier, and those that get more requests; of a plan for what all tiers share that, and
        every tier; of a note nothing.
        """
        if plan.is_note:
            return ()
        wanted, snapshot = plan.request.tier, self._snapshot()
        tiers = [spec.name for spec in snapshot.specs]
        if wanted in tiers and not deletes_shared(plan):
            return tuple(sorted(concerned(plan, snapshot)))
        return tuple(dict.fromkeys((PLATFORM, *sorted(tiers), wanted)))

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
        snapshot, differs = self._appliers.observe(plan, self._snapshot())
        if differs:
            raise Stale("; ".join(differs), resource=plan.title, hint="Plan it again")
        verdicts = self._planning.judge(plan, snapshot, leave_out=intent)
        approved, overridden = self._audit.lifted_of(intent)
        guards.check(
            verdicts, self._audit.consents_of(intent), approved=approved, overridden=overridden
        )

    def _await_all(self, intent: str) -> tuple[str, int, str]:
        """State, steps begun and the sentence with which the intent ends."""
        steps = self._audit.plan_of(intent).steps
        board = self._board(intent)
        ended = board.wait_for(range(1, len(steps) + 1), self._stop)
        failed = [n for n, e in ended.items() if e.ending in _FAILED]
        left_out = [e for e in ended.values() if e.ending is Ending.LEFT_OUT]
        done = len(ended) - len(failed) - len(left_out)
        kept = f"{done} of {len(steps)} steps were done and stay"
        if any(e.ending is Ending.TAKEN_BACK for e in ended.values()):
            kept = f"{done} of {len(steps)} steps were done, nothing of it stays"
        if failed:
            said = "; ".join(f"step {n} ({steps[n - 1].title}): {ended[n].detail}" for n in failed)
            told = f"{said}; {kept}" if len(steps) > 1 else said
            return "failed", board.begun, told + self._instead(intent, ended)
        if left_out:
            why = left_out[0].detail
            return "cancelled", board.begun, f"{why}: {kept}" if done else why
        return "succeeded", board.begun, f"{done} of {len(steps)} steps done and verified"

    def _instead(self, intent: str, ended: Mapping[int, Ended]) -> str:
        """What else could be had, where stock or quota did not suffice; "" where it did."""
        plan, snapshot = self._audit.plan_of(intent), self._snapshot()
        found = [
            sentence
            for number, end in ended.items()
            if end.ending is Ending.FAILED
            for sentence in alternatives(snapshot, plan, plan.steps[number - 1], end.detail)
        ]
        told = "; ".join(dict.fromkeys(found))
        return f". Instead could be had: {told}" if told else ""

    def _finish(self, intent: str, state: str, number: int, detail: str) -> None:
        self._audit.finish(intent, state, number, detail)
        _log.info("intent ended", intent=intent, state=state, detail=detail)
        self._refresh_now(*_CHANGED)

    # --- a step's workflow -----------------------------------------------------------------------

    def run_step(self, intent: str, number: int) -> tuple[str, str]:
        """Apply one step when its turn has come; how it ended, as `Ended` holds it."""
        board = self._board(intent)
        try:
            ended = self._run_step(intent, number)
        except Exception as error:
            if self._stop.is_set():
                raise  # the engine was closed under it: it is resumed later
            _log.exception("a step failed", intent=intent, step=number)
            detail = f"Heartwood failed, look at the resource: {type(error).__name__}: {error}"
            ended = Ended(Ending.FAILED, detail)
        board.end(number, ended)
        return ended.ending.value, ended.detail

    def _run_step(self, intent: str, number: int) -> Ended:
        why_not = _step("turn", self._await_turn, intent, number)
        if why_not:
            return Ended(Ending.LEFT_OUT, why_not)
        try:
            operation = _step("start", self._start_step, intent, number)
            _step("wait", self._wait_step, intent, number, operation)
            _step("verify", self._verify_step, intent, number)
        except TakenBack as error:
            return Ended(Ending.TAKEN_BACK, error.message)
        except HeartwoodError as error:
            return Ended(Ending.FAILED, error.message)
        return Ended(Ending.DONE)

    def _await_turn(self, intent: str, number: int) -> str:
        """Wait for what the step needs; why it is left out, "" when it begins.

        After the first failure nothing new is begun; what has begun before a kill goes on. While
        the intent is paused it waits.
        """
        steps, board = self._audit.plan_of(intent).steps, self._board(intent)
        needed = board.wait_for(order_of(steps)[number - 1], self._stop)
        if board.has_begun(number):
            return ""
        while True:
            for other, ended in {**board.ended(), **needed}.items():
                if ended.ending is not Ending.DONE:
                    failed = ended.ending in _FAILED
                    return f"step {other} {ended.ending.value}" if failed else ended.detail
            held = self._begin(intent, steps[number - 1], number)
            if held is None:
                return ""
            if not held.for_now:
                return f"stopped by {held.actor}"
            if self._stop.wait(_LOOK_S):
                raise Interrupted

    def _begin(self, intent: str, step: Step, number: int) -> Held | None:
        """Note that a step begins, on the board and in the record; else who holds it back."""
        board = self._board(intent)
        with self._beginning:
            held = self._interventions.begin(intent, board.begun + 1, begins(step), step.command)
            if held is None:
                board.begin(number)
        return held

    def _start_step(self, intent: str, number: int) -> str:
        step = self._audit.plan_of(intent).steps[number - 1]
        operation = self._appliers.applier(step.verb).start(step)
        self._say(
            intent, step.title, f"started as {operation}" if operation else "is there already"
        )
        return operation

    def _wait_step(self, intent: str, number: int, operation: str) -> None:
        step = self._audit.plan_of(intent).steps[number - 1]

        def report(sentence: str) -> None:
            self._say(intent, step.title, sentence)

        self._appliers.applier(step.verb).wait(operation, report, self._stop)

    def _verify_step(self, intent: str, number: int) -> None:
        step = self._audit.plan_of(intent).steps[number - 1]
        sentence = self._appliers.applier(step.verb).verify(step, self._stop)
        self._tell(intent, f"verified: {sentence}")

    def _say(self, intent: str, title: str, sentence: str) -> None:
        self._tell(intent, f"{title}: {sentence}")

    def _tell(self, intent: str, detail: str) -> None:
        self._interventions.tell(intent, self._board(intent).begun, detail)

    def _board(self, intent: str) -> Board:
        """The intent's board, after a restart with what had begun and ended before."""
        with self._lock:
            found = self._boards.get(intent)
            if found is None:
                steps = self._audit.plan_of(intent).steps
                begun = self._audit.begun(intent)
                ended: Mapping[int, Ended] = {}
                if begun:  # in a thread: a workflow's own questions to the engine are recorded
                    with ThreadPoolExecutor(1) as pool:
                        ended = pool.submit(self._ended_before, intent, len(steps)).result()
                found = self._boards[intent] = Board(ended, begun)
            return found

    def _ended_before(self, intent: str, steps: int) -> Mapping[int, Ended]:
        digest = self._audit.plan_of(intent).digest
        ended: dict[int, Ended] = {}
        for number in range(1, steps + 1):
            status = DBOS.get_workflow_status(step_id(digest, intent, number))
            if status is not None and status.status == "SUCCESS":
                ending, detail = DBOS.retrieve_workflow(status.workflow_id).get_result()
                ended[number] = Ended(Ending(ending), detail)
        return ended


def step_id(digest: str, intent: str, number: int) -> str:
    """Id of the workflow of a plan's step."""
    return f"{digest}-{intent}-{number}"


def _step(name: str, work: Callable[..., T], *arguments: Any) -> T:
    """One recorded step: what it returned or raised is remembered across restarts."""
    return DBOS.run_step({"name": name}, work, *arguments)
