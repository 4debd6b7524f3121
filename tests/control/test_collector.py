"""What the garbage collector looks at after each run of a page."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import pytest

from control.collector import freeze, freeze_when


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    """Other tests of this worker begin as they would without this one."""
    yield
    gc.unfreeze()


def test_what_lives_on_is_looked_at_no_more() -> None:
    """Nothing that was there when it froze is in the collector's rounds; what comes later is."""
    kept = {"a": ["list"]}
    assert freeze() > 1000
    later = {"another": ["list"]}
    looked_at = {id(thing) for thing in gc.get_objects()}
    assert id(kept) not in looked_at
    assert id(later) in looked_at


def test_what_comes_with_the_first_reads_is_frozen_too() -> None:
    """It freezes at once, looks until all is ready, and then freezes what came meanwhile."""
    came: list[dict[str, list[str]]] = []

    def is_ready() -> bool:
        assert gc.get_freeze_count() > 1000
        came.append({"loaded": ["on first use"]})
        return True

    asyncio.run(freeze_when(is_ready))
    assert id(came[0]) not in {id(thing) for thing in gc.get_objects()}
