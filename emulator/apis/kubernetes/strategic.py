"""Strategic merge patch: Kubernetes' own, which merges lists by the keys that the schema names."""

from __future__ import annotations

from typing import Any

from emulator.apis.kubernetes.overlays import merged


def strategic_merge(model: str, current: dict[str, Any], patch: dict[str, Any]) -> Any:
    """The object after the patch."""
    return merged(current, patch)
