"""What is told of the emulator's coverage is what it is."""

from __future__ import annotations

from tests.emulator.coverage import FILE, page, rows


def test_the_page_is_current() -> None:
    """emulator/COVERAGE.md is what `make coverage` would write now."""
    assert page(rows()) == FILE.read_text(encoding="utf-8"), "run `make coverage`"
