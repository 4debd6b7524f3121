"""Keeps what lives as long as the emulator out of the garbage collector's full rounds.

A full round stops every answer. Over all types of Google's libraries and a fleet's objects it takes
a third of a second of processor time; over what is left, a few milliseconds.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any, Final

# Full rounds whose survivors are taken for lasting, too: the first reads make the fleet's objects.
_ROUNDS: Final = 4


def freeze_after(load: Callable[[], None]) -> None:
    """Load, freeze what is there then, and what the next full rounds leave."""
    load()
    gc.collect()
    gc.freeze()
    left = [_ROUNDS]

    def after(phase: str, told: dict[str, Any]) -> None:
        if phase == "stop" and told["generation"] == 2 and left[0] > 0:
            left[0] -= 1
            gc.freeze()

    gc.callbacks.append(after)
