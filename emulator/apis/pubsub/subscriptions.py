"""Handlers of google.pubsub.v1.Subscriber that make, show, change and delete subscriptions."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import empty_pb2
from google.pubsub_v1.types import pubsub as types

from emulator.apis.iam.model import iam_state
from emulator.apis.pubsub import checks, exports
from emulator.apis.pubsub.backlog import Backlog
from emulator.apis.pubsub.broker import broker_of
from emulator.apis.pubsub.filters import compile_filter
from emulator.apis.pubsub.model import DELETED_TOPIC, Subscription
from emulator.apis.pubsub.policies import Policies
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.codec import plain
from emulator.wire.errors import ApiError
from emulator.wire.masks import merge
from emulator.wire.paging import page

_DEADLINE_S: Final = 10
_RETENTION_S: Final = 7 * 86_400
_TTL_S: Final = 31 * 86_400
_ATTEMPTS: Final = 5
_BACKOFF_S: Final = (10, 600)


class Subscriptions(Policies):
    """Subscriptions, without their messages."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self._broker = broker_of(cloud)

    def create_subscription(self, request: types.Subscription, call: Call) -> types.Subscription:
        name = checks.check_name(self._cloud.project, "subscriptions", request.name)
        topic = checks.check_name(self._cloud.project, "topics", request.topic)
        with self._cloud.lock:
            self._state.settle()
            if topic not in self._state.topics:
                raise checks.not_there(topic)
            if name in self._state.subscriptions:
                raise checks.taken(name)
            made = types.Subscription()
            plain(made).CopyFrom(plain(request))
            made.name, made.topic, made.detached = name, topic, False
            self._complete(made)
            now = self._cloud.clock.now()
            self._state.made += 1
            new = Subscription(made, self._state.made, now, compile_filter(made.filter))
            new.backlog = Backlog(new.pause_s, bool(made.enable_message_ordering))
            new.backlog.note(now)
            iam_state(self._cloud).policies.forget(name)  # of one that expired
            self._state.subscriptions[name] = new
            self._cloud.changed("pubsub.subscription.created", name, "")
            return self._shown(new)

    def get_subscription(
        self, request: types.GetSubscriptionRequest, call: Call
    ) -> types.Subscription:
        with self._cloud.lock:
            return self._shown(self._find(request.subscription))

    def list_subscriptions(
        self, request: types.ListSubscriptionsRequest, call: Call
    ) -> types.ListSubscriptionsResponse:
        checks.check_parent(self._cloud.project, request.project)
        with self._cloud.lock:
            self._state.settle()
            kept = sorted(self._state.subscriptions.items())
            found = [self._shown(s) for _, s in kept]
        shown, token = page(
            found, request.page_size, request.page_token,
            scope=request.project, default=100, most=1000,
        )  # fmt: skip
        return types.ListSubscriptionsResponse(subscriptions=shown, next_page_token=token)

    def update_subscription(
        self, request: types.UpdateSubscriptionRequest, call: Call
    ) -> types.Subscription:
        with self._cloud.lock:
            found = self._find(request.subscription.name)
            mask = plain(request).update_mask
            checks.check_mask("Subscription", mask.paths, found.message)
            wanted = merge(request.subscription, mask, found.message)
            self._complete(wanted)
            self._keep(found, wanted)
            self._cloud.changed("pubsub.subscription.updated", found.name, "")
            return self._shown(found)

    def modify_push_config(
        self, request: types.ModifyPushConfigRequest, call: Call
    ) -> empty_pb2.Empty:
        with self._cloud.lock:
            found = self._find(request.subscription)
            wanted = types.Subscription()
            plain(wanted).CopyFrom(plain(found.message))
            plain(wanted).push_config.CopyFrom(plain(request).push_config)
            self._complete(wanted)
            self._keep(found, wanted)
            self._cloud.changed("pubsub.subscription.updated", found.name, "")
        return empty_pb2.Empty()

    def delete_subscription(
        self, request: types.DeleteSubscriptionRequest, call: Call
    ) -> empty_pb2.Empty:
        with self._cloud.lock:
            found = self._find(request.subscription)
            del self._state.subscriptions[found.name]
            iam_state(self._cloud).policies.forget(found.name)
            self._cloud.changed("pubsub.subscription.deleted", found.name, "")
            self._state.arrived.notify_all()
        return empty_pb2.Empty()

    def _keep(self, found: Subscription, wanted: types.Subscription) -> None:
        found.message, found.active_at = wanted, self._cloud.clock.now()
        if found.exports:
            found.retry_at, found.failures = 0.0, 0
            self._broker.export(found)
        self._state.arrived.notify_all()

    def _complete(self, made: types.Subscription) -> None:
        """Fill in the defaults and pass what is allowed."""
        inside: Any = plain(made)
        inside.ack_deadline_seconds = inside.ack_deadline_seconds or _DEADLINE_S
        if not inside.HasField("message_retention_duration"):
            inside.message_retention_duration.seconds = _RETENTION_S
        if not inside.HasField("expiration_policy"):
            inside.expiration_policy.ttl.seconds = _TTL_S
        inside.push_config.SetInParent()
        for name in ("state", "topic_message_retention_duration",
                     "analytics_hub_subscription_info"):  # fmt: skip
            inside.ClearField(name)
        if inside.HasField("bigquery_config"):
            inside.bigquery_config.ClearField("state")
        if inside.HasField("dead_letter_policy"):
            policy = inside.dead_letter_policy
            policy.max_delivery_attempts = policy.max_delivery_attempts or _ATTEMPTS
            target = checks.check_name(self._cloud.project, "topics", policy.dead_letter_topic)
            policy.dead_letter_topic = target
            if target not in self._state.topics:
                raise checks.not_there(target)
        if inside.HasField("retry_policy"):
            policy = inside.retry_policy
            if not policy.HasField("minimum_backoff"):
                policy.minimum_backoff.seconds = _BACKOFF_S[0]
            if not policy.HasField("maximum_backoff"):
                policy.maximum_backoff.seconds = _BACKOFF_S[1]
        checks.check_subscription(made)
        if inside.HasField("bigquery_config") and made.topic != DELETED_TOPIC:
            exports.check_table(self._cloud, made.bigquery_config, self._state.topics[made.topic])

    def _shown(self, found: Subscription) -> types.Subscription:
        """A subscription with what follows from other resources."""
        shown = types.Subscription()
        inside: Any = plain(shown)
        inside.CopyFrom(plain(found.message))
        shown.state = types.Subscription.State.ACTIVE
        topic = self._state.topics.get(found.message.topic)
        if topic is not None and topic.retention_s:
            kept = plain(topic.message).message_retention_duration
            inside.topic_message_retention_duration.CopyFrom(kept)
        if found.message.bigquery_config.table:
            config = found.message.bigquery_config
            state = exports.state_of(self._cloud, config, topic)
            shown.bigquery_config.state = state
            if state != exports.State.ACTIVE:
                shown.state = types.Subscription.State.RESOURCE_ERROR
        return shown

    def _find(self, given: str) -> Subscription:
        """The subscription of that name; call with the lock."""
        name = checks.check_name(self._cloud.project, "subscriptions", given)
        self._state.settle()
        found = self._state.subscriptions.get(name)
        if found is None:
            raise checks.not_there(name)
        return found

    def _attached(self, given: str) -> Subscription:
        """The same, unless it is detached."""
        found = self._find(given)
        if found.message.detached:
            raise ApiError("FAILED_PRECONDITION", "The subscription is detached from its topic.")
        return found
