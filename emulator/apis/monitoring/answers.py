"""Query results as Google's messages: points newest first, pages by number of points."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from google.api import distribution_pb2, metric_pb2
from google.cloud import monitoring_v3

from emulator.apis.monitoring.catalogue import BOOL, INT64
from emulator.apis.monitoring.columns import Table
from emulator.apis.monitoring.distributions import BOUNDS_MS, FINITE_BUCKETS, GROWTH, Distributions
from emulator.apis.monitoring.query import TYPE, Answer, Piece
from emulator.wire.errors import invalid
from emulator.world.noise import Floats

MOST: Final = 100_000
_EXPONENTIAL: Final = np.array(BOUNDS_MS)

# The plain messages: proto-plus wrappers cost tenfold for fleets of many chips.
_Response: Any = monitoring_v3.ListTimeSeriesResponse.pb()
_Series: Any = monitoring_v3.TimeSeries.pb()
_Kind: Final = metric_pb2.MetricDescriptor.MetricKind
_ValueType: Final = metric_pb2.MetricDescriptor.ValueType


def answer(
    pieces: Sequence[Piece], metric_type: str, *, full: bool, size: int, token: str, scope: str
) -> Any:
    """A ListTimeSeriesResponse with one page.

    Raises:
        ApiError: INVALID_ARGUMENT: a negative size, or a token of another query.
    """
    if size < 0:
        raise invalid("Field pageSize must not be negative.", field="page_size")
    page = _Page(min(size or MOST, MOST), *_position(token, scope))
    for number in range(page.piece, len(pieces)):
        rest = page.fill_headers(pieces[number], metric_type) if not full else page.fill(
            pieces[number].evaluate(), metric_type
        )  # fmt: skip
        if rest is not None:
            page.response.next_page_token = _token(number, *rest, scope)
            break
        page.series = page.skipped = 0
    return monitoring_v3.ListTimeSeriesResponse.wrap(page.response)


class _Page:
    """A page that fills up."""

    def __init__(self, room: int, piece: int, series: int, skipped: int) -> None:
        self.room, self.piece, self.series, self.skipped = room, piece, series, skipped
        self.response = _Response()

    def fill_headers(self, piece: Piece, metric_type: str) -> tuple[int, int] | None:
        """Series without points; where to go on, when the page is full."""
        found = piece.evaluate()
        some = _present(found).any(axis=1)
        for row in range(self.series, found.labels.size):
            if not some[row]:
                continue
            if not self.room:
                return row, 0
            self.response.time_series.append(_header(found, row, metric_type))
            self.room -= 1
        return None

    def fill(self, found: Answer, metric_type: str) -> tuple[int, int] | None:
        """Series with points; where to go on (series, points left out), when the page is full."""
        present = _present(found)
        self.response.unit = found.unit
        starts = [(int(s), round((s % 1) * 1e9)) for s in found.starts]
        ends = [(int(e), round((e % 1) * 1e9)) for e in found.ends]
        for row in range(self.series, found.labels.size):
            columns = np.flatnonzero(present[row])[::-1]
            skip = self.skipped if row == self.series else 0
            if not len(columns):
                continue
            if not self.room:
                return row, skip
            series = _header(found, row, metric_type)
            taken = columns[skip : skip + self.room]
            _add_points(series, found, row, taken, starts, ends)
            self.response.time_series.append(series)
            self.room -= len(taken)
            if skip + len(taken) < len(columns):
                return row, skip + len(taken)
        return None


def _present(found: Answer) -> Any:
    if isinstance(found.values, Distributions):
        return found.values.counts.sum(axis=-1) >= 0.5
    return ~np.isnan(found.values)


def _header(found: Answer, row: int, metric_type: str) -> Any:
    series = _Series()
    series.metric.type = metric_type
    series.metric_kind = _Kind.Value(found.kind)
    series.value_type = _ValueType.Value(found.value_type)
    series.unit = found.unit
    add_labels(series, found.labels, row)
    return series


def add_labels(series: Any, table: Table, row: int) -> None:
    """Put the row's labels where they belong; an empty label is left out."""
    for name, column in table.columns.items():
        value = column.values[column.codes[row]]
        if not value:
            continue
        group, label = name.split(".", 1)
        if name == TYPE:
            series.resource.type = value
        elif group == "resource":
            series.resource.labels[label] = value
        elif group == "metric":
            series.metric.labels[label] = value
        elif group == "user":
            series.metadata.user_labels[label] = value
        else:
            series.metadata.system_labels[label] = value


def _add_points(
    series: Any, found: Answer, row: int, columns: Any, starts: list[tuple[int, int]],
    ends: list[tuple[int, int]],
) -> None:  # fmt: skip
    values = found.values
    for column in columns.tolist():
        point = series.points.add()
        point.interval.start_time.seconds, point.interval.start_time.nanos = starts[column]
        point.interval.end_time.seconds, point.interval.end_time.nanos = ends[column]
        if isinstance(values, Distributions):
            point.value.distribution_value.CopyFrom(_distribution(values, row, column))
        elif found.value_type == INT64:
            point.value.int64_value = round(float(values[row, column]))
        elif found.value_type == BOOL:
            point.value.bool_value = bool(values[row, column] >= 0.5)
        else:
            point.value.double_value = float(values[row, column])


def _distribution(found: Distributions, row: int, column: int) -> Any:
    """Whole counts out of expected ones: the running total is rounded, so that nothing is lost."""
    expected = found.counts[row, column]
    counts = np.diff(np.round(np.cumsum(expected)), prepend=0.0).astype(np.int64)
    total = float(expected.sum())
    mean = float(found.sums[row, column]) / total
    squares = float(found.squares[row, column])
    message = distribution_pb2.Distribution(
        count=int(counts.sum()),
        mean=mean,
        sum_of_squared_deviation=max(squares - total * mean**2, 0.0),
        bucket_counts=np.trim_zeros(counts, "b").tolist(),
    )
    _set_bounds(message, found.bounds)
    return message


def _set_bounds(message: Any, bounds: Floats) -> None:
    if len(bounds) == len(_EXPONENTIAL) and np.array_equal(bounds, _EXPONENTIAL):
        options = message.bucket_options.exponential_buckets
        options.num_finite_buckets, options.growth_factor, options.scale = (
            FINITE_BUCKETS, GROWTH, 1.0,
        )  # fmt: skip
    else:
        message.bucket_options.explicit_buckets.bounds.extend(bounds.tolist())


def _mark(scope: str) -> str:
    return hashlib.blake2s(scope.encode(), digest_size=6).hexdigest()


def _token(piece: int, series: int, skipped: int, scope: str) -> str:
    text = f"{piece}:{series}:{skipped}:{_mark(scope)}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _position(token: str, scope: str) -> tuple[int, int, int]:
    if not token:
        return 0, 0, 0
    try:
        text = base64.urlsafe_b64decode((token + "=" * (-len(token) % 4)).encode()).decode()
        piece, series, skipped, mark = text.split(":")
        if mark == _mark(scope):
            return int(piece), int(series), int(skipped)
    except (binascii.Error, ValueError, UnicodeError):
        pass
    raise invalid("Field pageToken had an invalid value.", field="page_token")
