"""What services and service-level objectives must fulfil before they are kept."""

from __future__ import annotations

import math
import re
from typing import Any, Final

from google.cloud.monitoring_v3.types import service

from emulator.apis.monitoring.policy_checks import check_user_labels
from emulator.apis.monitoring.series import SeriesReader, seconds
from emulator.wire.errors import ApiError, invalid

SERVICE_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
OBJECTIVE_ID: Final = re.compile(r"[a-zA-Z0-9_:.-]{1,63}")
_MOST_NAME: Final = 512
_DAY_S: Final = 86_400.0
_CALENDAR: Final = (1, 2, 3, 4)  # DAY, WEEK, FORTNIGHT, MONTH
_COUNTED: Final = ("DELTA", "CUMULATIVE")


def check_service(found: service.Service) -> None:
    """Pass a service whose identifier is whole.

    Raises:
        ApiError: INVALID_ARGUMENT with the field.
    """
    plain: Any = service.Service.pb(found)
    kind = plain.WhichOneof("identifier")
    if kind is None and not plain.basic_service.service_type:
        raise _bad("service", "one of custom, basicService and the other identifiers must be set.")
    if len(plain.display_name) > _MOST_NAME:
        raise _bad("service.display_name", f"must have at most {_MOST_NAME} characters.")
    check_user_labels(found.user_labels, "service.user_labels")
    body = getattr(plain, kind) if kind else None
    for field in body.DESCRIPTOR.fields if body is not None else ():
        if not getattr(body, field.name):
            raise _bad(f"service.{kind}.{field.name}", "is required.")


def check_objective(
    found: service.ServiceLevelObjective, parent: service.Service, reader: SeriesReader
) -> None:
    """Pass an objective that can be evaluated.

    Raises:
        ApiError: INVALID_ARGUMENT with the field; NOT_FOUND: a metric that does not exist.
    """
    plain: Any = service.ServiceLevelObjective.pb(found)
    field = "service_level_objective"
    if not 0 < plain.goal <= 0.9999:
        raise _bad(f"{field}.goal", "must be greater than 0 and at most 0.9999.")
    period = plain.WhichOneof("period")
    if period is None:
        raise _bad(f"{field}.period", "a rolling or a calendar period must be set.")
    length = seconds(plain.rolling_period)
    if period == "rolling_period" and not (0 < length <= 30 * _DAY_S and length % _DAY_S == 0):
        raise _bad(f"{field}.rolling_period", "must be whole days, at most 30.")
    if period == "calendar_period" and plain.calendar_period not in _CALENDAR:
        raise _bad(f"{field}.calendar_period", "must be DAY, WEEK, FORTNIGHT or MONTH.")
    if len(plain.display_name) > _MOST_NAME:
        raise _bad(f"{field}.display_name", f"must have at most {_MOST_NAME} characters.")
    check_user_labels(found.user_labels, f"{field}.user_labels")
    indicator = plain.service_level_indicator
    kind = indicator.WhichOneof("type")
    field = f"{field}.service_level_indicator"
    if kind is None:
        raise _bad(field, "one of basicSli, requestBased and windowsBased must be set.")
    if kind == "basic_sli":
        _check_basic(indicator.basic_sli, f"{field}.basic_sli", parent)
    elif kind == "request_based":
        _check_requests(indicator.request_based, f"{field}.request_based", reader)
    else:
        _check_windows(indicator.windows_based, f"{field}.windows_based", parent, reader)


def _check_basic(found: Any, field: str, parent: service.Service) -> None:
    if service.Service.pb(parent).WhichOneof("identifier") in (None, "custom"):
        raise _bad(field, "services of this type have no basic SLI.")
    if found.WhichOneof("sli_criteria") is None:
        raise _bad(field, "availability or latency must be set.")
    if found.HasField("latency") and seconds(found.latency.threshold) <= 0:
        raise _bad(f"{field}.latency.threshold", "must be positive.")


def _check_requests(found: Any, field: str, reader: SeriesReader) -> None:
    method = found.WhichOneof("method")
    if method is None:
        raise _bad(field, "goodTotalRatio or distributionCut must be set.")
    if method == "good_total_ratio":
        names = ("good_service_filter", "bad_service_filter", "total_service_filter")
        given = [n for n in names if getattr(found.good_total_ratio, n)]
        if len(given) != 2:
            raise _bad(f"{field}.good_total_ratio", "exactly two of the three filters must be set.")
        for name in given:
            where = f"{field}.good_total_ratio.{name}"
            _check_metric(getattr(found.good_total_ratio, name), where, reader, _COUNTED,
                          ("INT64", "DOUBLE"))  # fmt: skip
        return
    cut, where = found.distribution_cut, f"{field}.distribution_cut"
    _check_metric(cut.distribution_filter, f"{where}.distribution_filter", reader, _COUNTED,
                  ("DISTRIBUTION",))  # fmt: skip
    _check_range(cut.range_, f"{where}.range_")


def _check_windows(found: Any, field: str, parent: service.Service, reader: SeriesReader) -> None:
    length = seconds(found.window_period)
    if length < 60 or length > _DAY_S or _DAY_S % length:
        raise _bad(f"{field}.window_period", "must be an integer fraction of a day, at least 60s.")
    kind = found.WhichOneof("window_criterion")
    if kind is None:
        raise _bad(field, "a window criterion must be set.")
    where = f"{field}.{kind}"
    if kind == "good_bad_metric_filter":
        _check_metric(found.good_bad_metric_filter, where, reader, ("GAUGE",), ("BOOL",))
    elif kind == "good_total_ratio_threshold":
        ratio = found.good_total_ratio_threshold
        if not 0 <= ratio.threshold <= 1:
            raise _bad(f"{where}.threshold", "must lie between 0 and 1.")
        part = ratio.WhichOneof("type")
        if part is None:
            raise _bad(where, "performance or basicSliPerformance must be set.")
        if part == "performance":
            _check_requests(ratio.performance, f"{where}.performance", reader)
        else:
            _check_basic(ratio.basic_sli_performance, f"{where}.basic_sli_performance", parent)
    else:
        metric = getattr(found, kind)
        kinds = ("GAUGE",) if kind == "metric_mean_in_range" else ("GAUGE", "DELTA")
        _check_metric(metric.time_series, f"{where}.time_series", reader, kinds,
                      ("INT64", "DOUBLE"))  # fmt: skip
        _check_range(metric.range_, f"{where}.range_")


def _check_metric(
    text: str, field: str, reader: SeriesReader, kinds: tuple[str, ...], types: tuple[str, ...]
) -> None:
    if not text:
        raise _bad(field, "a filter is required.")
    metric = reader.metric_of(text)
    if metric.kind not in kinds or metric.value_type not in types:
        raise _bad(
            field, f"the metric must be of kind {' or '.join(kinds)} and of type "
            f"{' or '.join(types)}, but is {metric.kind} {metric.value_type}.",
        )  # fmt: skip


def _check_range(found: Any, field: str) -> None:
    if math.isnan(found.min_) or math.isnan(found.max_) or found.min_ >= found.max_:
        raise _bad(field, "min must be less than max.")


def _bad(field: str, why: str) -> ApiError:
    return invalid(f"Field {field} had an invalid value: {why}", field=field)
