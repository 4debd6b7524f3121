"""Figures of single servers: which steps of counters are put together."""

from __future__ import annotations

import pytest

from services.server_series import Steps, newest_share


@pytest.mark.parametrize(
    ("hits", "queries", "share"),
    [
        ({300.0: 20.0, 600.0: 90.0}, {300.0: 80.0}, 0.25),
        ({300.0: 20.0}, {300.0: 80.0, 600.0: 5.0}, 0.25),
        ({300.0: 20.0, 600.0: 9.0}, {300.0: 80.0, 600.0: 10.0}, 0.9),
        ({600.0: 20.0}, {300.0: 80.0}, None),
        ({300.0: 0.0}, {300.0: 0.0}, None),
        ({}, {}, None),
    ],
)
def test_a_share_is_of_one_step_that_both_counters_have(
    hits: Steps, queries: Steps, share: float | None
) -> None:
    """The newest such; one counter's newest step may not have come from the other yet."""
    assert newest_share(hits, queries) == share
