"""Written values: a TypedValue of the metric's type as a number or a distribution."""

from __future__ import annotations

import itertools
import math
from typing import Any, Final

from emulator.apis.monitoring.catalogue import Metric
from emulator.apis.monitoring.model import Sum

_FIELDS: Final = {
    "BOOL": "bool_value", "INT64": "int64_value", "DOUBLE": "double_value",
    "DISTRIBUTION": "distribution_value", "STRING": "string_value",
}  # fmt: skip
_TYPES: Final = {field: name for name, field in _FIELDS.items()}
_MOST_BUCKETS: Final = 200
_HUGE: Final = 1e150


class Refusal(ValueError):
    """Why one series of a write cannot be kept."""


def value_of(given: Any, metric: Metric, field: str) -> float | Sum:
    """The value; Booleans are 0 and 1.

    Raises:
        Refusal: of another type than the metric's, or a distribution that does not add up.
    """
    written = given.WhichOneof("value")
    if written is None:
        raise Refusal(f"Field {field}.value is required.")
    if written != _FIELDS[metric.value_type]:
        raise Refusal(
            f"Value type for metric {metric.type} must be {metric.value_type}, but is "
            f"{_TYPES[written]}."
        )
    if metric.value_type == "DISTRIBUTION":
        return _distribution(given.distribution_value, f"{field}.value.distributionValue")
    return float(getattr(given, written))


def _distribution(given: Any, field: str) -> Sum:
    bounds = _bounds(given.bucket_options, field)
    counts = [int(c) for c in given.bucket_counts]
    if any(c < 0 for c in counts) or given.count < 0:
        raise Refusal(f"Field {field}.bucketCounts had an invalid value: counts are negative.")
    if len(counts) > len(bounds) + 1:
        raise Refusal(
            f"Field {field}.bucketCounts had an invalid value: {len(counts)} counts for "
            f"{len(bounds) + 1} buckets."
        )
    if not counts and not bounds:
        counts = [int(given.count)]
    if sum(counts) != given.count:
        raise Refusal(
            f"Field {field}.count had an invalid value of \"{given.count}\": The sum of the values "
            "in the bucketCounts field must equal the value in the count field."
        )  # fmt: skip
    if given.count == 0 and (given.mean or given.sum_of_squared_deviation):
        raise Refusal(f"Field {field}.mean must be zero where the count is zero.")
    if not math.isfinite(given.mean) or not 0 <= given.sum_of_squared_deviation < _HUGE:
        raise Refusal(f"Field {field}.mean had an invalid value.")
    counts += [0] * (len(bounds) + 1 - len(counts))
    total = float(given.count) * given.mean
    squares = given.sum_of_squared_deviation + float(given.count) * given.mean**2
    return Sum(bounds, tuple(counts), total, squares)


def _bounds(options: Any, field: str) -> tuple[float, ...]:
    kind = options.WhichOneof("options")
    if kind is None:
        return ()
    found: list[float]
    if kind == "explicit_buckets":
        found = list(options.explicit_buckets.bounds)
    elif kind == "linear_buckets":
        linear = options.linear_buckets
        count = linear.num_finite_buckets
        _check_count(count, field)
        found = [linear.offset + linear.width * i for i in range(count + 1)]
    else:
        powers = options.exponential_buckets
        count = powers.num_finite_buckets
        _check_count(count, field)
        if powers.growth_factor <= 1 or not 0 < powers.scale < _HUGE:
            raise Refusal(f"Field {field}.bucketOptions had an invalid value.")
        if count * math.log(powers.growth_factor) > math.log(_HUGE):
            raise Refusal(f"Field {field}.bucketOptions had an invalid value.")
        found = [float(powers.scale) * float(powers.growth_factor) ** i for i in range(count + 1)]
    rising = all(a < b < math.inf for a, b in itertools.pairwise([-math.inf, *found]))
    if not rising or not found or len(found) > _MOST_BUCKETS:
        raise Refusal(f"Field {field}.bucketOptions had an invalid value: bounds must rise.")
    return tuple(found)


def _check_count(count: int, field: str) -> None:
    if not 0 < count < _MOST_BUCKETS:
        raise Refusal(
            f"Field {field}.bucketOptions had an invalid value: the number of finite buckets must "
            f"lie between 1 and {_MOST_BUCKETS - 1}."
        )
