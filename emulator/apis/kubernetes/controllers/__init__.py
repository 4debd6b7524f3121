"""The controllers of a cluster: what makes pods, volumes and endpoints follow from what is asked.

`reconcile` is all that the API server calls; contract.py says what it has to offer.
"""

from __future__ import annotations

from emulator.apis.kubernetes.controllers.contract import State


def reconcile(state: State) -> float | None:
    """Converge as far as the state's `now()` allows; the next Unix second at which something
    changes by itself, None if never.
    """
    return None
