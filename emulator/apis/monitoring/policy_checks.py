"""What an alert policy must fulfil before it is kept, and how its conditions are evaluated.

Threshold and absence conditions are evaluated; the other kinds are refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.cloud.monitoring_v3.types import alert, common

from emulator.apis.monitoring import rules
from emulator.apis.monitoring.filters import metric_type
from emulator.apis.monitoring.query import Step
from emulator.apis.monitoring.series import SeriesReader, parse, seconds, steps_of
from emulator.apis.monitoring.slo_selectors import is_selector
from emulator.wire.errors import ApiError, invalid

DEFAULT_AUTO_CLOSE_S: Final = 7 * 86_400.0
_LONGEST_S: Final = 25 * 3600.0
_LONGEST_ABSENCE_S: Final = 23.5 * 3600.0
_MOST_CONDITIONS: Final = 6
_MOST_LABELS: Final = 64
_LABEL_KEY: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE: Final = re.compile(r"[a-z0-9_-]{0,63}")
_EVALUATED: Final = ("condition_threshold", "condition_absent")
# What a series without aggregations is taken as, by its metric's kind.
_UNALIGNED: Final = {
    "GAUGE": "ALIGN_NEXT_OLDER", "DELTA": "ALIGN_SUM", "CUMULATIVE": "ALIGN_DELTA",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition as it is evaluated; times in seconds.

    Attributes:
        index: which of the policy's conditions it is.
        below: whether the series must lie below the threshold instead of above.
        denominator: filter and steps of a ratio's other side.
        missing: what a missing point counts as: 1 bad, 0 good, -1 as before.
        count, percent: how many series must fail at once.
    """

    index: int
    filter: str
    steps: tuple[Step, ...]
    absent: bool
    below: bool
    threshold: float
    duration_s: float
    denominator: tuple[str, tuple[Step, ...]] | None
    missing: int
    count: int
    percent: float

    @property
    def period_s(self) -> float:
        """Time between two looks at the series."""
        return self.steps[-1].period_s or self.steps[0].period_s


def conditions_of(policy: alert.AlertPolicy, reader: SeriesReader) -> tuple[Condition, ...]:
    """The policy's conditions, checked.

    Raises:
        ApiError: INVALID_ARGUMENT with the field; NOT_FOUND: a metric that does not exist.
    """
    conditions = alert.AlertPolicy.pb(policy).conditions
    if not 1 <= len(conditions) <= _MOST_CONDITIONS:
        raise invalid(
            "Field alert_policy.conditions had an invalid value: A policy must have from one to "
            f"six conditions, got {len(conditions)}.",
            field="alert_policy.conditions",
        )
    if policy.combiner == alert.AlertPolicy.ConditionCombinerType.COMBINE_UNSPECIFIED:
        raise invalid("Field alert_policy.combiner must be set.", field="alert_policy.combiner")
    return tuple(_test(c, n, reader) for n, c in enumerate(conditions))


def _test(condition: Any, number: int, reader: SeriesReader) -> Condition:
    kind = condition.WhichOneof("condition")
    field = f"alert_policy.conditions[{number}]"
    if kind is None:
        raise invalid(f"Field {field} must specify a condition type.", field=field)
    if kind not in _EVALUATED:
        raise invalid(
            f"Field {field}.{kind} had an invalid value: The emulator evaluates conditions of the "
            "kinds condition_threshold and condition_absent alone.",
            field=f"{field}.{kind}",
        )
    field = f"{field}.{kind}"
    body = getattr(condition, kind)
    steps = _steps(body.filter, body.aggregations, field, "", reader, number_wanted=kind != _ABSENT)
    if kind == _ABSENT:
        return _absence(body, number, field, steps)
    return _threshold(body, number, field, steps, reader)


_ABSENT: Final = "condition_absent"


