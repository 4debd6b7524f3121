"""One cluster's objects with their resourceVersions: kept current, listed, watched.

Some follow from fleet, clock and world (`derive`), some were put in by callers and controllers
(`put`, `remove`); one that was put in hides one that follows under the same name. This keeps what
they were, so that a change gets a new version and a watch can replay it, in one stream for both.
Nothing here knows what a node or pod is.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from emulator.apis.kubernetes.drafts import Draft
from emulator.apis.kubernetes.resources import Kind

_HISTORY: Final = 20_000  # changes that a watch can still replay
_ROUNDS: Final = 8  # of controllers changing what follows from the fleet at one instant
_LISTS: Final = 32  # versions of each list that a continue token can still read


@dataclass(frozen=True, slots=True)
class Item:
    """One object at one version; `encoded` is its JSON, `stored` whether it was put in."""

    kind: Kind
    namespace: str
    name: str
    version: int
    fingerprint: Hashable
    body: dict[str, Any]
    encoded: bytes
    stored: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """One change, as a watch tells it: ADDED, MODIFIED or DELETED; `before` is what there was."""

    version: int
    type: str
    item: Item
    before: Item | None


@dataclass(frozen=True, slots=True)
class Derived:
    """All objects that there should be, and when (Unix seconds) that may differ at the earliest.

    `moves_at`: when what controllers go by (nodes and pods) may; the rest is events.
    """

    drafts: Iterable[Draft]
    valid_until: float
    moves_at: float


Key = tuple[str, str]  # namespace, name
Listing = dict[Key, Item]


class ObjectStore:
    """Safe for threads.

    Args:
        derive: what there should be now. changed: equal as long as `derive` would say the same,
            apart from the passing of time. now: Unix seconds.
        first_version: of the first objects; greater than any of an earlier process.
        lock: guards it all; its own if none is given.
        settle: called by `converge` once what follows is current, with whether any of it may
            have changed; puts in what controllers then make.
    """

    def __init__(
        self,
        derive: Callable[[], Derived],
        changed: Callable[[], Hashable],
        now: Callable[[], float],
        first_version: int,
        lock: threading.RLock | None = None,
        settle: Callable[[bool], None] | None = None,
    ) -> None:
        self._derive, self._changed, self._now = derive, changed, now
        self._settle = settle
        self._settling = False
        self._lock = lock or threading.RLock()
        self._version = first_version
        self._lists: dict[Kind, Listing] = {}
        self._past: dict[Kind, dict[int, Listing]] = {}
        self._history: deque[Change] = deque(maxlen=_HISTORY)
        self._oldest = first_version
        self._mark: Hashable = object()
        self._valid_until = self._moves_at = self._derived_at = 0.0
        self._started = False
        self._put = 0
        # What follows from the fleet, but was put in under the same name.
        self._hidden: set[tuple[Kind, Key]] = set()
        self._latest: dict[Kind, int] = {}
        # Kinds whose objects somebody has, and those that are not in order.
        self._shared: set[Kind] = set()
        self._loose: set[Kind] = set()

    def refresh(self) -> int:
        """Bring what follows up to date; returns the version then in force. Cheap when nothing
        changed. Controllers do nothing: readers come at any time.
        """
        with self._lock:
            if not self._settling:
                mark = self._changed()
                if mark != self._mark or self._now() >= self._valid_until:
                    self._follow(mark)
            return self._version

    def converge(self) -> float:
        """Let controllers answer what there is at this instant, which is a change's or an effect's.

        Returns:
            Unix seconds at which nodes or pods may differ without a change.
        """
        with self._lock:
            if self._settling or self._settle is None:
                return self._moves_at
            self._settling = True
            try:
                for _ in range(_ROUNDS):
                    now, mark = self._now(), self._changed()
                    # A reader may have looked at a later time than that of this instant.
                    moved = mark != self._mark or not self._derived_at <= now < self._moves_at
                    if moved:
                        self._follow(mark)
                    self._settle(moved)
                    if self._changed() == self._mark:
                        break
            finally:
                self._settling = False
            return self._moves_at

    def _follow(self, mark: Hashable) -> None:
        derived, now = self._derive(), self._now()
        self._apply(derived.drafts)
        self._mark, self._derived_at = mark, now
        self._valid_until, self._moves_at = derived.valid_until, derived.moves_at

    @property
    def version(self) -> int:
        """Of the last change, without looking for newer ones."""
        return self._version

    def peek(self, kind: Kind) -> Listing:
        """Objects of a kind as they were last seen; not to be changed, nor kept over a change."""
        if kind in self._loose:
            self._loose.discard(kind)
            self._lists[kind] = dict(sorted(self._lists[kind].items()))
            self._shared.discard(kind)
        return self._lists.get(kind, {})

    def find(self, kind: Kind, namespace: str, name: str) -> Item | None:
        """One object as it was last seen."""
        return self._lists.get(kind, {}).get((namespace, name))

    def _own(self, kind: Kind) -> Listing:
        """The objects of a kind to be changed: a copy when somebody has them."""
        listing = self._lists.get(kind, {})
        if kind in self._shared or kind not in self._lists:
            listing = self._lists[kind] = dict(listing)
            self._shared.discard(kind)
        return listing

    def stored(self) -> bool:
        """Whether anything was put in."""
        return self._put > 0

    def put(self, kind: Kind, namespace: str, name: str, body: dict[str, Any]) -> Item:
        """Add an object, or take it in another's place; sets its resourceVersion."""
        with self._lock:
            key = (namespace, name)
            listing = self._own(kind)
            old = listing.get(key)
            draft = Draft(kind, namespace, name, None, lambda: body)
            item = listing[key] = self._make(draft, stored=True)
            if old is None:
                self._loose.add(kind)
            if old is None or not old.stored:
                self._put += 1
            if old is not None and not old.stored:
                self._hidden.add((kind, key))
            self._note("ADDED" if old is None else "MODIFIED", item, old)
            return item

    def remove(self, kind: Kind, namespace: str, name: str) -> Item | None:
        """Take out what was put in; what follows under its name shows again."""
        with self._lock:
            old = self._lists.get(kind, {}).get((namespace, name))
            if old is None or not old.stored:
                return None
            del self._own(kind)[namespace, name]
            self._put -= 1
            self._version += 1
            gone = _at(old, self._version)
            self._note("DELETED", gone, old)
            if (kind, (namespace, name)) in self._hidden:
                self._hidden.discard((kind, (namespace, name)))
                self.forget()
            return gone

    def forget(self) -> None:
        """Derive anew at the next look, whatever the marks say."""
        self._mark = object()

    def list(self, kind: Kind, version: int | None = None) -> tuple[int, Listing] | None:
        """(version, objects) now or at an earlier version; None when that is forgotten."""
        with self._lock:
            current = self.refresh()
            if version is None or version == current:
                return current, self._keep(kind, current)
            found = self._past.get(kind, {}).get(version)
            return None if found is None else (version, found)

    def changes_since(self, version: int, kind: Kind) -> list[Change] | None:
        """Changes of a kind after a version, oldest first; None when those are forgotten."""
        with self._lock:
            self.refresh()
            if version < self._oldest:
                return None
            if self._latest.get(kind, 0) <= version:
                return []
            return [c for c in self._history if c.version > version and c.item.kind == kind]

    def _keep(self, kind: Kind, version: int) -> Listing:
        """The objects as they are now, which stay so for whoever goes on with them later."""
        past, listing = self._past.setdefault(kind, {}), self.peek(kind)
        past[version] = listing
        self._shared.add(kind)
        while len(past) > _LISTS:
            del past[next(iter(past))]
        return listing

    def _apply(self, drafts: Iterable[Draft]) -> None:
        first, self._started = not self._started, True
        fresh = self._stored_lists()
        for draft in drafts:
            key = (draft.namespace, draft.name)
            old = self._lists.get(draft.kind, {}).get(key)
            if old is not None and old.stored:
                self._hidden.add((draft.kind, key))
                continue
            if old is not None and old.fingerprint == draft.fingerprint:
                fresh.setdefault(draft.kind, {})[key] = old
                continue
            item = self._make(draft)
            fresh.setdefault(draft.kind, {})[key] = item
            if not first and old is not None and _uid(old) != _uid(item):
                self._note("DELETED", _at(old, self._version), old)
                item, old = self._make(draft), None
                fresh[draft.kind][key] = item
            if not first:
                self._note("ADDED" if old is None else "MODIFIED", item, old)
        for kind, listing in self._lists.items():
            for key in listing.keys() - fresh.get(kind, {}).keys():
                self._version += 1
                self._note("DELETED", _at(listing[key], self._version), listing[key])
        # As the API server does: by namespace and name.
        self._lists = {kind: dict(sorted(found.items())) for kind, found in fresh.items()}
        self._shared.clear()
        self._loose.clear()
        if first:
            self._oldest = self._version

    def _stored_lists(self) -> dict[Kind, Listing]:
        if not self._put:
            return {}
        return {
            kind: found
            for kind, listing in self._lists.items()
            if (found := {key: item for key, item in listing.items() if item.stored})
        }

    def _make(self, draft: Draft, stored: bool = False) -> Item:
        self._version += 1
        return _encode(draft, draft.make(), self._version, stored)

    def _note(self, change: str, item: Item, before: Item | None) -> None:
        if len(self._history) == self._history.maxlen:
            self._oldest = self._history[0].version
        self._latest[item.kind] = item.version
        self._history.append(Change(item.version, change, item, before))


def _encode(draft: Draft, body: dict[str, Any], version: int, stored: bool) -> Item:
    body["metadata"]["resourceVersion"] = str(version)
    encoded = json.dumps(body, separators=(",", ":")).encode()
    return Item(
        draft.kind, draft.namespace, draft.name, version, draft.fingerprint, body, encoded, stored
    )


def _uid(item: Item) -> object:
    return item.body["metadata"].get("uid")


def _at(item: Item, version: int) -> Item:
    body = {**item.body, "metadata": {**item.body["metadata"], "resourceVersion": str(version)}}
    encoded = json.dumps(body, separators=(",", ":")).encode()
    return Item(item.kind, item.namespace, item.name, version, item.fingerprint, body, encoded)
