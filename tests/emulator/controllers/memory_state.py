"""A cluster's state in memory, as controllers/contract.py describes it, with a clock to turn."""

from __future__ import annotations

import copy
import itertools
from typing import Any

from emulator.apis.gke.model import Cluster
from emulator.apis.kubernetes.controllers import reconcile
from emulator.apis.kubernetes.controllers.objects import key_of
from emulator.apis.kubernetes.status import StatusError
from emulator.clock import rfc3339
from emulator.context import make_cloud
from emulator.settings import Settings

Obj = dict[str, Any]


class MemoryState:
    """Objects by kind, namespace and name; owned objects go with their owner."""

    def __init__(self, scenario: str = "empty-project") -> None:
        self.cloud = make_cloud(Settings(scenario=scenario))
        self.cluster = Cluster("c", "us-central1", "1.34", 0.0)
        self.memory: dict[str, Any] = {}
        self.events: list[tuple[str, str, str]] = []
        self.time = 1_700_000_000.0
        self._objects: dict[tuple[str, str, str], Obj] = {}
        self._serial = itertools.count(1)

    def list(self, kind: str, namespace: str | None = None) -> list[Obj]:
        found = sorted((k, o) for k, o in self._objects.items() if k[0] == kind)
        return [o for (_, space, _), o in found if namespace in (None, space)]

    def get(self, kind: str, namespace: str, name: str) -> Obj | None:
        return self._objects.get((kind, namespace, name))

    def made(self, kind: str) -> list[Obj]:
        return [] if kind == "Node" else self.list(kind)

    def create(self, obj: Obj) -> Obj:
        key = (obj["kind"], *key_of(obj))
        if key in self._objects:
            raise StatusError(409, "AlreadyExists", f"{key} already exists")
        made = copy.deepcopy(obj)
        number = next(self._serial)
        made["metadata"] |= {
            "uid": f"uid-{number}",
            "creationTimestamp": rfc3339(self.time),
            "generation": 1,
            "resourceVersion": str(number),
        }
        self._objects[key] = made
        return made

    def update(self, obj: Obj) -> Obj:
        key = (obj["kind"], *key_of(obj))
        before, made = self._objects[key], copy.deepcopy(obj)
        if before.get("spec") != made.get("spec"):
            made["metadata"]["generation"] += 1
        made["metadata"]["resourceVersion"] = str(next(self._serial))
        self._objects[key] = made
        return made

    def delete(self, kind: str, namespace: str, name: str) -> None:
        gone = self._objects.pop((kind, namespace, name), None)
        if gone is None:
            return
        for (kind_, space, name_), obj in list(self._objects.items()):
            owners = obj["metadata"].get("ownerReferences") or ()
            if any(o["uid"] == gone["metadata"]["uid"] for o in owners):
                self.delete(kind_, space, name_)

    def event(
        self, regarding: Obj, reason: str, message: str, type: str = "Normal", component: str = ""
    ) -> None:
        self.events.append((regarding["metadata"]["name"], reason, message))

    def now(self) -> float:
        return self.time

    def wall_s(self, simulated_s: float) -> float:
        return simulated_s

    # What tests use.

    def run(self, seconds: float) -> None:
        """Let the time pass, stopping wherever the controllers have something to do."""
        end = self.time + seconds
        while True:
            due = reconcile(self)
            if due is None or due > end:
                break
            assert due > self.time
            self.time = due
        self.time = end
        reconcile(self)

    def add(self, kind: str, name: str, spec: Obj, api: str = "v1", **meta: Any) -> Obj:
        """Create an object in the namespace `default`."""
        head = {"name": name, "namespace": "default", **meta}
        return self.create({"apiVersion": api, "kind": kind, "metadata": head, "spec": spec})

    def change(self, kind: str, name: str, **spec: Any) -> None:
        """Set fields of a spec."""
        made = copy.deepcopy(self._objects[kind, "default", name])
        made["spec"] |= spec
        self.update(made)

    def pods(self) -> list[Obj]:
        """All pods."""
        return self.list("Pod")

    def reasons(self, name: str) -> list[str]:
        """Reasons of the events about an object."""
        return [reason for about, reason, _ in self.events if about == name]


def node(name: str, pool: str = "p", chips: int = 4, **spec: Any) -> Obj:
    """A ready node; with chips as GKE taints and labels it."""
    allocatable = {"cpu": "8", "memory": "32Gi", "pods": "110"}
    labels = {"cloud.google.com/gke-nodepool": pool, "topology.gke.io/zone": "us-central1-c"}
    if chips:
        allocatable["google.com/tpu"] = str(chips)
        labels["cloud.google.com/gke-tpu-topology"] = "2x2x1"
        taint = {"key": "google.com/tpu", "value": "present", "effect": "NoSchedule"}
        spec.setdefault("taints", [taint])
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
        "status": {
            "allocatable": allocatable,
            "addresses": [{"type": "InternalIP", "address": "10.0.0.2"}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def template(chips: int = 0, image: str = "server:1", **spec: Any) -> Obj:
    """A pod template labelled app=a."""
    container: Obj = {"name": "server", "image": image}
    if chips:
        container["resources"] = {"limits": {"google.com/tpu": str(chips)}}
    return {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [container], **spec}}
