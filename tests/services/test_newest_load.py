"""The load now, read off the newest minutes that have points."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from core.series import Signal
from services import monitoring_queries as queries
from services.monitoring import _Newest
from services.tier_rows import Grid, Inventory, Tiers
from services.time_series import Row
from tests.make import make_specs

START = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("steps", "rate"),
    [(range(9), 10.0), (range(2), 10.0), (range(8, 9), 2.0), (range(0), None)],
    ids=["steady", "seen last seven minutes ago", "begun a minute ago", "silent"],
)
def test_points_that_come_late_do_not_look_like_less_traffic(
    steps: range, rate: float | None
) -> None:
    """A rate counts the minutes that the answer covers; a start counts as part of five."""
    labels = {"backend_target_name": "hw-small", "response_code_class": "200"}
    points = tuple((START.timestamp() + 60 * (i + 1), 600.0) for i in steps)
    rows = {queries.REQUESTS_BALANCED: [Row(labels, points, ())] if points else []}
    newest = _Newest(Tiers(make_specs(), Inventory()), rows, Grid(START, 60, 9))
    assert newest.ratio(Signal.REQUESTS, "small") == rate
