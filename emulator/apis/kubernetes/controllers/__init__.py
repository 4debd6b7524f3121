"""The controllers of a cluster: what makes pods, volumes and endpoints follow from what is asked.

`reconcile` is all that the API server calls.
"""

from __future__ import annotations

from typing import Any


def reconcile(state: Any) -> float | None:
    """Converge as far as the state's `now()` allows; the next Unix second at which something
    changes by itself, None if never.
    """
    return None
