"""One pass over a cluster's state: lists read once, what a pass changes, when to look again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from emulator.apis.kubernetes.controllers.contract import Obj, State
from emulator.apis.kubernetes.controllers.objects import (
    Key,
    controller_of,
    going,
    key_of,
    name_of,
    namespace_of,
    uid_of,
)
from emulator.apis.kubernetes.status import StatusError
from emulator.clock import rfc3339

if TYPE_CHECKING:
    from emulator.apis.gke.model import Cluster
    from emulator.context import Cloud


@dataclass(slots=True)
class Life:
    """What the kubelet remembers of a pod, in Unix seconds.

    Attributes:
        bound_at: assigned to its node. mounted_at: its volumes were there.
        pulled_at: image → there since. killed_at: told to stop. unready_at: node lost since.
        told: events reported so far.
        rests: versions of pod and node with which it stands as it is, until `next_at`.
    """

    bound_at: float
    mounted_at: float | None = None
    pulled_at: dict[str, float] = field(default_factory=dict)
    killed_at: float | None = None
    unready_at: float | None = None
    told: set[str] = field(default_factory=set)
    rests: tuple[str, str] | None = None
    next_at: float | None = None


@dataclass(slots=True)
class Notes:
    """What the controllers remember: nothing that an object's JSON could say exactly.

    Attributes:
        serial: objects made so far; generated names follow from it.
        lives: pods by uid. images: (node, image) → there since. blocks: node → number of its
            block of pod addresses. addresses: pod uid → address.
        times: anything else that began at an exact time, by name.
    """

    serial: int = 0
    lives: dict[str, Life] = field(default_factory=dict)
    images: dict[tuple[str, str], float] = field(default_factory=dict)
    blocks: dict[str, int] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)


class View:
    """The state as one pass sees it; writes go through at once.

    Attributes:
        now: Unix seconds of the pass. at: the same in RFC 3339.
        writes: changes made so far. due: Unix seconds at which to look again, if any.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self.now = state.now()
        self.at = rfc3339(self.now)
        self.writes = 0
        self.due: float | None = None
        self._lists: dict[str, dict[Key, Obj]] = {}
        self._mine: dict[str, dict[Key, Obj]] = {}
        self._owned: dict[str, dict[str, dict[Key, Obj]]] = {}

    @property
    def cloud(self) -> Cloud:
        """The project."""
        return self._state.cloud

    @property
    def cluster(self) -> Cluster:
        """GKE's view of the cluster."""
        return self._state.cluster

    @property
    def notes(self) -> Notes:
        """The controllers' memory."""
        notes: Notes = self._state.memory.setdefault("controllers", Notes())
        return notes

    def state_notes(self, topic: str, name: str) -> dict[str, Any]:
        """Notes of one controller on one thing; empty at first."""
        found: dict[str, Any] = self._state.memory.setdefault(topic, {}).setdefault(name, {})
        return found

    def keep_notes(self, topic: str, names: Collection[str]) -> None:
        """Drop a controller's notes on all things but these."""
        notes = self._state.memory.get(topic, {})
        for name in [n for n in notes if n not in names]:
            del notes[name]

    def wall_s(self, simulated_s: float) -> float:
        """Wall seconds of so many simulated ones."""
        return self._state.wall_s(simulated_s)

    def wake(self, at: float) -> None:
        """Ask to be called again then."""
        if at > self.now and (self.due is None or at < self.due):
            self.due = at

    def since(self, name: str) -> float:
        """When a thing of that name was first asked for."""
        return self.notes.times.setdefault(name, self.now)

    def forget(self, prefix: str) -> None:
        """Drop such times."""
        for name in [n for n in self.notes.times if n.startswith(prefix)]:
            del self.notes.times[name]

    def serial(self) -> int:
        """A number never given before."""
        self.notes.serial += 1
        return self.notes.serial

    def _of(self, kind: str) -> dict[Key, Obj]:
        if kind not in self._lists:
            self._lists[kind] = {key_of(o): o for o in self._state.list(kind)}
        return self._lists[kind]

    def all(self, kind: str) -> list[Obj]:
        """Every object of a kind."""
        return list(self._of(kind).values())

    def mine(self, kind: str) -> list[Obj]:
        """Those that callers or controllers made."""
        return list(self._made(kind).values())

    def _made(self, kind: str) -> dict[Key, Obj]:
        if kind not in self._mine:
            self._of(kind)  # `_keep` tells by it what is new from what was not made
            self._mine[kind] = {key_of(o): o for o in self._state.made(kind)}
        return self._mine[kind]

    def get(self, kind: str, namespace: str, name: str) -> Obj | None:
        """One object."""
        return self._of(kind).get((namespace, name))

    def owned(self, owner: Obj, kind: str) -> list[Obj]:
        """Objects of a kind that the owner controls, those on their way out too; by name."""
        if kind not in self._owned:
            self._owned[kind] = {}
            for key, obj in self._made(kind).items():
                self._index(kind, key, obj)
        return in_order(self._owned[kind].get(uid_of(owner), {}).values())

    def _index(self, kind: str, key: Key, obj: Obj) -> None:
        reference = controller_of(obj)
        if reference is not None:
            self._owned[kind].setdefault(str(reference["uid"]), {})[key] = obj

    def create(self, obj: Obj) -> Obj:
        """Add it; StatusError when the API refuses."""
        made = self._state.create(obj)
        self._keep(made)
        return made

    def put(self, obj: Obj) -> Obj:
        """Replace what there is, unless it is the same."""
        if obj == self.get(obj["kind"], *key_of(obj)):
            return obj
        made = self._state.update(obj)
        if going(obj) and not obj["metadata"].get("finalizers") and obj["kind"] != "Pod":
            self._drop(obj["kind"], key_of(obj))
        else:
            self._keep(made)
        return made

    def put_status(self, obj: Obj, status: Obj) -> Obj:
        """The object with another status."""
        if obj.get("status") == status:
            return obj
        return self.put({**deepcopy(obj), "status": status})

    def delete(self, obj: Obj) -> None:
        """Remove it at once; what it owned goes too, so that the lists are read anew."""
        self._state.delete(obj["kind"], namespace_of(obj), name_of(obj))
        self._lists.clear()
        self._mine.clear()
        self._owned.clear()
        self.writes += 1

    def remove(self, obj: Obj) -> None:
        """Remove something that owns nothing."""
        self._state.delete(obj["kind"], namespace_of(obj), name_of(obj))
        self._drop(obj["kind"], key_of(obj))

    def event(
        self, regarding: Obj, component: str, reason: str, message: str, *, warning: bool = False
    ) -> None:
        """Report an event."""
        kind = "Warning" if warning else "Normal"
        self._state.event(regarding, reason, message, kind, component)

    def once(
        self, regarding: Obj, component: str, reason: str, message: str, *, warning: bool = False
    ) -> None:
        """Report it unless just that was the last that one was told of the object."""
        told = self._state.memory.setdefault("told", {})
        mark = (uid_of(regarding), component)
        if told.get(mark) != (reason, message):
            told[mark] = (reason, message)
            self.event(regarding, component, reason, message, warning=warning)

    def _keep(self, obj: Obj) -> None:
        self.writes += 1
        kind, key = obj["kind"], key_of(obj)
        listing = self._of(kind)
        derived = key in listing and kind in self._mine and key not in self._mine[kind]
        self._forget(kind, key)
        listing[key] = obj
        if derived:
            return
        if kind in self._mine:
            self._mine[kind][key] = obj
        if kind in self._owned:
            self._index(kind, key, obj)

    def _drop(self, kind: str, key: Key) -> None:
        self.writes += 1
        self._forget(kind, key)
        self._of(kind).pop(key, None)
        self._mine.get(kind, {}).pop(key, None)

    def _forget(self, kind: str, key: Key) -> None:
        """Take what was there out of the index by owners."""
        old = self._of(kind).get(key)
        reference = controller_of(old) if old else None
        if reference is not None and kind in self._owned:
            self._owned[kind].get(str(reference["uid"]), {}).pop(key, None)


Controller = Callable[[View], None]


def refusal(attempt: Callable[[], Any]) -> str:
    """Why the API refused; "" when it did not."""
    try:
        attempt()
    except StatusError as error:
        return error.message
    return ""


def in_order(objs: Iterable[Obj]) -> list[Obj]:
    """By namespace and name."""
    return sorted(objs, key=key_of)
