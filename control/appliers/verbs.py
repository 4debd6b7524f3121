"""What a verb of a plan's steps is made of, and the table of all of them.

Each product's verbs stand in a module of their own beside this one and are offered as a `Product`.
Order, locks and the record are `control/applying.py`'s.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from core.errors import Conflict, OpsError
from core.plans import Facts, Plan, Step
from core.records import Snapshot
from services.gke import OperationState

Report = Callable[[str], None]  # one sentence about progress
Observer = Callable[[Collection[str], Snapshot], tuple[Snapshot, Facts]]

_POLL_FIRST_S: Final = 0.5
_POLL_MAX_S: Final = 10.0
_OUTAGE_S: Final = 300.0  # so long an operation may be out of sight before we give up


class Interrupted(BaseException):
    """The process is stopping: the step is neither done nor failed, and is resumed at start.

    Not an Exception, so that the workflow engine records no outcome for the step.
    """


class TakenBack(Conflict):
    """The step found harm and took back what the steps before it had done: nothing of it stays."""


class Applier(Protocol):
    """One verb. Safe to start twice: it looks first whether the change is there already."""

    def start(self, step: Step) -> str:
        """Start the change unless it is there; the operation's name, "" when there is none."""
        ...

    def wait(self, operation: str, report: Report, stop: threading.Event) -> None:
        """Wait for the end of the operation; raises OpsError when it failed, Interrupted."""
        ...

    def verify(self, step: Step, stop: threading.Event) -> str:
        """Read what was changed; one sentence. Raises Conflict when it is not as planned."""
        ...


@dataclass(frozen=True, slots=True)
class Product:
    """What one product's module adds.

    Attributes:
        verbs: verb of a step → how it is done.
        facts: what stands before the colon in the name of an observed fact ("" for none) → reads
            facts of those names again; gets and gives a Snapshot with what it read; None: gone.
    """

    verbs: Mapping[str, Applier]
    facts: Mapping[str, Observer] = field(default_factory=dict[str, Observer])


class Appliers:
    """All verbs and all observers."""

    def __init__(self, products: Iterable[Product]) -> None:
        self._verbs: dict[str, Applier] = {}
        self._facts: dict[str, Observer] = {}
        for product in products:
            twice = {*self._verbs, *self._facts} & {*product.verbs, *product.facts}
            if twice:
                raise ValueError(f"two products offer {', '.join(sorted(twice))}")
            self._verbs.update(product.verbs)
            self._facts.update(product.facts)

    @property
    def verbs(self) -> frozenset[str]:
        """What steps may ask for."""
        return frozenset(self._verbs)

    def applier(self, verb: str) -> Applier:
        """How that verb is done.

        Raises:
            Conflict: no product offers it.
        """
        found = self._verbs.get(verb)
        if found is None:
            raise Conflict(f"There is no way to do {verb!r} in this version.")
        return found

    def observe(self, plan: Plan, snapshot: Snapshot) -> tuple[Snapshot, Sequence[str]]:
        """Re-read what the plan rests on: the snapshot with it, and sentences about what differs.

        Raises:
            OpsError: it cannot be read now.
            Conflict: nobody can read one of the facts.
        """
        groups: dict[str, list[str]] = {}
        for name in plan.observed:
            groups.setdefault(name.partition(":")[0] if ":" in name else "", []).append(name)
        fresh: dict[str, str | int | float | bool | None] = {}
        for prefix, names in groups.items():
            observer = self._facts.get(prefix)
            if observer is None:
                raise Conflict(f"There is no way to read {names[0]!r} again in this version.")
            snapshot, found = observer(names, snapshot)
            fresh.update(found)
        differs = [
            f"{name} was {plan.observed[name]!r} and is {fresh.get(name)!r}"
            for name in plan.observed
            if plan.observed[name] != fresh.get(name)
        ]
        return snapshot, differs


def look_until(
    look: Callable[[], tuple[bool, str]],
    what: str,
    report: Report,
    stop: threading.Event,
    limit_s: float,
    poll_first_s: float = _POLL_FIRST_S,
) -> None:
    """Look with growing waits until all is there, and report each new sentence.

    `look` tells whether it is, and how it stands; a look that fails for the moment is repeated,
    with `what` as the name of what could not be read.

    Raises:
        Conflict: not within the limit.
        OpsError: it cannot be read.
        Interrupted: the process stops.
    """
    deadline, pause_s, said = time.monotonic() + limit_s, poll_first_s, ""
    while True:
        try:
            done, sentence = look()
        except OpsError as error:
            if not error.retryable:
                raise
            done, sentence = False, f"{what} cannot be read just now: {error.message}"
        if done:
            return
        if sentence != said:
            report(sentence)
            said = sentence
        if time.monotonic() > deadline:
            raise Conflict(f"not in {limit_s / 60:.0f} minutes: {sentence}")
        if stop.wait(pause_s):
            raise Interrupted
        pause_s = min(pause_s * 1.5, _POLL_MAX_S)


def follow(
    read: Callable[[], OperationState],
    whose: str,
    report: Report,
    stop: threading.Event,
    poll_first_s: float = _POLL_FIRST_S,
) -> None:
    """Poll an operation to its end with growing waits; an outage of the API is no failure of it.

    Raises:
        Conflict: it failed; the message begins with `whose` it is.
        OpsError: it could not be seen for minutes.
        Interrupted: the process stops.
    """
    pause_s, lost_at, said = poll_first_s, None, ""
    while True:
        try:
            state = read()
            lost_at = None
        except OpsError as error:
            lost_at = lost_at or time.monotonic()
            if not error.retryable or time.monotonic() - lost_at > _OUTAGE_S:
                raise
            sentence = f"the operation cannot be read just now: {error.message}"
        else:
            if state.error is not None:
                raise Conflict(f"{whose}: {state.error}", resource=state.name)
            if state.done:
                return
            sentence = f"{state.status.lower()} {state.detail}".strip()
            if state.progress_ratio is not None:
                sentence += f", {state.progress_ratio:.0%}"
        if sentence != said:
            report(sentence)
            said = sentence
        if stop.wait(pause_s):
            raise Interrupted
        pause_s = min(pause_s * 1.5, _POLL_MAX_S)
