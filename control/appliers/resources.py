"""Making and deleting whole resources: the two verbs of which a tier's chain is made.

What each resource is and needs is `core/chain/`'s, the calls are `services/project/`'s.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Protocol

from control.appliers.verbs import Interrupted, Product, Report, follow
from core.actions.chain_steps import ADD_PATH, CREATE, DELETE, FACT, TAKE_OUT_PATH
from core.cloud_resources import CloudResource
from core.errors import Conflict, OpsError
from core.plans import Facts, Step
from core.records import Snapshot
from services.clients import Clients
from services.gke import OperationState
from services.project import Found, ProjectResources

_TRIES: Final = 6
_PAUSE_S: Final = 1.0  # before the second try; doubles
_READY_S: Final = 1800.0  # so long something may take to be ready after its operation
_GONE_S: Final = 900.0
_LOOK_FIRST_S: Final = 0.2
_LOOK_MAX_S: Final = 5.0
# What says that the same call may succeed once something else has ended.
_BUSY: Final = (
    "incompatible operation", "not ready", "already being used", "in use by",
    "other operations running", "operation that still runs", "in state SUSPENDING",
)  # fmt: skip


class ResourcePort(Protocol):
    """What of `services.project.ProjectResources` is needed."""

    def get(self, name: str) -> Found | None:
        """What exists under that name."""
        ...

    def create(self, name: str, body: Mapping[str, Any]) -> str:
        """Begin to make it; the operation's name."""
        ...

    def delete(self, name: str) -> str:
        """Begin to delete it; the operation's name."""
        ...

    def get_operation(self, name: str) -> OperationState:
        """An operation's state."""
        ...

    def list_present(self, names: tuple[str, ...]) -> Mapping[str, CloudResource]:
        """Those of these names that exist."""
        ...


class _Verb:
    """What both verbs share."""

    def __init__(self, resources: ResourcePort) -> None:
        self._resources = resources

    def wait(self, operation: str, report: Report, stop: threading.Event) -> None:
        """Poll the operation, where there is one."""
        if operation:
            read = self._resources.get_operation
            follow(lambda: read(operation), "the operation", report, stop)

    def _try(self, call: Callable[[], str], settled: Callable[[], bool]) -> str:
        """Call, and again while that may help; look in between whether it took effect unseen."""
        pause_s = _PAUSE_S
        for attempt in range(_TRIES):
            try:
                return call()
            except OpsError as error:
                busy = any(word in error.message for word in _BUSY)
                if attempt + 1 == _TRIES or not (error.retryable or busy):
                    raise
                if not busy and self._looks(settled):
                    return ""
            time.sleep(pause_s)
            pause_s *= 2
        raise AssertionError("the last try either returns or raises")

    @staticmethod
    def _looks(settled: Callable[[], bool]) -> bool:
        try:
            return settled()
        except OpsError as error:
            if not error.retryable:
                raise
            return False

    def _until(
        self, step: Step, stop: threading.Event, limit_s: float, look: Callable[[Found | None], str]
    ) -> str:
        """Read until `look` gives a sentence; reads that fail for the moment are tried again."""
        deadline = time.monotonic() + limit_s
        trouble: OpsError | None = None
        pause_s, state = _LOOK_FIRST_S, ""
        while True:
            try:
                found = self._resources.get(step.resource)
            except OpsError as error:
                if not error.retryable:
                    raise
                trouble = error
            else:
                trouble, state = None, found.status if found is not None else "not there"
                sentence = look(found)
                if sentence:
                    return sentence
            if time.monotonic() > deadline:
                if trouble is not None:
                    raise trouble
                told = f"not so after {limit_s:,.0f} s" + (f": {state}" if state else "")
                raise Conflict(told, resource=step.resource)
            if stop.wait(pause_s):
                raise Interrupted
            pause_s = min(pause_s * 1.5, _LOOK_MAX_S)


class Create(_Verb):
    """Make a resource; one that is there already, or half made, is waited for."""

    def start(self, step: Step) -> str:
        """Make it unless it is there."""
        found = self._resources.get(step.resource)
        if found is not None and found.failed:
            self._clear(step)
        elif found is not None and not found.half:
            return ""
        body = json.loads(step.body)

        def there() -> bool:  # half made is not: making it again completes it
            now = self._resources.get(step.resource)
            return now is not None and not now.half

        try:
            return self._try(lambda: self._resources.create(step.resource, body), there)
        except Conflict as error:
            if "exist" in error.message.lower():  # begun when we were killed before we knew
                return ""
            raise

    def _clear(self, step: Step) -> None:
        """Delete what failed, so that it can be made again under its name."""
        never = threading.Event()
        operation = self._try(lambda: self._resources.delete(step.resource), lambda: False)
        self.wait(operation, lambda _: None, never)
        self._until(step, never, _GONE_S, lambda found: "" if found else "gone")

    def verify(self, step: Step, stop: threading.Event) -> str:
        """It must be there and ready."""

        def look(found: Found | None) -> str:
            if found is None or not found.ready:
                if found is not None and found.failed:
                    raise Conflict(found.failed, resource=step.resource)
                return ""
            return f"{_noun(step)} is there" + (f" ({found.status})" if found.status else "")

        return self._until(step, stop, _READY_S, look)


class Delete(_Verb):
    """Delete a resource; one that is gone already is done."""

    def start(self, step: Step) -> str:
        """Delete it unless it is gone, or goes by itself."""
        found = self._resources.get(step.resource)
        if found is None or step.after.get("goes_with"):
            return ""

        def gone() -> bool:
            return self._resources.get(step.resource) is None

        return self._try(lambda: self._resources.delete(step.resource), gone)

    def verify(self, step: Step, stop: threading.Event) -> str:
        """It must be gone."""

        def look(found: Found | None) -> str:
            return "" if found is not None else f"{_noun(step)} is gone"

        return self._until(step, stop, _GONE_S, look)


def _noun(step: Step) -> str:
    """What the step's title makes or deletes, without its first word."""
    return step.title.partition(" ")[2]


def product(resources: ResourcePort) -> Product:
    """The verbs, and the facts that tell what exists."""

    def observe(names: Collection[str], snapshot: Snapshot) -> tuple[Snapshot, Facts]:
        wanted = tuple(name.partition(":")[2] for name in names)
        there = resources.list_present(wanted)
        return snapshot, {
            f"{FACT}:{name}": (there[name].owner or "") if name in there else None
            for name in wanted
        }

    create, delete = Create(resources), Delete(resources)
    verbs = {CREATE: create, ADD_PATH: create, DELETE: delete, TAKE_OUT_PATH: delete}
    return Product(verbs, {FACT: observe})


def build(clients: Clients) -> Product:
    """The same of that cloud."""
    return product(ProjectResources(clients))
