"""The verb that gives a workload another number of replicas: the groups of multi-host slices."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection
from typing import Final, Protocol

from control.appliers.rewrites import write_from_newest
from control.appliers.verbs import Product, Report, look_until
from core.actions import scale_slices
from core.cloud_resources import short_name
from core.errors import Conflict
from core.plans import Facts, Step
from core.records import Snapshot
from core.workload_template import replicas_of
from services.clients import Clients
from services.project.objects import KubeObjects
from services.project.product import Found, Json

_DEADLINE_S: Final = 7200.0  # a large model takes long to load


class ObjectPort(Protocol):
    """What of `services.project.objects.KubeObjects` is needed."""

    def get(self, name: str) -> Found | None:
        """An object."""
        ...

    def patch(self, name: str, change: Json) -> None:
        """Merge a change into it."""
        ...


class SetGroups:
    """kube.set_replicas: of more, all must be ready; of fewer, the rest goes with its pools."""

    def __init__(self, objects: ObjectPort) -> None:
        self._objects = objects

    def start(self, step: Step) -> str:
        """Write the number unless it is there; the operation is what `wait` looks at."""
        try:
            before, after = scale_slices.wanted_of(step)
        except ValueError as error:
            raise Conflict(f"the step names no replicas: {error}") from error
        write_from_newest(lambda: self._write(step.resource, before, after), step.resource)
        return json.dumps({"workload": step.resource, "replicas": after, "more": after > before})

    def _write(self, name: str, before: int, after: int) -> None:
        now = replicas_of(self._workload(name).body)[0]
        if now == after:
            return
        if now != before:
            raise Conflict(
                f"{short_name(name)} is to have {now} replicas, neither {before} nor {after}:"
                " somebody else changed it",
                resource=name,
            )
        self._objects.patch(name, {"spec": {"replicas": after}})

    def wait(self, operation: str, report: Report, stop: threading.Event) -> None:
        """Until all are ready, where there are more than before."""
        asked = json.loads(operation)
        if not asked["more"]:
            return

        def look() -> tuple[bool, str]:
            found = self._workload(asked["workload"])
            return found.ready, found.status

        look_until(look, short_name(asked["workload"]), report, stop, _DEADLINE_S)

    def verify(self, step: Step, stop: threading.Event) -> str:
        """The workload has the number, and where that is more, all are ready."""
        before, after = scale_slices.wanted_of(step)
        found = self._workload(step.resource)
        now, name = replicas_of(found.body)[0], short_name(step.resource)
        if now != after or (after > before and not found.ready):
            raise Conflict(f"{name}: {now} replicas, {found.status}", resource=step.resource)
        return f"{name} is to have {now} replicas; {found.status}"

    def _workload(self, name: str) -> Found:
        found = self._objects.get(name)
        if found is None:
            raise Conflict("The tier's servers are gone.", resource=name)
        return found


def product(objects: ObjectPort) -> Product:
    """The verb and the facts of replicas."""

    def observe(names: Collection[str], snapshot: Snapshot) -> tuple[Snapshot, Facts]:
        facts: dict[str, str | int | float | bool | None] = {}
        for name in names:
            found = objects.get(name.partition(":")[2])
            facts[name] = None if found is None else replicas_of(found.body)[0]
        return snapshot, facts

    return Product({scale_slices.VERB: SetGroups(objects)}, {scale_slices.REPLICAS: observe})


def build(clients: Clients) -> Product:
    """The same of that cloud."""
    return product(KubeObjects(clients))
