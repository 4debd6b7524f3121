"""Counts XLA's compilations: after the server is ready there should be none but expected ones.

What does not live here: what is compiled ahead (`programs`).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import jax

_COMPILE_EVENT = "/jax/core/compile/backend_compile_duration"
_expecting = threading.local()


@contextlib.contextmanager
def expected() -> Iterator[None]:
    """What this thread compiles meanwhile is not counted: no request waits for it."""
    _expecting.now = True
    try:
        yield
    finally:
        _expecting.now = False


def count_compilations(count: Callable[[], None]) -> None:
    """Call `count` at every unexpected XLA compilation of this process from now on."""

    def listen(event: str, _duration_s: float, **_: object) -> None:
        # XLA tells of a compilation on the thread that asked for it.
        if event == _COMPILE_EVENT and not getattr(_expecting, "now", False):
            count()

    jax.monitoring.register_event_duration_secs_listener(listen)
