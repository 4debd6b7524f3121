"""Cloud Monitoring: what one model deployed on a Vertex endpoint answered, minute by minute.

A tier's load, all its models and parts together, is `monitoring.py`'s.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from core.canary import ModelMinute
from core.histograms import Histogram, merge
from services import monitoring_queries as queries
from services import time_series
from services.clients import Clients
from services.tier_rows import Grid, is_error
from services.time_series import Query, Row

STEP_S: Final = 60
_CODE: Final = "metric.labels.response_code"


class ModelSeries:
    """Reads the series of single deployed models."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def minutes(
        self, endpoint: str, model: str, since: datetime, now: datetime
    ) -> tuple[ModelMinute, ...]:
        """The model's minutes that reach beyond `since`, oldest first; those without points absent.

        `endpoint` is its full name, `model` the deployed model's id. The oldest minute may begin
        before `since`, and the newest ones may still be on their way to Monitoring.

        Raises:
            OpsError: a query failed.
        """
        steps = max(1, math.ceil((now - since).total_seconds() / STEP_S))
        grid = Grid(now - timedelta(seconds=STEP_S * steps), STEP_S, steps)
        counted, timed = (
            time_series.fetch(
                self._clients, _of(source.query, endpoint, model, by), grid.start, now, STEP_S
            )
            for source, by in ((queries.REQUESTS_VERTEX, (_CODE,)), (queries.LATENCY_VERTEX, ()))
        )
        requests = _sums(counted, grid)
        failed = _sums(filter(is_error, counted), grid)
        latency: dict[int, list[Histogram]] = {}
        for row in timed:
            for at_s, found in row.distributions:
                if (step := grid.index(at_s)) is not None:
                    latency.setdefault(step, []).append(found)
        ends = grid.ends()
        return tuple(
            ModelMinute(ends[i], requests[i], failed.get(i, 0.0), merge(latency.get(i, ())))
            for i in sorted(requests)
        )


def _of(query: Query, endpoint: str, model: str, by: tuple[str, ...]) -> Query:
    """The query for that model alone."""
    whose = (
        f'resource.labels.endpoint_id = "{endpoint.rsplit("/", 1)[-1]}"'
        f' AND metric.labels.deployed_model_id = "{model}"'
    )
    terms = f"{query.filter} AND {whose}" if query.filter else whose
    return replace(query, group_by=by, filter=terms)


def _sums(rows: Iterable[Row], grid: Grid) -> dict[int, float]:
    """The rows' numbers together, by step."""
    found: dict[int, float] = {}
    for row in rows:
        for at_s, value in row.numbers:
            if (step := grid.index(at_s)) is not None:
                found[step] = found.get(step, 0.0) + value
    return found
