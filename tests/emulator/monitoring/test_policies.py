"""The life cycle of alert policies, over both wires, and what is refused."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import monitoring_v3
from google.protobuf import field_mask_pb2

from emulator.apis.monitoring import routes
from emulator.apis.monitoring.alerts_api import METHODS
from tests.emulator.discovery import find_method
from tests.emulator.monitoring.conftest import P, Rest, make
from tests.processes import EmulatorProcess

QUEUE = (
    'resource.type="prometheus_target" AND '
    'metric.type="prometheus.googleapis.com/vllm:num_requests_waiting/gauge"'
)
THRESHOLD = {
    "filter": QUEUE,
    "aggregations": [{"alignmentPeriod": "60s", "perSeriesAligner": "ALIGN_MEAN"}],
    "comparison": "COMPARISON_GT",
    "thresholdValue": 1e9,
    "duration": "300s",
}


def policy(**more: Any) -> dict[str, Any]:
    """A policy as JSON."""
    condition = {"displayName": "long queue", "conditionThreshold": copy.deepcopy(THRESHOLD)}
    return {"displayName": "Long queue", "combiner": "OR", "conditions": [condition], **more}


def test_a_policy_lives_over_rest(rest: Rest) -> None:
    """Create, get, patch by mask, patch whole, list by filter and order, delete."""
    body = policy(userLabels={"tier": "small"}, severity="ERROR",
                  documentation={"content": "Scale up."})  # fmt: skip
    made = rest("POST", f"v3/{P}/alertPolicies", body)
    assert made["enabled"] is True
    assert made["documentation"]["mimeType"] == "text/markdown"
    condition = made["conditions"][0]["name"]
    assert condition.startswith(made["name"] + "/conditions/")
    assert made["creationRecord"] == made["mutationRecord"]
    path = f"v3/{made['name']}"
    assert rest("GET", path) == made
    off = rest("PATCH", path, {"enabled": False, "displayName": "x"}, updateMask="enabled")
    assert (off["enabled"], off["displayName"]) == (False, "Long queue")
    # gcloud writes masks in snake_case.
    rest("PATCH", path, {"userLabels": {}}, updateMask="user_labels")
    whole = {**policy(displayName="A changed one"), "conditions": made["conditions"]}
    renamed = rest("PATCH", path, whole)
    assert renamed["conditions"][0]["name"] == condition
    assert "userLabels" not in renamed
    assert renamed["creationRecord"] == made["creationRecord"]
    found = rest("GET", f"v3/{P}/alertPolicies", filter='display_name = starts_with("A ch")')
    assert [p["name"] for p in found["alertPolicies"]] == [made["name"]]
    sorted_list = rest("GET", f"v3/{P}/alertPolicies", orderBy="display_name")["alertPolicies"]
    names = [p["displayName"] for p in sorted_list]
    assert names == sorted(names)
    refused = rest("GET", f"v3/{P}/alertPolicies", orderBy="colour", status=400)
    assert "orderBy" in refused["error"]["message"]
    assert names[0] == "A changed one"
    back = rest("GET", f"v3/{P}/alertPolicies", orderBy="-display_name")["alertPolicies"]
    assert [p["displayName"] for p in back] == names[::-1]
    assert rest("DELETE", path) == {}
    rest("GET", path, status=404)
    rest("DELETE", path, status=404)
    rest("PATCH", path, policy(), 404)


def test_a_policy_lives_over_grpc(own: EmulatorProcess) -> None:
    """Google's client makes, changes and deletes one; pages hold every policy once."""
    client = make("policy", own)
    wanted = monitoring_v3.AlertPolicy(
        display_name="Nodes fell silent", combiner="AND",
        conditions=[{
            "display_name": "silent",
            "condition_absent": {
                "filter": 'resource.type="k8s_node" AND '
                'metric.type="kubernetes.io/node/accelerator/duty_cycle"',
                "aggregations": [{"alignment_period": {"seconds": 300},
                                  "per_series_aligner": "ALIGN_MEAN"}],
                "duration": {"seconds": 600}, "trigger": {"percent": 50},
            },
        }],
    )  # fmt: skip
    made = client.create_alert_policy(name=P, alert_policy=wanted)
    assert client.get_alert_policy(name=made.name) == made
    # The number of the project stands for its id.
    number = made.name.replace("heartwood-demo", "482910573316")
    assert client.get_alert_policy(name=number) == made
    made.conditions[0].condition_absent.trigger = {"count": 2}
    mask = field_mask_pb2.FieldMask(paths=["conditions"])
    changed = client.update_alert_policy(update_mask=mask, alert_policy=made)
    assert changed.conditions[0].condition_absent.trigger.count == 2
    listed = [p.name for p in client.list_alert_policies(request={"name": P, "page_size": 2})]
    assert made.name in listed
    assert len(set(listed)) == len(listed) >= 5
    client.delete_alert_policy(name=made.name)
    with pytest.raises(exceptions.NotFound):
        client.get_alert_policy(name=made.name)


