"""google.monitoring.v3.NotificationChannelService: channels, their types, their verification.

Nothing is sent anywhere: a verification code follows from the channel's name and the seed, and the
log of changes tells it.
"""

from __future__ import annotations

import re
from typing import Any, Final

from google.api import label_pb2, launch_stage_pb2
from google.cloud import monitoring_v3
from google.cloud.monitoring_v3.types import notification
from google.protobuf import empty_pb2

from emulator.apis.monitoring.channel_types import TYPES, ChannelType
from emulator.apis.monitoring.listing import paged, select
from emulator.apis.monitoring.model import (
    OWNER,
    MonitoringState,
    canonical,
    number_of,
    project_of,
    stamp,
)
from emulator.apis.monitoring.policy_checks import check_user_labels
from emulator.apis.monitoring.series import seconds
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.codec import plain
from emulator.wire.errors import ApiError, failed_precondition, invalid
from emulator.wire.masks import merge

_NAME: Final = "projects/{project}/notificationChannels/{channel}"
_DESCRIPTOR: Final = "projects/{project}/notificationChannelDescriptors/{type}"
_MOST_CHANNELS: Final = 4000
_CODE_LIVES_S: Final = 86_400.0
_Status = notification.NotificationChannel.VerificationStatus
_FORMS: Final = {
    "email_address": re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+"),
    "number": re.compile(r"\+?[0-9][0-9 ()-]{5,20}"),
    "topic": re.compile(r"projects/[^/]+/topics/[^/]+"),
    "url": re.compile(r"https?://\S+"),
    "space": re.compile(r"spaces/[^/]+"),
}


class Channels:
    """Notification channels."""

    def __init__(self, cloud: Cloud, state: MonitoringState) -> None:
        self._cloud = cloud
        self._state = state

    def list_notification_channel_descriptors(self, request: Any, call: Call) -> Any:
        """The types of channels that there are."""
        project = project_of(self._cloud, request.name)
        items, token = paged(request, list(TYPES.values()), scope="channel types", default=1000)
        return monitoring_v3.ListNotificationChannelDescriptorsResponse(
            channel_descriptors=[_descriptor(project, t) for t in items], next_page_token=token
        )

    def get_notification_channel_descriptor(self, request: Any, call: Call) -> Any:
        """One type."""
        name = canonical(self._cloud, _DESCRIPTOR, request.name)
        project, _, kind = name.partition("/notificationChannelDescriptors/")
        if kind not in TYPES:
            raise ApiError("NOT_FOUND", f"Cannot find notification channel descriptor '{kind}'.")
        return _descriptor(project, TYPES[kind])

    def create_notification_channel(self, request: Any, call: Call) -> Any:
        """Keeps a new channel."""
        project = project_of(self._cloud, request.name)
        with self._cloud.lock:
            if len(self._state.channels) >= _MOST_CHANNELS:
                raise ApiError(
                    "RESOURCE_EXHAUSTED", f"A project has at most {_MOST_CHANNELS} channels."
                )
            channel = _copy(request.notification_channel)
            kind = _check(channel)
            channel.verification_status = (
                _Status.UNVERIFIED if kind.verified else _Status.VERIFICATION_STATUS_UNSPECIFIED
            )
            if not notification.NotificationChannel.pb(channel).HasField("enabled"):
                channel.enabled = True
            now = stamp(self._cloud.clock.now())
            channel.creation_record = {"mutate_time": now, "mutated_by": OWNER}
            channel.mutation_records = []
            number = self._state.new_id(self._cloud.seed, "channel")
            channel.name = f"{project}/notificationChannels/{number}"
            self._state.channels[channel.name] = channel
            self._changed("created", channel)
        return _shown(channel)

    def list_notification_channels(self, request: Any, call: Call) -> Any:
        """Channels that match a filter, in a sort order."""
        project_of(self._cloud, request.name)
        with self._cloud.lock:
            channels = [_shown(c) for c in self._state.channels.values()]
        found = select(channels, request.filter, request.order_by)
        items, token = paged(
            request, found, scope=f"channels {request.filter} {request.order_by}", default=1000
        )
        return monitoring_v3.ListNotificationChannelsResponse(
            notification_channels=items, next_page_token=token, total_size=len(found)
        )

    def get_notification_channel(self, request: Any, call: Call) -> Any:
        """One channel; its secrets are hidden."""
        return _shown(self._find(request.name))

    def update_notification_channel(self, request: Any, call: Call) -> Any:
        """Changes the masked fields, or all of them without a mask."""
        given = request.notification_channel
        with self._cloud.lock:
            known = self._find(given.name)
            mask = request.update_mask
            channel = merge(given, mask, known) if mask.paths else _copy(given)
            channel.name = known.name
            channel.type_ = channel.type_ or known.type_
            for label in TYPES[known.type_].secret:
                # A caller who writes back what he read keeps the secret.
                if known.labels.get(label) and channel.labels.get(label) == _hidden(known, label):
                    channel.labels[label] = known.labels[label]
            kind = _check(channel)
            moved = channel.type_ != known.type_ or dict(channel.labels) != dict(known.labels)
            channel.verification_status = known.verification_status
            if kind.verified and moved:
                channel.verification_status = _Status.UNVERIFIED
            now = stamp(self._cloud.clock.now())
            channel.creation_record = known.creation_record
            channel.mutation_records = [
                {"mutate_time": now, "mutated_by": OWNER}, *known.mutation_records[:9],
            ]  # fmt: skip
            self._state.channels[known.name] = channel
            self._changed("updated", channel)
        return _shown(channel)

    def delete_notification_channel(self, request: Any, call: Call) -> Any:
        """Deletes a channel; one that policies notify only by force, which takes it out of them."""
        with self._cloud.lock:
            channel = self._find(request.name)
            users = [
                p for p in self._state.policies.values() if channel.name in p.notification_channels
            ]
            if users and not request.force:
                raise failed_precondition(
                    f"Cannot delete channel '{channel.name}' because it is in use by "
                    f"{len(users)} alert policies: {', '.join(p.name for p in users)}."
                )
            for policy in users:
                policy.notification_channels = [
                    name for name in policy.notification_channels if name != channel.name
                ]
            del self._state.channels[channel.name]
            self._changed("deleted", channel)
        return empty_pb2.Empty()

    def send_notification_channel_verification_code(self, request: Any, call: Call) -> Any:
        """Makes a code, which the log of changes tells in the messenger's place."""
        with self._cloud.lock:
            channel = self._find(request.name)
            if not TYPES[channel.type_].verified:
                raise failed_precondition(f"Channels of type {channel.type_} need no verification.")
            self._cloud.changed(
                "monitoring.notification_channel.code_sent", channel.name, "",
                code=verification_code(self._cloud.seed, channel.name),
            )  # fmt: skip
        return empty_pb2.Empty()

    def get_notification_channel_verification_code(self, request: Any, call: Call) -> Any:
        """The code of a verified channel, for verifying it elsewhere."""
        channel = self._find(request.name)
        if channel.verification_status != _Status.VERIFIED:
            raise failed_precondition(f"Channel '{channel.name}' is not verified.")
        asked = monitoring_v3.GetNotificationChannelVerificationCodeRequest.pb(request)
        now = self._cloud.clock.now()
        expires = seconds(asked.expire_time) if asked.HasField("expire_time") else now + 3600.0
        if not now < expires <= now + 30 * _CODE_LIVES_S:
            raise invalid("Field expireTime must lie in the next 30 days.", field="expire_time")
        return monitoring_v3.GetNotificationChannelVerificationCodeResponse(
            code=verification_code(self._cloud.seed, channel.name), expire_time=stamp(expires)
        )

    def verify_notification_channel(self, request: Any, call: Call) -> Any:
        """Verifies a channel by the code that it was sent."""
        with self._cloud.lock:
            channel = self._find(request.name)
            if request.code != verification_code(self._cloud.seed, channel.name):
                raise invalid("The verification code is wrong or has expired.", field="code")
            channel.verification_status = _Status.VERIFIED
            self._changed("verified", channel)
        return _shown(channel)

    def _find(self, asked: str) -> notification.NotificationChannel:
        found = self._state.channels.get(canonical(self._cloud, _NAME, asked))
        if found is None:
            raise ApiError("NOT_FOUND", f"Requested entity was not found: {asked}")
        return found

    def _changed(self, verb: str, channel: notification.NotificationChannel) -> None:
        self._cloud.changed(f"monitoring.notification_channel.{verb}", channel.name, "")


