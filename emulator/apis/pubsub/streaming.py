"""StreamingPull: messages as they arrive, over a stream of gRPC.

What the stream hands out and takes back are changes like those of the other methods, and written
down as them. A stream occupies a thread of the wire, so only some run at a time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import grpc
from google.pubsub_v1.types import pubsub as types

from emulator.apis.pubsub import checks
from emulator.apis.pubsub.delivery import INVALID_ACK
from emulator.apis.pubsub.model import pubsub_state
from emulator.apis.pubsub.subscriber import Subscriber
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.errors import ApiError
from emulator.wire.library import Method

_LOG = logging.getLogger("emulator")
_MOST_STREAMS: Final = 12
_LOOK_S: Final = 1.0
_FIRST_ONLY: Final = ("max_outstanding_messages", "max_outstanding_bytes", "client_id")


class Streams:
    """The streams of one emulator."""

    def __init__(self, cloud: Cloud, handler: Subscriber, methods: Mapping[str, Method]) -> None:
        self._cloud, self._handler, self._methods = cloud, handler, methods
        self._free = threading.BoundedSemaphore(_MOST_STREAMS)

    def streaming_pull(
        self, first: types.StreamingPullRequest, requests: Iterator[types.StreamingPullRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[types.StreamingPullResponse]:  # fmt: skip
        """Answer one stream until its caller goes.

        Raises:
            ApiError: the stream's end, as the caller is told it.
        """
        if not self._free.acquire(blocking=False):
            raise ApiError("RESOURCE_EXHAUSTED",
                           f"The emulator serves {_MOST_STREAMS} streams at a time.")  # fmt: skip
        try:
            checks.check_deadline(first.stream_ack_deadline_seconds, 10)
            yield from _Stream(self._cloud, self._handler, self._methods, first).run(
                requests, context
            )
        finally:
            self._free.release()


class _Stream:
    """One stream: a thread that reads what its caller says, and the one that answers.

    What both of them change (`_out`, `_told`) they change under the cloud's lock.
    """

    def __init__(
        self, cloud: Cloud, handler: Subscriber, methods: Mapping[str, Method],
        first: types.StreamingPullRequest,
    ) -> None:  # fmt: skip
        self._cloud, self._handler, self._methods = cloud, handler, methods
        self._state = pubsub_state(cloud)
        self._first, self._deadline_s = first, int(first.stream_ack_deadline_seconds)
        self._out: dict[str, int] = {}
        self._told: list[types.StreamingPullResponse] = []
        self._error: ApiError | None = None
        self._ended = False

    def run(
        self, requests: Iterator[types.StreamingPullRequest], context: grpc.ServicerContext
    ) -> Iterator[types.StreamingPullResponse]:
        """What the caller gets."""
        with self._cloud.lock:
            found = self._handler.pullable(self._first.subscription)
        self._first.subscription = found.name  # the caller may have given the project's number
        self._apply(self._first)
        reader = threading.Thread(target=self._read, args=(requests,), daemon=True)
        reader.start()
        context.add_callback(self._wake)
        yield types.StreamingPullResponse(
            subscription_properties=types.StreamingPullResponse.SubscriptionProperties(
                exactly_once_delivery_enabled=found.message.enable_exactly_once_delivery,
                message_ordering_enabled=found.message.enable_message_ordering,
            )
        )
        while context.is_active():
            ready = self._wait(context)
            if self._error is not None:
                raise self._error
            with self._cloud.lock:
                told, self._told = self._told, []
            yield from told
            if self._ended:
                return  # the caller has nothing more to say, and closes
            if ready and (answer := self._pull()) is not None:
                yield answer

    def _wake(self) -> None:
        with self._state.arrived:
            self._state.arrived.notify_all()

    def _wait(self, context: grpc.ServicerContext) -> bool:
        """Until there is something to do; whether messages can be handed out."""
        with self._state.arrived:
            while context.is_active():
                found = self._handler.pullable(self._first.subscription)
                now = self._cloud.clock.now()
                due = found.backlog.next_ready(now)
                for gone in self._handler.stale(found, self._out):
                    del self._out[gone]
                room = self._room() > 0
                if room and due is not None and due <= now:
                    return True
                if self._error or self._told or self._ended:
                    return False
                wait_s = _LOOK_S if due is None or not room else min(due - now, _LOOK_S)
                self._state.arrived.wait(max(wait_s, 0.005))
        return False

    def _room(self) -> int:
        """How many more messages the caller's flow control allows."""
        most = int(self._first.max_outstanding_messages)
        limit = int(self._first.max_outstanding_bytes)
        if 0 < limit <= sum(self._out.values()):
            return 0
        return most - len(self._out) if most > 0 else 1000

    def _pull(self) -> types.StreamingPullResponse | None:
        name = self._first.subscription
        request = types.PullRequest(subscription=name, max_messages=max(self._room(), 1))
        found = self._change("pull", self._handler.lease, request).received_messages
        if not found:
            return None
        ids = [r.ack_id for r in found]
        with self._cloud.lock:
            self._out |= {r.ack_id: len(r.message.data) for r in found}
            usual = self._handler.pullable(name).message.ack_deadline_seconds
        if usual != self._deadline_s:
            self._extend(ids, self._deadline_s)
        return types.StreamingPullResponse(received_messages=found)

    def _change(self, name: str, function: Callable[[Any, Call], Any], request: Any) -> Any:
        call = Call("grpc", self._methods[name], {})
        return self._cloud.changes.change(function, self._handler, request, call)

    def _read(self, requests: Iterator[types.StreamingPullRequest]) -> None:
        """What the caller says after its first request."""
        try:
            for request in requests:
                if any(getattr(request, name) for name in _FIRST_ONLY):
                    raise checks.bad_argument("flow control is set by a stream's first request")
                if request.stream_ack_deadline_seconds:
                    checks.check_deadline(request.stream_ack_deadline_seconds, 10)
                    self._deadline_s = int(request.stream_ack_deadline_seconds)
                self._apply(request)
                self._wake()
            self._ended = True
        except ApiError as error:
            self._error = error
        except grpc.RpcError:
            self._ended = True
        except Exception:  # noqa: BLE001 - else the stream would go on without its caller's answers
            _LOG.exception("StreamingPull failed")
            self._error = ApiError("INTERNAL", "Internal error encountered.")
        self._wake()

    def _apply(self, request: types.StreamingPullRequest) -> None:
        """Acknowledge and extend as a request says."""
        if len(request.modify_deadline_ack_ids) != len(request.modify_deadline_seconds):
            raise checks.bad_argument("modify_deadline_seconds")
        confirmations = types.StreamingPullResponse
        if ids := list(request.ack_ids):
            asked = types.AcknowledgeRequest(subscription=self._first.subscription, ack_ids=ids)
            bad = self._tried("acknowledge", self._handler.acknowledge, asked)
            self._forget(ids)
            self._confirm(acknowledge_confirmation=confirmations.AcknowledgeConfirmation(
                ack_ids=[i for i in ids if i not in bad], invalid_ack_ids=sorted(bad)))  # fmt: skip
        by_deadline: dict[int, list[str]] = {}
        given = zip(request.modify_deadline_ack_ids, request.modify_deadline_seconds, strict=True)
        for ack_id, deadline_s in given:
            by_deadline.setdefault(deadline_s, []).append(ack_id)
        for deadline_s, ids in by_deadline.items():
            bad = self._extend(ids, deadline_s)
            modified = confirmations.ModifyAckDeadlineConfirmation(
                ack_ids=[i for i in ids if i not in bad], invalid_ack_ids=sorted(bad)
            )
            self._confirm(modify_ack_deadline_confirmation=modified)

    def _extend(self, ids: list[str], deadline_s: int) -> set[str]:
        asked = types.ModifyAckDeadlineRequest(
            subscription=self._first.subscription, ack_ids=ids, ack_deadline_seconds=deadline_s
        )
        bad = self._tried("modify_ack_deadline", self._handler.modify_ack_deadline, asked)
        if deadline_s == 0:
            self._forget(ids)
        return bad

    def _tried(self, name: str, function: Callable[[Any, Call], Any], request: Any) -> set[str]:
        """Do it; the ids that were out no longer."""
        try:
            self._change(name, function, request)
        except ApiError as error:
            if error.reason != INVALID_ACK:
                raise
            info: Any = error.details[0]
            return set(info.metadata)
        return set()

    def _forget(self, ids: list[str]) -> None:
        with self._cloud.lock:
            for ack_id in ids:
                self._out.pop(ack_id, None)

    def _confirm(self, **confirmation: Any) -> None:
        with self._cloud.lock:
            found = self._state.subscriptions.get(self._first.subscription)
            if found is not None and found.message.enable_exactly_once_delivery:
                self._told.append(types.StreamingPullResponse(**confirmation))
