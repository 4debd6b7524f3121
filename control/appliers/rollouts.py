"""The verb that gives a tier's servers another pod template, and waits until all have it."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Mapping
from typing import Any, Final, Protocol, cast

from control.appliers.verbs import Product, Report, look_until
from core.actions import rollouts
from core.cloud_resources import KUBERNETES
from core.errors import Conflict, OpsError
from core.plans import Facts, Step
from core.records import Snapshot
from core.workload_template import (
    fingerprint,
    labels_of,
    replicas_of,
    revision_of,
    template_of,
)
from services.clients import Clients
from services.project.objects import KubeObjects
from services.project.product import Found, Json

_DEADLINE_S: Final = 7200.0  # a large model takes long to load, server after server


class ObjectPort(Protocol):
    """What of `services.project.objects.KubeObjects` is needed."""

    def get(self, name: str) -> Found | None:
        """An object."""
        ...

    def patch(self, name: str, change: Json) -> None:
        """Merge a change into it."""
        ...

    def list_in(self, name: str, labels: Mapping[str, str]) -> tuple[Json, ...]:
        """The objects of a collection that have these labels."""
        ...


class RollOut:
    """kube.roll_out: after holds the revision that every pod must say it is of, and be ready."""

    def __init__(self, objects: ObjectPort) -> None:
        self._objects = objects

    def start(self, step: Step) -> str:
        """Write the template unless it is there; the operation is what `wait` looks at."""
        workload = self._workload(step.resource)
        template = template_of(workload)
        revision = str(step.after["template"])
        if revision_of(template) != revision:
            if fingerprint(template) != step.before["template"]:
                raise Conflict(
                    "The servers' template is another one by now: somebody else changed it",
                    resource=step.resource,
                )
            self._write(step, json.loads(step.body)["patch"], revision)
        return f"{step.resource}#{revision}"

    def _write(self, step: Step, patch: Json, revision: str) -> None:
        try:
            self._objects.patch(step.resource, patch)
        except OpsError as error:
            if not error.retryable:
                raise
            if revision_of(template_of(self._workload(step.resource))) != revision:
                raise  # the answer was not lost: nothing was written

    def wait(self, operation: str, report: Report, stop: threading.Event) -> None:
        """Until every pod is of the revision and ready; reads that fail are tried again."""
        resource, _, revision = operation.partition("#")

        def look() -> tuple[bool, str]:
            ready, wanted = self._ready(resource, revision)
            return ready == wanted, f"{ready} of {wanted} pods are new and ready"

        look_until(look, "the pods", report, stop, _DEADLINE_S)

    def verify(self, step: Step, stop: threading.Event) -> str:
        """All pods are of the revision and ready."""
        ready, wanted = self._ready(step.resource, str(step.after["template"]))
        told = f"{ready} of {wanted} pods serve {step.after['model']} and are ready"
        if ready != wanted:
            raise Conflict(told, resource=step.resource)
        return told

    def _ready(self, resource: str, revision: str) -> tuple[int, int]:
        """(pods of the revision that are ready, pods that there must be)."""
        workload = self._workload(resource)
        if revision_of(template_of(workload)) != revision:
            raise Conflict("Somebody else rolled out something meanwhile.", resource=resource)
        replicas, size = replicas_of(workload)
        cluster, sign, path = resource.partition(KUBERNETES)
        space = path.split("/namespaces/", 1)[1].split("/", 1)[0]
        labels = labels_of(template_of(workload))
        pods = self._objects.list_in(f"{cluster}{sign}api/v1/namespaces/{space}/pods", labels)
        new = [p for p in pods if revision_of(p) == revision and not _ending(p)]
        return sum(_is_ready(p) for p in new), replicas * size

    def _workload(self, resource: str) -> Json:
        found = self._objects.get(resource)
        if found is None:
            raise Conflict("The tier's servers are gone.", resource=resource)
        return found.body


def _ending(pod: Json) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def _is_ready(pod: Json) -> bool:
    conditions = cast(list[Mapping[str, Any]], (pod.get("status") or {}).get("conditions") or [])
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def product(objects: ObjectPort) -> Product:
    """The verb and the facts of pod templates."""

    def observe(names: Collection[str], snapshot: Snapshot) -> tuple[Snapshot, Facts]:
        facts: dict[str, str | int | float | bool | None] = {}
        for name in names:
            found = objects.get(name.partition(":")[2])
            facts[name] = None if found is None else fingerprint(template_of(found.body))
        return snapshot, facts

    return Product({rollouts.VERB: RollOut(objects)}, {rollouts.FACTS: observe})


def build(clients: Clients) -> Product:
    """The same of that cloud."""
    return product(KubeObjects(clients))
