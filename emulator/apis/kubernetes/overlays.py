"""What callers changed on objects that follow from the fleet: laid over them as they are made.

A change of such an object is kept as the difference in metadata and spec (a JSON merge patch), so
that the rest goes on following. What was deleted is hidden; a deleted server pod begins anew.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from emulator.apis.kubernetes.drafts import Draft
from emulator.apis.kubernetes.resources import Kind

Key = tuple[Kind, str, str]  # kind, namespace, name
# The rest of metadata is the API server's own.
_OWN: Final = ("labels", "annotations", "finalizers", "managedFields", "generation")


@dataclass(slots=True)
class Overlays:
    """Of one cluster.

    Attributes:
        edits: the merge patch of each changed object. hidden: what was deleted.
        restarts: (namespace, pod) → Unix seconds at which it was deleted last.
        cordons: node → Unix seconds at which callers cordoned it, and uncordoned it (None: not).
        version: counts changes, for caches.
    """

    edits: dict[Key, dict[str, Any]] = field(default_factory=dict)
    hidden: set[Key] = field(default_factory=set)
    restarts: dict[tuple[str, str], float] = field(default_factory=dict)
    cordons: dict[str, tuple[float, float | None]] = field(default_factory=dict)
    version: int = 0

    def edit(self, key: Key, shown: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        """Keep what differs between the object as it is shown and as it was written."""
        difference: dict[str, Any] = {}
        for part in ("metadata", "spec"):
            before, after = shown.get(part, {}), wanted.get(part, {})
            if part == "metadata":
                before, after = _own(before), _own(after)
            if found := merge_difference(before, after):
                difference[part] = found
        kept = copy.deepcopy(self.edits.get(key, {}))
        self.edits[key] = _joined(kept, difference)
        self.version += 1

    def hide(self, keys: Iterable[Key]) -> None:
        """Show those no longer."""
        self.hidden.update(keys)
        self.version += 1

    def restart(self, namespace: str, pod: str, at: float) -> None:
        """The pod was deleted; the next one of its name begins."""
        self.restarts[namespace, pod] = at
        self.version += 1

    def cordon(self, node: str, cordoned: bool, at: float) -> None:
        """The node takes no new pods, or takes them again."""
        began, ended = self.cordons.get(node, (0.0, 0.0))
        if cordoned and ended is not None:
            self.cordons[node] = (at, None)
        elif not cordoned and ended is None:
            self.cordons[node] = (began, at)

    def drop(self, key: Key) -> None:
        """Forget what was changed on an object that is gone."""
        self.edits.pop(key, None)
        self.cordons.pop(key[2], None)
        self.version += 1

    def begins(self, namespace: str, pod: str, node: str) -> tuple[float, float | None] | None:
        """When a pod that was deleted is there again and when it starts; None if it was not.

        It starts at once, unless its node was cordoned then: when that ended (None: not yet).
        """
        at = self.restarts.get((namespace, pod))
        if at is None:
            return None
        began, ended = self.cordons.get(node, (0.0, 0.0))
        held = began <= at and (ended is None or at < ended)
        return at, ended if held else at

    def replicas(self, key: Key, default: int) -> int:
        """How many replicas a caller asked for; what the pools give unless one did."""
        asked = self.edits.get(key, {}).get("spec", {}).get("replicas")
        return default if asked is None else int(asked)

    def laid_over(self, drafts: Iterable[Draft]) -> Iterator[Draft]:
        """The drafts as callers left them."""
        for draft in drafts:
            key = (draft.kind, draft.namespace, draft.name)
            if key in self.hidden:
                continue
            if edit := self.edits.get(key):
                yield replace(
                    draft, fingerprint=(draft.fingerprint, repr(edit)), make=_edited(draft, edit)
                )
            else:
                yield draft


def _edited(draft: Draft, edit: dict[str, Any]) -> Any:
    def make() -> dict[str, Any]:
        body: dict[str, Any] = merged(draft.make(), edit)
        status, generation = body.get("status", {}), body["metadata"].get("generation")
        # What a caller asked for is seen at once.
        if generation and "observedGeneration" in status:
            body["status"] = {**status, "observedGeneration": generation}
        return body

    return make


def _own(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {key: metadata[key] for key in _OWN if key in metadata}


def merged(target: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7396) applied; neither argument is changed."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def merge_difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The merge patch that leads from one to the other."""
    found: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            if inner := merge_difference(old, value):
                found[key] = inner
        elif key not in before or old != value:
            found[key] = value
    return found


def _joined(kept: dict[str, Any], newer: dict[str, Any]) -> dict[str, Any]:
    """One patch that does what both do, one after the other; removals stay in it."""
    for key, value in newer.items():
        if isinstance(value, dict) and isinstance(kept.get(key), dict):
            _joined(kept[key], value)
        else:
            kept[key] = copy.deepcopy(value)
    return kept
