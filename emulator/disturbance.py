"""What is to go wrong with the operations that a call begins: from the gate to operations.py."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What is to go wrong with the operations that a call begins.

    Attributes:
        rule: id of the rule that wants it.
        error: (code, message) with which they end; None: they do not end while the rule stands. An
            empty message leaves the words to the API.
    """

    rule: str
    error: tuple[str, str] | None = None


@dataclass(slots=True)
class Wanted:
    """What a rule wants of the operations that one call begins.

    Attributes:
        claim: counts the call, and tells whether the rule is for it; asked once, when the first of
            them begins.
    """

    disturbance: Disturbance
    claim: Callable[[], bool]
    _claimed: bool | None = None

    def said(self) -> list[str] | None:
        """The disturbance as the journal keeps it; None: the rule has no hits left for the call."""
        if self._claimed is None:
            self._claimed = self.claim()
        told = self.disturbance
        return [told.rule, *(told.error or ())] if self._claimed else None


_WANTED: ContextVar[Wanted | None] = ContextVar("wanted", default=None)


@contextmanager
def disturbed(wanted: Wanted | None) -> Generator[None]:
    """Have the operations that begin meanwhile, in this thread, go wrong; none for None."""
    token = _WANTED.set(wanted)
    try:
        yield
    finally:
        _WANTED.reset(token)


def wanted_now() -> Wanted | None:
    """What a rule wants of the running thread's call."""
    return _WANTED.get()
