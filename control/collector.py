"""Keeps what lives as long as the process out of the garbage collector's rounds.

Streamlit runs a full collection after each run of a page's script, and of each of its live parts.
With Google's client libraries loaded this process holds half a million objects that never go, and
a round over them stops every page for 0.2 to 0.45 s (2 cores). Frozen, they are not looked at; a
round over the rest takes a few milliseconds.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Final

_LOOK_S: Final = 1.0
_LIMIT_S: Final = 120.0  # a source that never answers does not hold up the rest


def freeze() -> int:
    """Collect once, then freeze what is left; returns how many objects are frozen now."""
    gc.collect()
    gc.freeze()
    return gc.get_freeze_count()


async def freeze_when(is_ready: Callable[[], bool]) -> int:
    """Freeze now, and once more when all that is loaded on first use was loaded.

    Returns as `freeze` does. The limit is two minutes, then it freezes what there is.
    """
    freeze()
    for _ in range(int(_LIMIT_S / _LOOK_S)):
        if is_ready():
            break
        await asyncio.sleep(_LOOK_S)
    return freeze()
