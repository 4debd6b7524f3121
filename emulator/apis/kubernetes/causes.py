"""Causes of a 422: what is wrong with which field, in Kubernetes' own words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from emulator.apis.kubernetes.structure import shown


@dataclass(slots=True)
class Causes:
    """The broken rules of one object, in the order in which they were found."""

    found: list[dict[str, str]] = field(default_factory=list)

    def _add(self, reason: str, path: str, message: str) -> None:
        self.found.append({"reason": reason, "message": message, "field": path})

    def required(self, path: str, text: str = "") -> None:
        """A field that must be there."""
        self._add("FieldValueRequired", path, f"Required value{f': {text}' if text else ''}")

    def invalid(self, path: str, value: Any, text: str) -> None:
        """A value that breaks a rule."""
        self._add("FieldValueInvalid", path, f"Invalid value: {shown(value)}: {text}")

    def unsupported(self, path: str, value: Any, legal: tuple[str, ...]) -> None:
        """A value that is none of the legal ones."""
        told = ", ".join(f'"{one}"' for one in sorted(legal))
        text = f"Unsupported value: {shown(value)}: supported values: {told}"
        self._add("FieldValueNotSupported", path, text)

    def duplicate(self, path: str, value: Any) -> None:
        """A value that another element has too."""
        self._add("FieldValueDuplicate", path, f"Duplicate value: {shown(value)}")

    def forbidden(self, path: str, text: str) -> None:
        """A field that may not be set, or not changed."""
        self._add("FieldValueForbidden", path, f"Forbidden: {text}")

    def not_found(self, path: str, value: Any) -> None:
        """A name of nothing that is there."""
        self._add("FieldValueNotFound", path, f"Not found: {shown(value)}")
