"""The types of notification channels that Google offers, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class ChannelType:
    """One type: its labels with what each means; `secret` ones are never shown again.

    `verified` says whether somebody must prove that messages arrive before the channel works.
    """

    type: str
    title: str
    text: str
    labels: tuple[tuple[str, str], ...]
    secret: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    verified: bool = False


TYPES: Final[dict[str, ChannelType]] = {
    t.type: t
    for t in (
        ChannelType("email", "Email", "Messages to one email address.",
                    (("email_address", "The address that messages are sent to."),)),
        ChannelType("google_chat", "Google Chat", "Messages to a Google Chat space.",
                    (("space", "The space, as spaces/ID."),)),
        ChannelType("google_cloud_console_mobile_device", "Google Cloud Console (mobile)",
                    "Push messages to the Cloud mobile app.",
                    (("mobile_device_uid", "The device's identifier."),)),
        ChannelType("pagerduty", "PagerDuty", "Incidents of a PagerDuty service.",
                    (("service_key", "The integration key of the service."),), ("service_key",)),
        ChannelType("pubsub", "Cloud Pub/Sub", "Messages to a Pub/Sub topic.",
                    (("topic", "The topic, as projects/PROJECT/topics/TOPIC."),)),
        ChannelType("slack", "Slack", "Messages to a Slack channel.",
                    (("auth_token", "The token that Slack gave."),
                     ("channel_name", "The Slack channel, with its #."),
                     ("team", "The Slack workspace.")), ("auth_token",), ("auth_token", "team")),
        ChannelType("sms", "SMS", "Text messages to a mobile number.",
                    (("number", "The number, with its country code, as +15551234567."),),
                    verified=True),
        ChannelType("webhook_basicauth", "Webhook with basic authentication",
                    "HTTP requests with a user's name and password.",
                    (("url", "The public URL."), ("username", "The user's name."),
                     ("password", "The user's password.")), ("password",)),
        ChannelType("webhook_tokenauth", "Webhook with token authentication",
                    "HTTP requests to a URL that holds a token.",
                    (("url", "The public URL, with its token."),)),
    )
}  # fmt: skip
