"""Push delivery: real requests to endpoints on this machine; others are kept and sent nothing.

One message at a time per subscription. What an endpoint says is no part of the state: each
handing-out and each answer becomes a change, written down as the call that it stands for.
"""

from __future__ import annotations

import base64
import http.client
import json
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from urllib.parse import urlsplit

from google.pubsub_v1.types import pubsub as types

from emulator.apis.pubsub.checks import on_loopback
from emulator.apis.pubsub.model import Subscription, pubsub_state
from emulator.apis.pubsub.subscriber import Subscriber
from emulator.clock import rfc3339
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.errors import ApiError
from emulator.wire.library import Method

_LOG = logging.getLogger("emulator")
_SENDERS: Final = 4
_TAKEN: Final = frozenset({102, 200, 201, 202, 204})
_PAUSE_S: Final = (0.1, 60.0)


class Pushing:
    """The thread that sees to endpoints, and those that ask them."""

    def __init__(self, cloud: Cloud, handler: Subscriber, methods: Mapping[str, Method]) -> None:
        self._cloud, self._handler, self._methods = cloud, handler, methods
        self._state = pubsub_state(cloud)
        # By the subscriptions' serials.
        self._busy: set[int] = set()
        self._failures: dict[int, int] = {}
        self._paused_until: dict[int, float] = {}
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to send."""
        self._thread = threading.Thread(target=self._loop, name="pubsub-push", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send nothing more."""
        with self._state.arrived:
            self._stopping = True
            self._state.arrived.notify_all()
        if self._thread:
            self._thread.join(timeout=5)

    def _loop(self) -> None:
        senders = ThreadPoolExecutor(_SENDERS, thread_name_prefix="pubsub-push")
        while True:
            with self._state.arrived:
                if self._stopping:
                    senders.shutdown(wait=False, cancel_futures=True)
                    return
                now = self._cloud.clock.now()
                due, later = self._due(now)
                for found in due:
                    self._busy.add(found.serial)
                    senders.submit(self._send, found)
                if not due:
                    self._state.arrived.wait(None if later is None else max(later - now, 0.005))

    def _due(self, now: float) -> tuple[list[Subscription], float | None]:
        """Subscriptions with something to send now, and when the next has."""
        self._state.settle()
        due: list[Subscription] = []
        later: float | None = None
        for found in self._state.subscriptions.values():
            endpoint = found.message.push_config.push_endpoint
            if not found.pushes or found.serial in self._busy or not on_loopback(endpoint):
                continue
            at = found.backlog.next_ready(now)
            if at is None:
                continue
            at = max(at, self._paused_until.get(found.serial, 0.0))
            if at <= now:
                due.append(found)
            else:
                later = at if later is None else min(later, at)
        return due, later

    def _send(self, found: Subscription) -> None:
        """Hand one message to the endpoint, and take its answer."""
        # This one, which is on this machine, whatever the subscription says by the time of sending.
        config, timeout_s = found.message.push_config, found.message.ack_deadline_seconds
        try:
            if not on_loopback(config.push_endpoint):
                return
            request = types.PullRequest(subscription=found.name, max_messages=1)
            for received in self._change("pull", self._handler.lease, request).received_messages:
                fine = _posted(config, found.name, received, float(timeout_s))
                self._answered(found, received.ack_id, fine=fine)
        except ApiError as error:
            _LOG.info("push of %s: %s", found.name, error.message)
            self._pause(found.serial)
        except Exception:  # noqa: BLE001 - else nobody would hear of it, and it be tried at once
            _LOG.exception("push of %s failed", found.name)
            self._pause(found.serial)
        finally:
            with self._state.arrived:
                self._busy.discard(found.serial)
                self._state.arrived.notify_all()

    def _answered(self, found: Subscription, ack_id: str, *, fine: bool) -> None:
        name = found.name
        if fine:
            self._failures.pop(found.serial, None)
            done = types.AcknowledgeRequest(subscription=name, ack_ids=[ack_id])
            self._change("acknowledge", self._handler.acknowledge, done)
            return
        self._pause(found.serial)
        back = types.ModifyAckDeadlineRequest(subscription=name, ack_ids=[ack_id])
        self._change("modify_ack_deadline", self._handler.modify_ack_deadline, back)

    def _pause(self, serial: int) -> None:
        """Send a subscription's endpoint nothing for a while, longer each time in a row."""
        failures = self._failures[serial] = self._failures.get(serial, 0) + 1
        least, most = _PAUSE_S
        wait_s = min(least * 2.0 ** min(failures - 1, 20), most)
        self._paused_until[serial] = self._cloud.clock.now() + wait_s

    def _change(self, name: str, function: Callable[[Any, Call], Any], request: Any) -> Any:
        call = Call("grpc", self._methods[name], {})
        return self._cloud.changes.change(function, self._handler, request, call)


def _posted(
    config: types.PushConfig, subscription: str, received: types.ReceivedMessage, timeout_s: float
) -> bool:
    """Whether the endpoint took the message."""
    parts = urlsplit(config.push_endpoint)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout_s)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    body, headers = _request(config, subscription, received)
    try:
        connection.request("POST", path, body, headers)
        return connection.getresponse().status in _TAKEN
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()


def _request(
    config: types.PushConfig, subscription: str, received: types.ReceivedMessage
) -> tuple[bytes, dict[str, str]]:
    """(body, headers): the message in JSON, or as it is where the wrapper is off."""
    message, inside = received.message, config._pb
    stamp = message._pb.publish_time
    at = rfc3339(stamp.seconds + stamp.nanos / 1e9, "milliseconds")
    headers = {"User-Agent": "CloudPubSub-Google"}
    if inside.HasField("no_wrapper"):
        if config.no_wrapper.write_metadata:
            told = {
                "subscription-name": subscription, "message-id": message.message_id,
                "publish-time": at, "ordering-key": message.ordering_key,
                "delivery-attempt": str(received.delivery_attempt or ""),
            }  # fmt: skip
            headers |= {f"x-goog-pubsub-{k}": v for k, v in told.items() if v}
            headers |= dict(message.attributes)
        return message.data, headers
    told = {
        "attributes": dict(message.attributes), "data": base64.b64encode(message.data).decode(),
        "messageId": message.message_id, "message_id": message.message_id,
        "orderingKey": message.ordering_key, "publishTime": at, "publish_time": at,
    }  # fmt: skip
    whole: dict[str, Any] = {
        "message": {k: v for k, v in told.items() if v},
        "subscription": subscription,
    }
    if received.delivery_attempt:
        whole["deliveryAttempt"] = received.delivery_attempt
    return json.dumps(whole).encode(), headers | {"Content-Type": "application/json"}
