"""Handlers of google.pubsub.v1.Publisher: topics, and messages to them."""

from __future__ import annotations

from google.protobuf import empty_pb2
from google.pubsub_v1.types import pubsub as types

from emulator.apis.iam.model import iam_state
from emulator.apis.pubsub import checks
from emulator.apis.pubsub.broker import broker_of
from emulator.apis.pubsub.model import DELETED_TOPIC, Topic
from emulator.apis.pubsub.policies import Policies
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.codec import plain
from emulator.wire.masks import merge
from emulator.wire.paging import page


class Publisher(Policies):
    """Topics; a name that is asked for may give the project's number for its id."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self._broker = broker_of(cloud)

    def create_topic(self, request: types.Topic, call: Call) -> types.Topic:
        name = checks.check_name(self._cloud.project, "topics", request.name)
        checks.check_topic(request)
        with self._cloud.lock:
            if name in self._state.topics:
                raise checks.taken(name)
            made = types.Topic()
            plain(made).CopyFrom(plain(request))
            made.name, made.state, made.satisfies_pzs = name, types.Topic.State.ACTIVE, False
            self._state.topics[name] = Topic(made)
            self._cloud.changed("pubsub.topic.created", name, "")
        return made

    def get_topic(self, request: types.GetTopicRequest, call: Call) -> types.Topic:
        return self._topic(request.topic).message

    def list_topics(self, request: types.ListTopicsRequest, call: Call) -> types.ListTopicsResponse:
        checks.check_parent(self._cloud.project, request.project)
        with self._cloud.lock:
            found = [t.message for _, t in sorted(self._state.topics.items())]
        shown, token = page(
            found, request.page_size, request.page_token,
            scope=request.project, default=100, most=1000,
        )  # fmt: skip
        return types.ListTopicsResponse(topics=shown, next_page_token=token)

    def update_topic(self, request: types.UpdateTopicRequest, call: Call) -> types.Topic:
        with self._cloud.lock:
            found = self._topic(request.topic.name)
            mask = plain(request).update_mask
            checks.check_mask("Topic", mask.paths, found.message)
            wanted = merge(request.topic, mask, found.message)
            checks.check_topic(wanted)
            wanted.state = types.Topic.State.ACTIVE
            found.message = wanted
            if not found.retention_s:
                found.kept.clear()
            self._cloud.changed("pubsub.topic.updated", str(wanted.name), "")
        return wanted

    def delete_topic(self, request: types.DeleteTopicRequest, call: Call) -> empty_pb2.Empty:
        with self._cloud.lock:
            name = str(self._topic(request.topic).message.name)
            del self._state.topics[name]
            iam_state(self._cloud).policies.forget(name)
            kept = (*self._state.subscriptions.values(), *self._state.snapshots.values())
            for found in kept:
                if found.message.topic == name:
                    found.message.topic = DELETED_TOPIC
            self._cloud.changed("pubsub.topic.deleted", name, "")
        return empty_pb2.Empty()

    def publish(self, request: types.PublishRequest, call: Call) -> types.PublishResponse:
        with self._cloud.lock:
            name = str(self._topic(request.topic).message.name)
            checks.check_messages(request)
            drafts = [(m.data, m.attributes, m.ordering_key) for m in plain(request).messages]
            return types.PublishResponse(message_ids=self._broker.publish(name, drafts))

    def list_topic_subscriptions(
        self, request: types.ListTopicSubscriptionsRequest, call: Call
    ) -> types.ListTopicSubscriptionsResponse:
        with self._cloud.lock:
            self._state.settle()
            name = str(self._topic(request.topic).message.name)
            found = sorted(s.name for s in self._state.of_topic(name))
        shown, token = page(
            found, request.page_size, request.page_token, scope=name, default=100, most=1000
        )
        return types.ListTopicSubscriptionsResponse(subscriptions=shown, next_page_token=token)

    def list_topic_snapshots(
        self, request: types.ListTopicSnapshotsRequest, call: Call
    ) -> types.ListTopicSnapshotsResponse:
        with self._cloud.lock:
            self._state.settle()
            name = str(self._topic(request.topic).message.name)
            kept = self._state.snapshots.items()
            found = sorted(n for n, snapshot in kept if snapshot.message.topic == name)
        shown, token = page(
            found, request.page_size, request.page_token, scope=name, default=100, most=1000
        )
        return types.ListTopicSnapshotsResponse(snapshots=shown, next_page_token=token)

    def detach_subscription(
        self, request: types.DetachSubscriptionRequest, call: Call
    ) -> types.DetachSubscriptionResponse:
        name = checks.check_name(self._cloud.project, "subscriptions", request.subscription)
        with self._cloud.lock:
            self._state.settle()
            found = self._state.subscriptions.get(name)
            if found is None:
                raise checks.not_there(name)
            found.message.detached = True
            found.backlog.replace((), ())
            self._cloud.changed("pubsub.subscription.detached", name, "")
            self._state.arrived.notify_all()
        return types.DetachSubscriptionResponse()

    def _topic(self, given: str) -> Topic:
        name = checks.check_name(self._cloud.project, "topics", given)
        found = self._state.topics.get(name)
        if found is None:
            raise checks.not_there(name)
        return found
