"""The life cycle of budgets, over both wires, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud.billing import budgets_v1
from google.protobuf import field_mask_pb2

from tests.emulator.clients import WIRES
from tests.emulator.monitoring.conftest import P, Rest, make
from tests.processes import EmulatorProcess

ACCOUNT = "billingAccounts/01A2B3-C4D5E6-F7A8B9"
COMPUTE = "services/6F81-5844-456A"


def budget(**more: Any) -> dict[str, Any]:
    """A budget as JSON."""
    return {
        "displayName": "mine",
        "budgetFilter": {"projects": [P], "services": [COMPUTE], "calendarPeriod": "QUARTER",
                         "labels": {"heartwood-tier": ["small"]}},
        "amount": {"specifiedAmount": {"units": "5000"}},
        "thresholdRules": [{"thresholdPercent": 0.8}],
        **more,
    }  # fmt: skip


@pytest.mark.parametrize("wire", WIRES)
def test_a_budget_lives(own: EmulatorProcess, wire: str) -> None:
    """Create, get, list by scope, patch by mask and by values, stale etag, delete."""
    client = make("budget", own, wire)
    wanted = budgets_v1.Budget(
        display_name=f"over {wire}", amount={"specified_amount": {"units": 10}},
        budget_filter={"projects": [P]},
    )  # fmt: skip
    made = client.create_budget(parent=ACCOUNT, budget=wanted)
    assert made.amount.specified_amount.currency_code == "USD"
    assert made.budget_filter.calendar_period == budgets_v1.CalendarPeriod.MONTH
    # Projects come back by number, as Google's do.
    assert made.budget_filter.projects == ["projects/482910573316"]
    assert client.get_budget(name=made.name) == made
    request = {"parent": ACCOUNT, "scope": P, "page_size": 2}
    listed = [b.name for b in client.list_budgets(request=request)]
    assert made.name in listed
    assert len(listed) == len(set(listed)) == len(list(client.list_budgets(parent=ACCOUNT)))
    elsewhere = {"parent": ACCOUNT, "scope": "projects/1"}
    assert not list(client.list_budgets(request=elsewhere))
    change = budgets_v1.Budget(
        name=made.name, display_name="ignored", amount={"last_period_amount": {}}
    )
    mask = field_mask_pb2.FieldMask(paths=["amount"])
    masked = client.update_budget(request={"budget": change, "update_mask": mask})
    assert "last_period_amount" in masked.amount
    assert masked.display_name == f"over {wire}"
    plain = client.update_budget(budget=budgets_v1.Budget(name=made.name, display_name="renamed"))
    assert plain.display_name == "renamed"
    assert "last_period_amount" in plain.amount
    change.etag = made.etag
    with pytest.raises(exceptions.Aborted if wire == "grpc" else exceptions.Conflict):
        client.update_budget(budget=change)
    client.delete_budget(name=made.name)
    with pytest.raises(exceptions.NotFound):
        client.get_budget(name=made.name)
    with pytest.raises(exceptions.Forbidden):
        client.list_budgets(parent="billingAccounts/000000-000000-000000")


def filtered(**more: Any) -> dict[str, Any]:
    """The budget with another filter."""
    return budget(budgetFilter=more)


CUSTOM = {"customPeriod": {"startDate": {"year": 2026, "month": 1, "day": 1}}}
REFUSED = [
    (budget(displayName="x" * 61), "display_name"),
    (budget(amount={}), "amount"),
    (budget(amount={"specifiedAmount": {"units": "1", "currencyCode": "EUR"}}), "currency"),
    (budget(amount={"specifiedAmount": {"units": "-1"}}), "negative"),
    (budget(thresholdRules=[{"thresholdPercent": -0.5}]), "threshold_percent"),
    (filtered(projects=["heartwood-demo"]), "projects"),
    (filtered(services=["services/0000-0000-0000"]), "services"),
    (filtered(labels={"a": ["x"], "b": ["y"]}), "multiple entries"),
    (filtered(labels={"a": ["x", "y"]}), "one value"),
    (filtered(creditTypes=["PROMOTION"]), "credit_types"),
    (filtered(creditTypesTreatment="INCLUDE_SPECIFIED_CREDITS"), "credit_types"),
    (filtered(customPeriod={"startDate": {"year": 2026, "month": 13, "day": 1}}), "start_date"),
    (budget(budgetFilter=CUSTOM, amount={"lastPeriodAmount": {}}), "custom period"),
    (budget(budgetFilter=CUSTOM, thresholdRules=[
        {"thresholdPercent": 1, "spendBasis": "FORECASTED_SPEND"}]), "FORECASTED_SPEND"),
    (budget(notificationsRule={"pubsubTopic": "projects/p/topics/t"}), "schema_version"),
    (budget(notificationsRule={"pubsubTopic": "t", "schemaVersion": "1.0"}), "pubsub_topic"),
    (budget(notificationsRule={
        "monitoringNotificationChannels": [f"{P}/notificationChannels/1"]}), "email channel"),
]  # fmt: skip


def test_what_is_no_budget_is_refused(own: EmulatorProcess) -> None:
    """The field is named; bodies that pass hold to Google's document, both ways."""
    rest = Rest(f"{own.rest_url}/billingbudgets", "billingbudgets.v1")
    path = f"v1/{ACCOUNT}/budgets"
    for body, why in REFUSED:
        error = rest("POST", path, body, 400)["error"]
        assert error["status"] == "INVALID_ARGUMENT"
        assert why in error["message"], (why, error)
    rest("POST", path, filtered(projects=["projects/nobody"]), 404)
    made = rest("POST", path, budget())
    assert made["budgetFilter"]["labels"] == {"heartwood-tier": ["small"]}
    assert made["thresholdRules"] == [{"thresholdPercent": 0.8, "spendBasis": "CURRENT_SPEND"}]
    custom = rest(
        "PATCH", f"v1/{made['name']}", {"budgetFilter": CUSTOM}, updateMask="budgetFilter"
    )
    assert "calendarPeriod" not in custom["budgetFilter"]
    assert rest("GET", f"v1/{made['name']}") == custom
    rest("PATCH", f"v1/{made['name']}", {"name": "x"}, 400, updateMask="name")
    assert rest("DELETE", f"v1/{made['name']}") == {}
