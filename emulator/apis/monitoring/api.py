"""google.monitoring.v3.MetricService: time series; descriptors and writes stand beside it."""

from __future__ import annotations

from typing import Any

from google.cloud import monitoring_v3

from emulator.apis.monitoring import answers
from emulator.apis.monitoring.descriptor_api import Descriptors
from emulator.apis.monitoring.model import MonitoringState, project_of
from emulator.apis.monitoring.series import SeriesReader, asked_steps, interval_of
from emulator.apis.monitoring.write_api import Writes
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.errors import invalid


class MetricService(Descriptors, Writes):
    """Series come from the world, from the local server's samples and from callers."""

    def __init__(self, cloud: Cloud, state: MonitoringState, reader: SeriesReader) -> None:
        self._cloud = cloud
        self._state = state
        self._reader = reader

    def list_time_series(self, request: Any, call: Call) -> Any:
        """Series that match a filter, aligned and reduced as asked."""
        project_of(self._cloud, request.name)
        asked = monitoring_v3.ListTimeSeriesRequest.pb(request)
        if asked.order_by:
            raise invalid("Field orderBy is not supported.", field="order_by")
        start, end = interval_of(asked.interval)
        metric_type, pieces = self._reader.read(
            asked.filter, start, end, asked_steps(asked), self._cloud.clock.now()
        )
        scope = f"{asked.filter}|{asked.interval}|{asked.aggregation}|{asked.view}"
        return answers.answer(
            pieces, metric_type,
            full=asked.view == monitoring_v3.ListTimeSeriesRequest.TimeSeriesView.FULL,
            size=asked.page_size, token=asked.page_token, scope=scope,
        )  # fmt: skip
