"""Whose field is whose: managedFields, and server-side apply, which goes by them."""

from __future__ import annotations

from typing import Any

from emulator.apis.kubernetes.overlays import merged
from emulator.apis.kubernetes.resources import Kind

Obj = dict[str, Any]


def note(
    body: Obj, written: Obj | None, old: Obj | None, manager: str, operation: str, at: float,
    kind: Kind, sub: str,
) -> None:  # fmt: skip
    """Enter into the body's managedFields what the manager changed."""


def applied(kind: Kind, old: Obj, wanted: Obj, manager: str, force: bool, sub: str) -> Obj:
    """The object with another configuration applied by its manager."""
    return merged(old, wanted)