def _threshold(
    body: Any, number: int, field: str, steps: tuple[Step, ...], reader: SeriesReader
) -> Condition:
    kinds = common.ComparisonType
    if body.comparison not in (kinds.COMPARISON_GT, kinds.COMPARISON_LT):
        raise _bad(
            f"{field}.comparison", kinds(body.comparison).name if body.comparison in list(kinds)
            else body.comparison, "only COMPARISON_GT and COMPARISON_LT are supported.",
        )  # fmt: skip
    if body.HasField("forecast_options"):
        raise _bad(f"{field}.forecast_options", "set", "The emulator makes no forecasts.")
    duration = _duration(body.duration, f"{field}.duration", 0.0, _LONGEST_S)
    if body.evaluation_missing_data and duration < 60:
        raise _bad(
            f"{field}.evaluation_missing_data", body.evaluation_missing_data,
            "the duration must be at least 60 seconds.",
        )  # fmt: skip
    denominator = None
    if body.denominator_filter:
        other = _steps(body.denominator_filter, body.denominator_aggregations, field,
                       "denominator_", reader, number_wanted=True)  # fmt: skip
        if [s.period_s for s in other] != [s.period_s for s in steps]:
            raise _bad(
                f"{field}.denominator_aggregations", "", "must have the same alignment period as "
                "aggregations.",
            )  # fmt: skip
        denominator = (str(body.denominator_filter), other)
    return Condition(
        number, str(body.filter), steps, absent=False,
        below=body.comparison == kinds.COMPARISON_LT, threshold=float(body.threshold_value),
        duration_s=duration, denominator=denominator,
        missing={1: 0, 2: 1}.get(body.evaluation_missing_data, -1),
        **_trigger(body, field),
    )  # fmt: skip


def _absence(body: Any, number: int, field: str, steps: tuple[Step, ...]) -> Condition:
    duration = _duration(body.duration, f"{field}.duration", 120.0, _LONGEST_ABSENCE_S)
    return Condition(
        number, str(body.filter), steps, absent=True, below=False, threshold=0.0,
        duration_s=duration, denominator=None, missing=1, **_trigger(body, field),
    )  # fmt: skip


def _trigger(body: Any, field: str) -> Mapping[str, Any]:
    kind = body.trigger.WhichOneof("type")
    if kind == "count" and body.trigger.count < 1:
        raise _bad(f"{field}.trigger.count", body.trigger.count, "must be at least 1.")
    if kind == "percent" and not 0 < body.trigger.percent <= 100:
        raise _bad(f"{field}.trigger.percent", body.trigger.percent, "must be in (0, 100].")
    return {"count": body.trigger.count or 1, "percent": body.trigger.percent}


def _duration(given: Any, field: str, least: float, most: float) -> float:
    found = float(given.seconds)
    if found % 60 or not least <= found <= most or given.nanos:
        raise _bad(
            field, f"{found:g}s",
            f"must be a multiple of a minute from {least:g}s to {most:g}s.",
        )  # fmt: skip
    return found


def _steps(
    text: str, aggregations: Sequence[Any], field: str, prefix: str, reader: SeriesReader, *,
    number_wanted: bool,
) -> tuple[Step, ...]:  # fmt: skip
    """The aggregations, checked against the metric that the filter names."""
    where = f"{field}.{prefix}filter"
    if not text:
        raise _bad(where, "", "a filter is required.")
    if len(text) > 2048:
        raise _bad(where, text[:40] + "…", "must not exceed 2048 characters.")
    if len(aggregations) > 2:
        raise _bad(f"{field}.{prefix}aggregations", len(aggregations), "at most two are supported.")
    names = [f"{field}.{prefix}aggregations[{n}]" for n in range(len(aggregations))]
    steps = steps_of(aggregations, names) if aggregations else ()
    for step, name in zip(steps, names, strict=True):
        if step.period_s % 60 or step.period_s > _LONGEST_S:
            raise _bad(f"{name}.alignment_period", f"{step.period_s:g}s",
                       "must be a multiple of a minute of at most 25 hours.")  # fmt: skip
    if is_selector(text) and reader.selectors is not None:
        reader.selectors.check(text)
        return steps or (Step("ALIGN_MEAN", period_s=60.0),)
    kind, value_type = _shape(text, where, prefix, reader)
    if not steps or steps[0].aligner == "ALIGN_NONE":
        steps = (Step(_UNALIGNED[kind], period_s=steps[0].period_s if steps else 60.0),)
    for step, name in zip(steps, names or [field], strict=False):
        if step.aligner != "ALIGN_NONE":
            kind, value_type = rules.aligned_type(step.aligner, kind, value_type, name)
        if step.reducer != "REDUCE_NONE":
            value_type = rules.reduced_type(step.reducer, kind, value_type, name)
    if number_wanted and value_type == "DISTRIBUTION":
        raise _bad(f"{field}.{prefix}aggregations", "", "the result must not be a distribution.")
    return steps


