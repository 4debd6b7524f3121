"""One cluster's state as controllers and the API server's writes see it: `ClusterState`.

It is what controllers/contract.py asks for: `list`, `get`, `create`, `update`, `delete`, `event`,
`made`, `now` and `wall_s` on plain JSON objects. Below them are `insert`, `replace` and `erase`,
which the API server's own writes use once they have checked a request. What is left to clean up
after a deletion stands in garbage.py; versions and watches are store.py's.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from emulator.apis.gke.bounds import autoscaled
from emulator.apis.kubernetes import custom, defaults, garbage
from emulator.apis.kubernetes.aging import Aging
from emulator.apis.kubernetes.naming import suffix, uid_of
from emulator.apis.kubernetes.notes import as_new_event, noted
from emulator.apis.kubernetes.overlays import Overlays
from emulator.apis.kubernetes.resources import (
    DEFINITIONS,
    EVENTS,
    NAMESPACES,
    NEW_EVENTS,
    NODES,
    PODS,
    SERVICE_ACCOUNTS,
    Kind,
    Kinds,
)
from emulator.apis.kubernetes.status import (
    already_exists,
    bad_request,
    namespace_going,
    no_such_object,
)
from emulator.apis.kubernetes.store import Item, ObjectStore
from emulator.clock import rfc3339

if TYPE_CHECKING:
    from emulator.apis.gke.model import Cluster
    from emulator.context import Cloud

Obj = dict[str, Any]
_LOG = logging.getLogger("emulator")
_ROUNDS: Final = 40  # of controllers answering each other at one moment
_LEAST_S: Final = 0.05
_TIMES: Final = 2_000  # due moments that one look works off


class ClusterState:
    """All objects of a cluster, stored and derived; callers hold the store's lock.

    Args:
        reconcile: the controllers; called after each write and when the time it gave has come.
    """

    def __init__(
        self,
        cloud: Cloud,
        cluster: Cluster,
        kinds: Kinds,
        overlays: Overlays,
        reconcile: Callable[[Any], float | None],
    ) -> None:
        self.cloud, self.cluster, self.kinds, self.overlays = cloud, cluster, kinds, overlays
        self.memory: dict[str, Any] = {}
        self.store: ObjectStore
        self._reconcile = reconcile
        self._due: float | None = None
        self._at: float | None = None
        self._seen = -1
        self._aging = Aging()
        self.untidy = False  # whether a deletion may have to be carried on
        self._lives: dict[tuple[str, str, str], int] = {}
        self._generated: dict[tuple[str, str, str], int] = {}

    # What controllers use.

    def list(self, kind: str, namespace: str | None = None) -> list[Obj]:
        """Objects of a kind, read only, by namespace and name."""
        found = self.kinds.named(kind)
        if found is None:
            return []
        items = self.store.peek(found).values()
        return [i.body for i in items if namespace in (None, i.namespace)]

    def get(self, kind: str, namespace: str, name: str) -> Obj | None:
        """One object, read only; namespace "" for what has none."""
        found = self.kinds.named(kind)
        item = self.item(found, namespace, name) if found else None
        return item.body if item else None

    def made(self, kind: str) -> list[Obj]:
        """Those of a kind that callers or controllers made, read only, by namespace and name."""
        found = self.kinds.named(kind)
        return [i.body for i in self.store.peek(found).values() if i.stored] if found else []

    def create(self, obj: Obj) -> Obj:
        """Add an object; raises StatusError (409, or 403 in a namespace that is going)."""
        kind, body = self.kind_of(obj), copy.deepcopy(obj)
        defaults.fill(self, kind, body, None)
        return self.insert(kind, body).body

    def update(self, obj: Obj) -> Obj:
        """Put it in place of what there is, whole; raises StatusError 404."""
        kind = self.kind_of(obj)
        old = self.item(kind, *_place(obj))
        if old is None:
            raise no_such_object(kind, _place(obj)[1])
        body = copy.deepcopy(obj)
        meta = body["metadata"]
        if meta.get("deletionTimestamp") and not meta.get("finalizers") and kind is not PODS:
            self.erase(old)
            return body
        return self.replace(old, body).body

    def delete(self, kind: str, namespace: str, name: str) -> None:
        """Remove it, or mark it if it has finalizers; what it owns follows."""
        found = self.kinds.named(kind)
        item = self.item(found, namespace, name) if found else None
        if item is not None:
            self.end(item)

    def event(
        self, regarding: Obj, reason: str, message: str, type: str = "Normal", component: str = ""
    ) -> None:
        """Report an event about an object; the same one again counts up."""
        kind = self.kind_of(regarding)
        body = noted(regarding, kind, reason, message, type, component, self.now())
        old = self.item(EVENTS, *_place(body))
        if old is None or not old.stored:
            self.insert(EVENTS, body, checked=False)
            return
        again = copy.deepcopy(old.body)
        again["count"] = int(again.get("count") or 1) + 1
        again["lastTimestamp"] = rfc3339(self.now())
        self.replace(old, again)

    def now(self) -> float:
        """Unix seconds; while controllers catch up, the moment that they are at."""
        return self.cloud.clock.now() if self._at is None else self._at

    def wall_s(self, simulated_s: float) -> float:
        """Wall seconds that so many simulated ones take."""
        return self.cloud.clock.wall_s(simulated_s)

    # What the API server's writes use besides.

    def kind_of(self, obj: Obj) -> Kind:
        """The kind of an object; raises StatusError 400."""
        kind = self.kinds.of(str(obj.get("apiVersion")), str(obj.get("kind")))
        if kind is None:
            raise bad_request(f"no kind {obj.get('kind')!r} in {obj.get('apiVersion')!r}")
        return kind

    def item(self, kind: Kind, namespace: str, name: str) -> Item | None:
        """The object as it is now."""
        return self.store.find(kind, namespace, name)

    def insert(self, kind: Kind, body: Obj, *, checked: bool = True, dry: bool = False) -> Item:
        """Add an object: name, uid, creation time and generation are given here.

        `checked`: its namespace must be there. `dry`: make it, but do not keep it.
        """
        meta = body.setdefault("metadata", {})
        namespace = str(meta.get("namespace", "")) if kind.namespaced else ""
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = self.generated(kind, namespace, str(meta["generateName"]))
        name = str(meta["name"])
        if self.item(kind, namespace, name) is not None:
            raise already_exists(kind, name)
        if checked and namespace:
            self.check_namespace(kind, namespace, name)
        life = self._lives.get((kind.qualified, namespace, name), 0) + 1
        seed = self.cloud.seed
        meta["uid"] = uid_of(kind.qualified, namespace, name, seed, self.cluster.name, life)
        meta["creationTimestamp"] = rfc3339(self.now())
        if "spec" in body:
            meta["generation"] = 1
        body["kind"], body["apiVersion"] = kind.name, kind.api_version
        defaults.with_uid(kind, body)
        if dry:
            return Item(kind, namespace, name, 0, None, body, b"", stored=True)
        self._lives[kind.qualified, namespace, name] = life
        if prefix := meta.get("generateName"):
            key = (kind.qualified, namespace, str(prefix))
            self._generated[key] = self._generated.get(key, 0) + 1
        self.untidy = self.untidy or bool(meta.get("ownerReferences"))
        item = self.store.put(kind, namespace, name, body)
        self._after(kind, item)
        return item

    def replace(self, old: Item, body: Obj, *, dry: bool = False) -> Item:
        """Another content under the same identity; nothing happens when none of it differs."""
        kind, before = old.kind, old.body
        meta, was = body["metadata"], before["metadata"]
        for key in ("uid", "creationTimestamp", "name", "namespace"):
            if key in was:
                meta[key] = was[key]
        meta["resourceVersion"] = was["resourceVersion"]
        if "spec" in body or "spec" in before:
            grown = body.get("spec") != before.get("spec")
            meta["generation"] = int(was.get("generation", 1)) + grown
        if body == before:
            return old
        if dry:
            return Item(kind, old.namespace, old.name, old.version, None, body, b"", old.stored)
        if not old.stored:
            self.overlays.edit((kind, old.namespace, old.name), before, body)
            if kind is NODES:
                cordoned = bool(body["spec"].get("unschedulable"))
                self.overlays.cordon(old.name, cordoned, self.now())
            self.store.forget()
            self.store.refresh()
            return self.item(kind, old.namespace, old.name) or old
        item = self.store.put(kind, old.namespace, old.name, body)
        if meta.get("deletionTimestamp") or kind is PODS:
            self.untidy = True
        self._after(kind, item)
        return item

    def erase(self, old: Item) -> None:
        """Take it out, whatever finalizers it has."""
        self.untidy = True
        if not old.stored:
            garbage.hide(self, old)
            return
        self.store.remove(old.kind, old.namespace, old.name)
        if old.kind is DEFINITIONS:
            self._end_kinds(old)
        if old.kind is EVENTS:
            self.store.remove(NEW_EVENTS, old.namespace, old.name)

    def _end_kinds(self, definition: Item) -> None:
        """With a CRD go all objects that it defined."""
        for kind in custom.kinds_of(definition.body):
            for item in list(self.store.peek(kind).values()):
                self.store.remove(kind, item.namespace, item.name)
        self.kinds.define(definition.name, ())

    def end(self, old: Item) -> None:
        """Delete at once, unless finalizers keep it until they are gone."""
        if old.body["metadata"].get("finalizers") and old.stored:
            self.mark_deleted(old, 0)
        else:
            self.erase(old)

    def adopt(self, old: Item) -> Item:
        """Keep an object that follows from the fleet as if it had been put in."""
        self.overlays.hide([(old.kind, old.namespace, old.name)])
        return self.store.put(old.kind, old.namespace, old.name, copy.deepcopy(old.body))

    def mark_deleted(self, old: Item, grace_s: int) -> Item:
        """Give it a deletionTimestamp, if it has none."""
        body = copy.deepcopy(old.body)
        if body["metadata"].get("deletionTimestamp"):
            return old
        body["metadata"]["deletionTimestamp"] = rfc3339(self.now() + grace_s)
        body["metadata"]["deletionGracePeriodSeconds"] = grace_s
        if old.kind is NAMESPACES:
            body["status"] = {"phase": "Terminating"}
        return self.replace(old, body)

    def generated(self, kind: Kind, namespace: str, prefix: str) -> str:
        """The next name from generateName; the same calls get the same ones in another process."""
        key = (kind.qualified, namespace, prefix)
        count = self._generated.get(key, 0)
        while True:
            count += 1
            name = prefix[:58] + suffix(f"{self.cloud.seed}/{'/'.join(key)}/{count}")
            if self.item(kind, namespace, name) is None:
                return name

    def check_namespace(self, kind: Kind, namespace: str, name: str) -> None:
        """Refuse what is to go into a namespace that is not there, or going."""
        found = self.item(NAMESPACES, "", namespace)
        if found is None:
            raise no_such_object(NAMESPACES, namespace)
        if found.body["metadata"].get("deletionTimestamp"):
            raise namespace_going(kind, name, namespace)

    # What keeps it going.

    def settle(self, changed: bool) -> None:
        """Let the controllers work off what is due, and what changed."""
        now = self.cloud.clock.now()
        for _ in range(_TIMES):
            if self._due is None or self._due > now:
                break
            self._run(self._due)
        if changed or self.store.version != self._seen:
            self._run(now)

    @property
    def active(self) -> bool:
        """Whether there is anything for controllers to do, now or later."""
        return self.store.stored() or bool(self.memory) or autoscaled(self.cluster)

    def due(self) -> float | None:
        """When something changes by itself next, in Unix seconds."""
        return self._due

    def _run(self, at: float) -> None:
        self._at = at
        try:
            for _ in range(_ROUNDS):
                before = self.store.version
                self._forget_events(at)
                garbage.collect(self)
                self._due = self._ask(at)
                if self.store.version == before:
                    break
        finally:
            self._at = None
            self._seen = self.store.version

    def _ask(self, at: float) -> float | None:
        old = self._aging.due()
        try:
            due = self._reconcile(self)
        except Exception:  # noqa: BLE001 - a faulty controller must not take the API server along
            _LOG.exception("a controller of %s failed", self.cluster.name)
            return old
        times = [t for t in (old, max(due, at + _LEAST_S) if due else None) if t is not None]
        return min(times, default=None)

    def _forget_events(self, at: float) -> None:
        for namespace, name in self._aging.overdue(at):
            for kind in (EVENTS, NEW_EVENTS):
                self.store.remove(kind, namespace, name)

    def _after(self, kind: Kind, item: Item) -> None:
        """What comes along with an object of that kind."""
        if kind is NAMESPACES and not self.item(SERVICE_ACCOUNTS, item.name, "default"):
            meta = {"name": "default", "namespace": item.name}
            if not item.body["metadata"].get("deletionTimestamp"):
                self.insert(SERVICE_ACCOUNTS, {"metadata": meta})
        if kind is DEFINITIONS:
            self.kinds.define(item.name, custom.kinds_of(item.body))
        elif kind is EVENTS:
            self._aging.note((item.namespace, item.name), self.now())
            self.store.put(NEW_EVENTS, item.namespace, item.name, as_new_event(item.body))


def _place(obj: Obj) -> tuple[str, str]:
    meta = obj.get("metadata", {})
    return str(meta.get("namespace", "")), str(meta.get("name", ""))
