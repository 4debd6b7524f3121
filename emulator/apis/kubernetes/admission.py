"""What an object must be before it is stored: its form, its defaults, its rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emulator.apis.kubernetes.resources import Kind

if TYPE_CHECKING:
    from emulator.apis.kubernetes.cluster_state import ClusterState


def check_form(kind: Kind, body: dict[str, Any], validation: str, warnings: list[str]) -> None:
    """Types and unknown fields."""


def admit(
    state: ClusterState,
    kind: Kind,
    body: dict[str, Any],
    old: dict[str, Any] | None,
    sub: str = "",
    checked: bool = True,
) -> None:
    """Fill in defaults and check the rules."""
