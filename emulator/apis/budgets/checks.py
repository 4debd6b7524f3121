"""What a budget must fulfil before it is kept."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from google.cloud.billing import budgets_v1

from emulator.scenario import Project
from emulator.wire.errors import ApiError, invalid
from emulator.world.prices import SERVICES

_TOPIC: Final = re.compile(r"projects/[^/]+/topics/[^/]+")
_PROJECT: Final = re.compile(r"projects/([^/]+)")
_ANCESTOR: Final = re.compile(r"(folders|organizations)/[0-9]+")
_LABEL: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_MOST_THRESHOLDS: Final = 20
_MOST_CHANNELS: Final = 5
_CURRENCY: Final = "USD"
_FIRST_DAY: Final = date(2017, 1, 1)


def check_budget(found: budgets_v1.Budget, project: Project, channels: Mapping[str, Any]) -> None:
    """Pass a budget that Billing would keep; what it fills in is filled in.

    Args:
        channels: Monitoring's notification channels by name.

    Raises:
        ApiError: INVALID_ARGUMENT with the field; NOT_FOUND: a project that does not exist.
    """
    plain: Any = budgets_v1.Budget.pb(found)
    if len(plain.display_name) > 60:
        raise _bad("display_name", "must have at most 60 characters.")
    _check_filter(plain.budget_filter, project)
    _check_amount(plain)
    _check_thresholds(plain)
    _check_notifications(plain, project, channels)


def _check_filter(found: Any, project: Project) -> None:
    field = "budget_filter"
    for number, name in enumerate(found.projects):
        match = _PROJECT.fullmatch(name)
        if match is None:
            raise _bad(f"{field}.projects", f"'{name}' is not of the form projects/{{project}}.")
        if match[1] not in (project.id, project.number):
            raise ApiError("NOT_FOUND", f"Project '{match[1]}' was not found.")
        found.projects[number] = f"projects/{project.number}"
    for name in found.resource_ancestors:
        if _ANCESTOR.fullmatch(name) is None:
            raise _bad(f"{field}.resource_ancestors", f"'{name}' is no folder or organization.")
    for name in found.services:
        if name.removeprefix("services/") not in SERVICES or not name.startswith("services/"):
            raise _bad(f"{field}.services", f"'{name}' is no service of the catalogue.")
    for name in found.subaccounts:
        if name != f"billingAccounts/{project.billing_account}":
            raise _bad(f"{field}.subaccounts", f"'{name}' is no subaccount of the account.")
    _check_labels(found.labels)
    treatments = budgets_v1.Filter.CreditTypesTreatment
    if not found.credit_types_treatment:
        found.credit_types_treatment = treatments.INCLUDE_ALL_CREDITS
    specified = found.credit_types_treatment == treatments.INCLUDE_SPECIFIED_CREDITS
    if specified != bool(found.credit_types):
        raise _bad(f"{field}.credit_types", "goes with INCLUDE_SPECIFIED_CREDITS alone.")
    if found.WhichOneof("usage_period") is None:
        found.calendar_period = budgets_v1.CalendarPeriod.MONTH
    if found.HasField("custom_period"):
        _check_period(found.custom_period)
    elif found.calendar_period not in (1, 2, 3):
        raise _bad(f"{field}.calendar_period", "must be MONTH, QUARTER or YEAR.")


def _check_labels(labels: Any) -> None:
    if len(labels) > 1:
        raise _bad("budget_filter.labels", "multiple entries are not allowed.")
    for key, values in labels.items():
        if _LABEL.fullmatch(key) is None:
            raise _bad("budget_filter.labels", f"'{key}' is no label key.")
        if len(values.values) != 1:
            raise _bad("budget_filter.labels", "exactly one value per entry is allowed.")
        if values.values[0].WhichOneof("kind") != "string_value":
            raise _bad("budget_filter.labels", "a label's value is a text.")


def _check_period(period: Any) -> None:
    start = _day(period.start_date, "start_date")
    if start <= _FIRST_DAY:
        raise _bad("budget_filter.custom_period.start_date", "must be after January 1, 2017.")
    if period.HasField("end_date") and _day(period.end_date, "end_date") < start:
        raise _bad("budget_filter.custom_period.end_date", "must not be before the start date.")


def _day(found: Any, name: str) -> date:
    try:
        return date(found.year, found.month, found.day)
    except ValueError as error:
        raise _bad(f"budget_filter.custom_period.{name}", f"is no date: {error}.") from error


def _check_amount(plain: Any) -> None:
    kind = plain.amount.WhichOneof("budget_amount")
    custom = plain.budget_filter.HasField("custom_period")
    if kind is None:
        raise _bad("amount", "a budget needs an amount.")
    if kind == "last_period_amount":
        if custom:
            raise _bad("amount.last_period_amount", "cannot be set with a custom period.")
        return
    money = plain.amount.specified_amount
    if money.currency_code not in ("", _CURRENCY):
        raise _bad(
            "amount.specified_amount.currency_code",
            f"must be the billing account's currency {_CURRENCY}.",
        )
    if money.units < 0 or not 0 <= money.nanos < 1_000_000_000:
        raise _bad("amount.specified_amount", "must not be negative; nanos are below 10^9.")
    money.currency_code = _CURRENCY


def _check_thresholds(plain: Any) -> None:
    rules = budgets_v1.ThresholdRule.Basis
    if len(plain.threshold_rules) > _MOST_THRESHOLDS:
        raise _bad("threshold_rules", f"at most {_MOST_THRESHOLDS} rules are allowed.")
    for rule in plain.threshold_rules:
        if not math.isfinite(rule.threshold_percent) or rule.threshold_percent < 0:
            raise _bad("threshold_rules.threshold_percent", "must be a non-negative number.")
        rule.spend_basis = rule.spend_basis or rules.CURRENT_SPEND
        forecast = rule.spend_basis == rules.FORECASTED_SPEND
        if forecast and plain.budget_filter.HasField("custom_period"):
            raise _bad("threshold_rules.spend_basis",
                       "FORECASTED_SPEND cannot be set with a custom period.")  # fmt: skip


def _check_notifications(plain: Any, project: Project, channels: Mapping[str, Any]) -> None:
    rule, field = plain.notifications_rule, "notifications_rule"
    if rule.pubsub_topic:
        if _TOPIC.fullmatch(rule.pubsub_topic) is None:
            raise _bad(f"{field}.pubsub_topic", "must be projects/{project}/topics/{topic}.")
        if rule.schema_version != "1.0":
            raise _bad(f"{field}.schema_version", 'must be "1.0" where a topic is set.')
    elif rule.schema_version not in ("", "1.0"):
        raise _bad(f"{field}.schema_version", 'must be "1.0".')
    names = rule.monitoring_notification_channels
    if len(names) > _MOST_CHANNELS:
        raise _bad(f"{field}.monitoring_notification_channels", "at most 5 are allowed.")
    for name in names:
        known = name.replace(f"projects/{project.number}/", f"projects/{project.id}/")
        if known not in channels or channels[known].type_ != "email":
            raise _bad(
                f"{field}.monitoring_notification_channels",
                f"'{name}' is no email channel of the project.",
            )


def _bad(field: str, why: str) -> ApiError:
    return invalid(f"Invalid value at 'budget.{field}': {why}", field=f"budget.{field}")