def changed(**more: Any) -> dict[str, Any]:
    """The policy with its threshold condition changed."""
    found = policy()
    found["conditions"][0]["conditionThreshold"].update(more)
    return found


def condition(kind: str, body: Any) -> dict[str, Any]:
    """A policy of one condition of that kind."""
    return policy(conditions=[{"displayName": "c", kind: body}])


ABSENT = {"filter": QUEUE, "duration": "600s"}
REFUSED = [
    (policy(displayName=""), "display_name"),
    (policy(conditions=[]), "from one to six"),
    (policy(combiner="COMBINE_UNSPECIFIED"), "combiner"),
    (policy(conditions=[{"displayName": "x"}]), "condition type"),
    (policy(userLabels={"UPPER": "x"}), "user_labels"),
    (policy(documentation={"content": "x", "mimeType": "text/html"}), "mime_type"),
    (policy(alertStrategy={"autoClose": "60s"}), "auto_close"),
    (policy(alertStrategy={"notificationRateLimit": {"period": "300s"}}), "rate limit"),
    (changed(filter='metric.type="kubernetes.io/node_pool/status"'), '"resource.type"'),
    (changed(filter='resource.type="k8s_node"'), '"metric.type"'),
    (changed(filter=QUEUE + " AND"), "Could not parse"),
    (changed(filter=QUEUE.replace("prometheus_target", "k8s_node")), "valid combination"),
    (changed(filter=""), "required"),
    (changed(comparison="COMPARISON_EQ"), "COMPARISON_GT"),
    (changed(duration="90s"), "multiple of a minute"),
    (changed(trigger={"percent": 120}), "trigger.percent"),
    (changed(forecastOptions={"forecastHorizon": "3600s"}), "forecast"),
    (changed(duration="0s", evaluationMissingData="EVALUATION_MISSING_DATA_ACTIVE"), "60 seconds"),
    (changed(aggregations=[{"alignmentPeriod": "60s", "perSeriesAligner": "ALIGN_RATE"}]),
     "cannot be applied"),
    (changed(aggregations=[{"alignmentPeriod": "5s", "perSeriesAligner": "ALIGN_MEAN"}]),
     "at least 60 seconds"),
    (condition("conditionAbsent", {**ABSENT, "duration": "60s"}), "120s"),
    (condition("conditionMonitoringQueryLanguage", {"query": "fetch x", "duration": "0s"}),
     "condition_monitoring_query_language"),
    (condition("conditionPrometheusQueryLanguage", {"query": "up == 0"}),
     "condition_prometheus_query_language"),
    (condition("conditionMatchedLog", {"filter": "severity>=ERROR"}), "condition_matched_log"),
]  # fmt: skip


def test_what_cannot_be_evaluated_is_refused(rest: Rest) -> None:
    """INVALID_ARGUMENT names the field; a metric, channel or policy that is not there: 404."""
    for body, why in REFUSED:
        error = rest("POST", f"v3/{P}/alertPolicies", body, 400)["error"]
        assert error["status"] == "INVALID_ARGUMENT"
        assert why in error["message"], (why, error)
    unknown = changed(filter=QUEUE.replace("num_requests_waiting", "nothing"))
    error = rest("POST", f"v3/{P}/alertPolicies", unknown, 404)["error"]
    assert "Cannot find metric" in error["message"]
    lost = policy(notificationChannels=[f"{P}/notificationChannels/1"])
    rest("POST", f"v3/{P}/alertPolicies", lost, 404)
    rest("POST", "v3/projects/somebody-elses/alertPolicies", policy(), 403)
    made = rest("POST", f"v3/{P}/alertPolicies", policy())
    strange = {**made, "conditions": [{**made["conditions"][0], "name": made["name"] + "/x"}]}
    rest("PATCH", f"v3/{made['name']}", strange, 400)
    rest("GET", f"v3/{P}/alertPolicies", status=400, orderBy="!")
    rest("DELETE", f"v3/{made['name']}")


def test_every_route_is_a_documented_one(rest: Rest) -> None:
    """The rules written here are methods of Google's document; what is not served says so."""
    served = [routes.METRICS, routes.POLICIES, routes.CHANNELS, routes.SERVICES]
    for rules in [*served, *routes.NOT_SERVED.values()]:
        for rule in (r for found in rules.values() for r in found):
            path = re.sub(r"\{[\w.]+=([^}]*)\}", r"\1", rule.uri).replace("**", "x")
            assert find_method("monitoring.v3", rule.verb, path.replace("*", "x")), rule
    for method in METHODS:
        path = method.rules[0].uri.replace("{name=projects/*/alerts/*}", "projects/x/alerts/y")
        path = path.replace("{parent=projects/*}", "projects/x")
        assert find_method("monitoring.v3", "GET", path)
    assert rest("GET", f"v3/{P}/snoozes", status=501)["error"]["status"] == "UNIMPLEMENTED"
