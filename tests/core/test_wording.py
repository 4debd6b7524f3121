"""Numbers with their nouns."""

from __future__ import annotations

from core.wording import plural, share_of


def test_one_is_one() -> None:
    """One has no s; many may be said otherwise; thousands have a comma."""
    assert [plural(n, "slice") for n in (0, 1, 1024)] == ["0 slices", "1 slice", "1,024 slices"]
    assert plural(2, "box", "boxes") == "2 boxes"


def test_the_whole_is_not_a_share_of_itself() -> None:
    """Nobody reads "1 of 1 backends"."""
    told = [share_of(*each, "backend") for each in ((1, 1), (3, 3), (1, 3), (0, 1))]
    assert told == ["the only backend", "all 3 backends", "1 of 3 backends", "0 of 1 backend"]
