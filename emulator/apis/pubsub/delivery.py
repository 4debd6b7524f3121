"""Handlers of google.pubsub.v1.Subscriber that hand messages out and take them back.

A pull that finds nothing waits and changes nothing; the handing-out itself is a change, written
down as the call that it stands for. So are those for a stream (streaming.py) and an endpoint
(push.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from google.protobuf import empty_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from google.pubsub_v1.types import pubsub as types

from emulator.apis.pubsub import checks
from emulator.apis.pubsub.backlog import Delivery
from emulator.apis.pubsub.model import State, Subscription
from emulator.apis.pubsub.subscriptions import Subscriptions
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.errors import ApiError
from emulator.wire.waiting import Waiting

PULL_WAIT_S: Final = 10.0
MOST_MESSAGES: Final = 1000
# An idle subscriber is noted so often: a subscription that somebody asks does not expire.
_NOTED_S: Final = 3600.0
INVALID_ACK: Final = "EXACTLY_ONCE_ACKID_FAILURE"


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a pull waits for: messages, or the subscription's end."""

    cloud: Cloud
    state: State
    found: Subscription

    @property
    def done(self) -> bool:
        """Whether there is nothing to wait for any longer; not, as far as is known, while somebody
        holds the lock: REST asks in its event loop."""
        if not self.cloud.lock.acquire(blocking=False):
            return False
        try:
            gone = self.state.subscriptions.get(self.found.name) is not self.found
            ready = next(self.found.backlog.ready(self.cloud.clock.now()), None)
            return gone or bool(self.found.message.detached) or ready is not None
        finally:
            self.cloud.lock.release()


