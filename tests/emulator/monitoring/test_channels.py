"""Notification channels: their types, life, secrets and verification."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import monitoring_v3

from emulator.apis.monitoring.channel_api import verification_code
from tests.emulator.monitoring.conftest import P, Rest, make
from tests.emulator.monitoring.test_policies import policy
from tests.processes import EmulatorProcess

CHANNELS = f"v3/{P}/notificationChannels"


def test_types_say_which_labels_they_need(rest: Rest) -> None:
    """Each type can be read alone; an unknown one cannot."""
    found = rest("GET", f"v3/{P}/notificationChannelDescriptors")["channelDescriptors"]
    by_type = {d["type"]: d for d in found}
    assert {"email", "sms", "pagerduty", "slack", "pubsub", "webhook_tokenauth"} <= set(by_type)
    assert [label["key"] for label in by_type["email"]["labels"]] == ["email_address"]
    assert rest("GET", f"v3/{by_type['sms']['name']}") == by_type["sms"]
    rest("GET", f"v3/{P}/notificationChannelDescriptors/pigeon", status=404)


def test_a_channel_lives_and_keeps_its_secret(rest: Rest) -> None:
    """Secrets are hidden when read, and kept when what was read is written back."""
    body = {"type": "pagerduty", "displayName": "Pager", "userLabels": {"team": "llm"},
            "labels": {"service_key": "0123456789abcdef"}}  # fmt: skip
    made = rest("POST", CHANNELS, body)
    assert made["labels"]["service_key"] == "************cdef"
    path = f"v3/{made['name']}"
    assert rest("GET", path) == made
    renamed = rest("PATCH", path, {**made, "displayName": "Pager 2"})
    assert renamed["labels"] == made["labels"]
    assert len(renamed["mutationRecords"]) == 1
    off = rest("PATCH", path, {"enabled": False}, updateMask="enabled")
    assert (off["enabled"], off["displayName"]) == (False, "Pager 2")
    listed = rest("GET", CHANNELS, filter='type = "pagerduty"')["notificationChannels"]
    assert [c["name"] for c in listed] == [made["name"]]
    assert rest("DELETE", path) == {}
    rest("GET", path, status=404)
    for wrong in (
        {"type": "pigeon"}, {"labels": {}}, {"labels": {"service_key": "x", "more": "y"}},
        {"userLabels": {"A": "b"}}, {"type": "email", "labels": {"email_address": "nobody"}},
    ):  # fmt: skip
        rest("POST", CHANNELS, {**body, **wrong}, 400)


def test_a_channel_in_use_goes_only_by_force(rest: Rest) -> None:
    """Force takes it out of the policies that notify it."""
    email = {"type": "email", "labels": {"email_address": "a@heartwood.example"}}
    channel = rest("POST", CHANNELS, email)["name"]
    user = rest("POST", f"v3/{P}/alertPolicies", policy(notificationChannels=[channel]))
    error = rest("DELETE", f"v3/{channel}", status=400)["error"]
    assert error["status"] == "FAILED_PRECONDITION"
    assert user["name"] in error["message"]
    rest("DELETE", f"v3/{channel}", force="true")
    assert "notificationChannels" not in rest("GET", f"v3/{user['name']}")
    rest("DELETE", f"v3/{user['name']}")


def test_a_number_is_verified_by_its_code(own: EmulatorProcess) -> None:
    """The code of the channel, no other; afterwards it can be had for other channels."""
    client = make("channel", own)
    wanted: Any = monitoring_v3.NotificationChannel(
        type_="sms", labels={"number": "+15551234567"}, display_name="Night shift"
    )
    made = client.create_notification_channel(name=P, notification_channel=wanted)
    states = monitoring_v3.NotificationChannel.VerificationStatus
    assert made.verification_status == states.UNVERIFIED
    with pytest.raises(exceptions.FailedPrecondition):
        client.get_notification_channel_verification_code(name=made.name)
    client.send_notification_channel_verification_code(name=made.name)
    code = verification_code(7, made.name)
    with pytest.raises(exceptions.InvalidArgument):
        client.verify_notification_channel(name=made.name, code="G-000000x")
    assert client.verify_notification_channel(
        name=made.name, code=code
    ).verification_status == states.VERIFIED  # fmt: skip
    assert client.get_notification_channel_verification_code(name=made.name).code == code
    made.labels["number"] = "+15557654321"
    assert client.update_notification_channel(
        notification_channel=made
    ).verification_status == states.UNVERIFIED  # fmt: skip
    client.delete_notification_channel(name=made.name)