def _shape(text: str, field: str, prefix: str, reader: SeriesReader) -> tuple[str, str]:
    """Kind and value type of the metric that the filter names."""
    try:
        node, metric = parse(text), reader.metric_of(text)
    except ApiError as error:
        if error.code.name == "NOT_FOUND":
            raise
        raise invalid(
            error.message.replace("Field filter", f"Field {field}"), field=field
        ) from error
    resource = metric_type(node, "resource.type")
    if not resource and not prefix:
        raise _bad(
            field, text, 'must specify a restriction on "resource.type" in the filter; see '
            '"https://cloud.google.com/monitoring/api/resources" for a list of available resource '
            "types.",
        )  # fmt: skip
    if resource and metric.resources and resource not in metric.resources:
        raise _bad(
            field, text, "The supplied filter does not specify a valid combination of metric and "
            "monitored resource descriptors. The query will not return any time series.",
        )  # fmt: skip
    return metric.kind, metric.value_type


def check_policy(policy: alert.AlertPolicy, channels: Mapping[str, Any]) -> None:
    """Pass a policy whose fields beside the conditions are in order; defaults are filled in.

    Raises:
        ApiError: INVALID_ARGUMENT with the field; NOT_FOUND: a channel that does not exist.
    """
    if not policy.display_name or len(policy.display_name) > 512:
        raise invalid(
            "Field alert_policy.display_name must have from 1 to 512 characters.",
            field="alert_policy.display_name",
        )
    check_user_labels(policy.user_labels, "alert_policy.user_labels")
    for name in policy.notification_channels:
        if name not in channels:
            raise ApiError("NOT_FOUND", f"Cannot find notification channel '{name}'.")
    text = policy.documentation
    if text.mime_type not in ("", "text/markdown"):
        raise _bad("alert_policy.documentation.mime_type", text.mime_type, "must be text/markdown.")
    if len(text.content) > 8192 or len(text.content.encode()) > 10_240:
        raise _bad("alert_policy.documentation.content", "…", "must not exceed 8192 characters.")
    if len(text.links) > 3 or any(not 0 < len(link.display_name) <= 63 for link in text.links):
        raise _bad("alert_policy.documentation.links", len(text.links),
                   "at most 3, each with a display name of at most 63 characters.")  # fmt: skip
    if text.content and not text.mime_type:
        policy.documentation.mime_type = "text/markdown"
    _check_strategy(policy)


def _check_strategy(policy: alert.AlertPolicy) -> None:
    strategy = alert.AlertPolicy.pb(policy).alert_strategy
    field = "alert_policy.alert_strategy"
    if strategy.HasField("notification_rate_limit"):
        raise _bad(
            f"{field}.notification_rate_limit", "set",
            "only log-based alert policies may specify a notification rate limit.",
        )  # fmt: skip
    if strategy.HasField("auto_close") and not 1800 <= seconds(strategy.auto_close) <= 7 * 86_400:
        raise _bad(f"{field}.auto_close", f"{seconds(strategy.auto_close):g}s",
                   "must be from 30 minutes to 7 days.")  # fmt: skip
    for entry in strategy.notification_channel_strategy:
        if not set(entry.notification_channel_names) <= set(policy.notification_channels):
            raise _bad(f"{field}.notification_channel_strategy", "",
                       "names a channel that the policy does not notify.")  # fmt: skip
        if not 1800 <= seconds(entry.renotify_interval) <= 86_400:
            raise _bad(f"{field}.notification_channel_strategy.renotify_interval", "",
                       "must be from 30 minutes to 24 hours.")  # fmt: skip


def check_user_labels(labels: Mapping[str, str], field: str) -> None:
    """Pass user labels of Monitoring's form.

    Raises:
        ApiError: INVALID_ARGUMENT.
    """
    if len(labels) > _MOST_LABELS:
        raise _bad(field, len(labels), f"at most {_MOST_LABELS} labels are allowed.")
    for key, value in labels.items():
        if _LABEL_KEY.fullmatch(key) is None or _LABEL_VALUE.fullmatch(value) is None:
            raise _bad(
                field, f"{key}={value}", "keys begin with a letter; keys and values have at most "
                "63 lowercase letters, numerals, underscores and dashes.",
            )  # fmt: skip


def _bad(field: str, value: object, why: str) -> ApiError:
    return invalid(f'Field {field} had an invalid value of "{value}": {why}', field=field)
