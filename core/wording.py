"""Numbers with their nouns, as sentences of plans, guards and pages say them.

Figures with units are `ui/formats.py`'s.
"""

from __future__ import annotations


def plural(amount: int, word: str, many: str = "") -> str:
    """1 slice, 4 slices, 2 replicas; `many` where it is not the word with an s."""
    return f"{amount:,} {word if amount == 1 else many or word + 's'}"


def share_of(amount: int, whole: int, word: str) -> str:
    """the only backend, all 3 backends, 1 of 3 backends."""
    if amount < whole:
        return f"{amount:,} of {plural(whole, word)}"
    return f"the only {word}" if whole == 1 else f"all {plural(whole, word)}"