def verification_code(seed: int, name: str) -> str:
    """The code that a channel is sent, e.g. "G-123456"."""
    return f"G-{int(number_of(seed, 'code', name)) % 1_000_000:06d}"


def _copy(channel: notification.NotificationChannel) -> notification.NotificationChannel:
    found = notification.NotificationChannel()
    plain(found).CopyFrom(plain(channel))
    return found


def _hidden(channel: notification.NotificationChannel, label: str) -> str:
    """A secret as reads show it: the last characters of a long one at most."""
    text = channel.labels[label]
    shown = text[-4:] if len(text) >= 12 else ""
    return "*" * (len(text) - len(shown)) + shown


def _shown(channel: notification.NotificationChannel) -> notification.NotificationChannel:
    found = _copy(channel)
    for label in TYPES[channel.type_].secret:
        if label in found.labels:
            found.labels[label] = _hidden(channel, label)
    return found


def _check(channel: notification.NotificationChannel) -> ChannelType:
    field = "notification_channel"
    kind = TYPES.get(channel.type_)
    if kind is None:
        raise invalid(
            f'Field {field}.type had an invalid value of "{channel.type_}": Unrecognized '
            "notification channel type.",
            field=f"{field}.type",
        )
    if len(channel.display_name) > 512 or len(channel.description) > 1024:
        raise invalid(f"Field {field}.display_name is too long.", field=f"{field}.display_name")
    check_user_labels(channel.user_labels, f"{field}.user_labels")
    names = {name for name, _ in kind.labels}
    for name in channel.labels:
        if name not in names:
            raise _bad_label(name, f"Unrecognized label for channels of type {kind.type}.")
    for name in names - set(kind.optional):
        value = channel.labels.get(name, "")
        form = _FORMS.get(name)
        if not value:
            raise _bad_label(name, f"Channels of type {kind.type} need this label.")
        if form is not None and form.fullmatch(value) is None:
            raise _bad_label(name, f'"{value}" is not of the form that is wanted.')
    return kind


def _bad_label(name: str, why: str) -> ApiError:
    field = f'notification_channel.labels["{name}"]'
    return invalid(f"Field {field} had an invalid value: {why}", field=field)


def _descriptor(project: str, kind: ChannelType) -> notification.NotificationChannelDescriptor:
    return notification.NotificationChannelDescriptor(
        name=f"{project}/notificationChannelDescriptors/{kind.type}",
        type_=kind.type, display_name=kind.title, description=kind.text,
        labels=[label_pb2.LabelDescriptor(key=k, description=t) for k, t in kind.labels],
        launch_stage=launch_stage_pb2.GA,
    )  # fmt: skip
