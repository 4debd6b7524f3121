"""One cluster's objects with their resourceVersions: kept current, listed, watched.

Objects follow from fleet, clock and world (`derive`); this keeps what they were, so that a change
gets a new version and a watch can replay it. Nothing here knows what a node or pod is.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from emulator.apis.kubernetes.drafts import Draft
from emulator.apis.kubernetes.resources import Kind

_HISTORY: Final = 20_000  # changes that a watch can still replay
_LISTS: Final = 32  # versions of each list that a continue token can still read


@dataclass(frozen=True, slots=True)
class Item:
    """One object at one version; `encoded` is its JSON."""

    kind: Kind
    namespace: str
    name: str
    version: int
    fingerprint: Hashable
    body: Mapping[str, Any]
    encoded: bytes


@dataclass(frozen=True, slots=True)
class Change:
    """One change, as a watch tells it: ADDED, MODIFIED or DELETED; `before` is what there was."""

    version: int
    type: str
    item: Item
    before: Item | None


@dataclass(frozen=True, slots=True)
class Derived:
    """All objects that there should be, and when (Unix seconds) that may differ at the earliest."""

    drafts: Iterable[Draft]
    valid_until: float


Key = tuple[str, str]  # namespace, name
Listing = dict[Key, Item]


class ObjectStore:
    """Safe for threads.

    Args:
        derive: what there should be now. changed: equal as long as `derive` would say the same,
            apart from the passing of time. now: Unix seconds.
        first_version: of the first objects; greater than any of an earlier process.
    """

    def __init__(
        self,
        derive: Callable[[], Derived],
        changed: Callable[[], Hashable],
        now: Callable[[], float],
        first_version: int,
    ) -> None:
        self._derive, self._changed, self._now = derive, changed, now
        self._lock = threading.RLock()
        self._version = first_version
        self._lists: dict[Kind, Listing] = {}
        self._past: dict[Kind, dict[int, Listing]] = {}
        self._history: deque[Change] = deque(maxlen=_HISTORY)
        self._oldest = first_version
        self._mark: Hashable = object()
        self._valid_until = 0.0
        self._started = False

    def refresh(self) -> int:
        """Bring all up to date; returns the version then in force. Cheap when nothing changed."""
        with self._lock:
            mark = self._changed()
            if mark != self._mark or self._now() >= self._valid_until:
                derived = self._derive()
                self._apply(derived.drafts)
                self._mark, self._valid_until = mark, derived.valid_until
            return self._version

    def list(self, kind: Kind, version: int | None = None) -> tuple[int, Listing] | None:
        """(version, objects) now or at an earlier version; None when that is forgotten."""
        with self._lock:
            current = self.refresh()
            if version is None or version == current:
                self._keep(kind, current)
                return current, self._lists.get(kind, {})
            found = self._past.get(kind, {}).get(version)
            return None if found is None else (version, found)

    def changes_since(self, version: int, kind: Kind) -> list[Change] | None:
        """Changes of a kind after a version, oldest first; None when those are forgotten."""
        with self._lock:
            self.refresh()
            if version < self._oldest:
                return None
            return [c for c in self._history if c.version > version and c.item.kind is kind]

    def _keep(self, kind: Kind, version: int) -> None:
        past = self._past.setdefault(kind, {})
        past[version] = self._lists.get(kind, {})
        while len(past) > _LISTS:
            del past[next(iter(past))]

    def _apply(self, drafts: Iterable[Draft]) -> None:
        first, self._started = not self._started, True
        fresh: dict[Kind, Listing] = {}
        for draft in drafts:
            key = (draft.namespace, draft.name)
            old = self._lists.get(draft.kind, {}).get(key)
            if old is not None and old.fingerprint == draft.fingerprint:
                fresh.setdefault(draft.kind, {})[key] = old
                continue
            item = self._make(draft)
            fresh.setdefault(draft.kind, {})[key] = item
            if not first:
                self._note("ADDED" if old is None else "MODIFIED", item, old)
        for kind, listing in self._lists.items():
            for key in listing.keys() - fresh.get(kind, {}).keys():
                self._version += 1
                self._note("DELETED", _at(listing[key], self._version), listing[key])
        # As the API server does: by namespace and name.
        self._lists = {kind: dict(sorted(found.items())) for kind, found in fresh.items()}
        if first:
            self._oldest = self._version

    def _make(self, draft: Draft) -> Item:
        self._version += 1
        body = draft.make()
        return _encode(draft, body, self._version)

    def _note(self, change: str, item: Item, before: Item | None) -> None:
        if len(self._history) == self._history.maxlen:
            self._oldest = self._history[0].version
        self._history.append(Change(item.version, change, item, before))


def _encode(draft: Draft, body: dict[str, Any], version: int) -> Item:
    body["metadata"]["resourceVersion"] = str(version)
    encoded = json.dumps(body, separators=(",", ":")).encode()
    return Item(draft.kind, draft.namespace, draft.name, version, draft.fingerprint, body, encoded)


def _at(item: Item, version: int) -> Item:
    body = {**item.body, "metadata": {**item.body["metadata"], "resourceVersion": str(version)}}
    encoded = json.dumps(body, separators=(",", ":")).encode()
    return Item(item.kind, item.namespace, item.name, version, item.fingerprint, body, encoded)