class Delivering(Subscriptions):
    """Messages of subscriptions."""

    def pull(self, request: types.PullRequest, call: Call) -> types.PullResponse | Waiting:
        if request.max_messages <= 0:
            raise checks.bad_argument("max_messages")
        if self._cloud.turns.inside:
            return self.lease(request, call)
        with self._cloud.lock:
            found = self.pullable(request.subscription)
        arrival = Arrival(self._cloud, self._state, found)
        if request.return_immediately or arrival.done:
            return self._leased(request, call)
        return Waiting(arrival, PULL_WAIT_S, lambda: self._leased(request, call))

    def pullable(self, given: str) -> Subscription:
        """A subscription that messages can be pulled from; call with the lock."""
        found = self._attached(given)
        if found.pushes or found.exports:
            raise ApiError(
                "FAILED_PRECONDITION", "This method is not supported for this subscription type."
            )
        return found

    def _leased(self, request: types.PullRequest, call: Call) -> types.PullResponse:
        """What there is, handed out by a change of its own; no change where there is nothing."""
        with self._cloud.lock:
            found = self.pullable(request.subscription)
            now = self._cloud.clock.now()
            idle = next(found.backlog.ready(now), None) is None
            if idle and now - found.active_at < _NOTED_S:
                return types.PullResponse()
        return self._cloud.changes.change(self.lease, self, request, call)

    def lease(self, request: types.PullRequest, call: Call) -> types.PullResponse:
        """Hand messages out, within a turn."""
        with self._cloud.lock:
            found = self._attached(request.subscription)
            found.active_at = self._cloud.clock.now()
            leased = self._broker.lease(found, min(request.max_messages, MOST_MESSAGES))
            return types.PullResponse(received_messages=[self._received(found, d) for d in leased])

    def acknowledge(self, request: types.AcknowledgeRequest, call: Call) -> empty_pb2.Empty:
        with self._cloud.lock:
            found = self._attached(request.subscription)
            ids = self._read(request.ack_ids)
            current, stale = self._sorted(found, ids)
            wanted = current if found.message.enable_exactly_once_delivery else ids.values()
            serials = [serial for sub, serial, _ in wanted if sub == found.serial]
            found.active_at = self._cloud.clock.now()
            self._broker.acknowledge(found, serials)
            self._refuse_stale(found, stale)
        return empty_pb2.Empty()

    def modify_ack_deadline(
        self, request: types.ModifyAckDeadlineRequest, call: Call
    ) -> empty_pb2.Empty:
        with self._cloud.lock:
            found = self._attached(request.subscription)
            ids = self._read(request.ack_ids)
            checks.check_deadline(request.ack_deadline_seconds, 0)
            current, stale = self._sorted(found, ids)
            now = found.active_at = self._cloud.clock.now()
            for _, serial, _ in current:
                delivery = found.backlog.unacked.get(serial)
                if delivery is None:
                    continue
                if request.ack_deadline_seconds:
                    delivery.leased_until = now + request.ack_deadline_seconds
                else:
                    self._broker.give_back(found, delivery)
            self._refuse_stale(found, stale)
        return empty_pb2.Empty()

    def seek(self, request: types.SeekRequest, call: Call) -> types.SeekResponse:
        with self._cloud.lock:
            found = self._attached(request.subscription)
            pool = self._broker.pool(found)
            if "snapshot" in request:
                name = checks.check_name(self._cloud.project, "snapshots", request.snapshot)
                snapshot = self._state.snapshots.get(name)
                if snapshot is None:
                    raise checks.not_there(name)
                if snapshot.message.topic != found.message.topic:
                    raise ApiError(
                        "FAILED_PRECONDITION",
                        "The snapshot is of another topic than the subscription.",
                    )
                kept = {s: m for s, m in snapshot.held.items() if found.fits(m.attributes)}
                pool |= kept
                unacked = set(kept)
            elif "time" in request:
                stamp = request._pb.time
                at = stamp.seconds + stamp.nanos / 1e9
                found.discard_before = at if at > self._cloud.clock.now() else 0.0
                unacked = {s for s, m in pool.items() if m.published_at >= at}
            else:
                raise checks.bad_argument("target")
            found.active_at = self._cloud.clock.now()
            self._broker.seek(found, unacked, pool)
        return types.SeekResponse()

    def _received(self, found: Subscription, delivery: Delivery) -> types.ReceivedMessage:
        message = delivery.message
        stamp = Timestamp()
        stamp.FromMilliseconds(int(message.published_at * 1000))
        dead = bool(found.message.dead_letter_policy.dead_letter_topic)
        return types.ReceivedMessage(
            ack_id=self._state.ack_id(found, delivery),
            message=types.PubsubMessage(
                data=message.data, attributes=dict(message.attributes), message_id=message.id,
                publish_time=stamp, ordering_key=message.ordering_key,
            ),
            delivery_attempt=delivery.attempts if dead else 0,
        )  # fmt: skip

    def _read(self, given: Sequence[str]) -> dict[str, tuple[int, int, int]]:
        """Ack ids → (subscription, message, attempt)."""
        if not given:
            raise checks.invalid("You have not specified an ack ID in the request.")
        found: dict[str, tuple[int, int, int]] = {}
        for text in given:
            parts = self._state.read_ack_id(text)
            if parts is None:
                raise checks.invalid(
                    f"You have passed an invalid ack ID to the service (ack_id={text})."
                )
            found[text] = parts
        return found

    def _sorted(
        self, found: Subscription, ids: dict[str, tuple[int, int, int]]
    ) -> tuple[list[tuple[int, int, int]], list[str]]:
        """Those whose message is out by just this handing-out, and the others."""
        now = self._cloud.clock.now()
        current: list[tuple[int, int, int]] = []
        stale: list[str] = []
        for text, parts in ids.items():
            delivery = found.backlog.unacked.get(parts[1]) if parts[0] == found.serial else None
            if delivery and delivery.attempts == parts[2] and delivery.leased_until > now:
                current.append(parts)
            else:
                stale.append(text)
        return current, stale

    def stale(self, found: Subscription, ids: Iterable[str]) -> list[str]:
        """Those ack ids whose message is out no longer by that handing-out."""
        read = {i: parts for i in ids if (parts := self._state.read_ack_id(i))}
        return self._sorted(found, read)[1]

    @staticmethod
    def _refuse_stale(found: Subscription, stale: Sequence[str]) -> None:
        """With exactly-once delivery, tell which ids did nothing; the others did."""
        if stale and found.message.enable_exactly_once_delivery:
            raise ApiError(
                "INVALID_ARGUMENT",
                "Some acknowledgement ids in the request were invalid. This could be because the "
                "acknowledgement ids have expired or the acknowledgement ids were malformed.",
                reason=INVALID_ACK,
                domain=checks.SERVICE,
                metadata=dict.fromkeys(stale, "PERMANENT_FAILURE_INVALID_ACK_ID"),
                in_part=True,
            )
