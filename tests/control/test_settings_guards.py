"""Settings of the guards: freezes, and what of them is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from control.settings import load_settings
from tests.control.test_settings import TIER, make_file, refusal

FREEZE = """
[[guards.freezes]]
name = "weekend"
tiers = ["small"]
days = ["friday"]
begins = 17:00:00
ends = 08:00:00
time_zone = "Europe/Berlin"
[[guards.freezes]]
name = "end of the year"
first = 2026-12-18T18:00:00Z
last = 2027-01-04T07:00:00Z
"""


def test_freezes_are_read_as_the_guards_want_them(tmp_path: Path) -> None:
    """A daily window in its zone and a span between two instants, from the file."""
    text = FREEZE.replace('["small"]', "[]")
    freezes = [f.freeze() for f in load_settings(make_file(tmp_path, text), {}).guards.freezes]
    assert freezes[0].days == ("friday",)
    assert str(freezes[0].zone) == "Europe/Berlin"
    assert freezes[1].ends_at(datetime(2026, 12, 24, tzinfo=UTC)) == freezes[1].last


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ('tiers = ["smal"]\ndays = ["friday"]', "smal"),
        ('time_zone = "Berlin/Europe"', "Europe/Berlin"),
        ('days = ["fryday"]', "friday"),
        ("first = 2027-12-18T18:00:00Z\nlast = 2026-12-18T18:00:00Z", "ends after it begins"),
        ("", "never end"),
    ],
)
def test_a_wrong_freeze_is_refused_with_what_is_allowed(
    tmp_path: Path, wrong: str, word: str
) -> None:
    """A freeze that would never hold, or for ever, must not pass in silence."""
    tier = TIER.format(topology="2x2x1", kind="gke_single_host")
    text = f'[[guards.freezes]]\nname = "f"\n{wrong}\n{tier}'
    assert word in str(refusal(path=make_file(tmp_path, text)))
