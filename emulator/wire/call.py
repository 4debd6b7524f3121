"""One call: who asks, over which wire, and the way every handler is run and counted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from emulator.wire.errors import ApiError, service_disabled, unimplemented
from emulator.wire.library import Method

if TYPE_CHECKING:
    from emulator.context import Cloud

_LOG = logging.getLogger("emulator")


@dataclass(slots=True)
class Fate:
    """What faults do to a call's answer: it waits, and may be cut ("truncate" or "reset")."""

    wait_s: float = 0.0
    cut: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """What a handler may want to know beside its request.

    Attributes:
        wire: "grpc" or "rest".
        method: the method called.
        headers: request headers or gRPC metadata, names in lower case.
        base_url: for selfLinks: scheme, host and prefix as the caller addressed them; "" on gRPC.
        query: parameters of a REST call's query.
        payload: a REST call's body as it came: a message cannot tell what null was said of.
        path: a REST call's path below the prefix.
        fate: what is to become of the answer; set while the call runs.
    """

    wire: str
    method: Method
    headers: Mapping[str, str]
    base_url: str = ""
    query: tuple[tuple[str, str], ...] = ()
    payload: bytes = b""
    fate: Fate = field(default_factory=Fate)
    path: str = ""


def check_enabled(cloud: Cloud, service: str) -> None:
    """Pass a service, e.g. "tpu.googleapis.com", that the project has not disabled.

    Raises:
        ApiError: PERMISSION_DENIED with the reason SERVICE_DISABLED.
    """
    title = cloud.disabled_services.get(service)
    if title is not None:
        raise service_disabled(cloud.project.number, service, title)


def _pass(
    cloud: Cloud, handler: object, request: Any, call: Call, function: Callable[[Any, Call], Any]
) -> Any:
    """Run the function that answers a call once the gate lets it."""
    gate = cloud.gate
    if gate is None:
        return cloud.changes.call(function, handler, request, call)
    try:
        passage = gate.pass_method(call, request, handler)
    except ApiError as error:
        call.fate.wait_s = getattr(error, "wait_s", 0.0)
        raise
    call.fate.wait_s, call.fate.cut = passage.wait_s, passage.cut
    if passage.cut == "reset":
        raise ApiError("UNAVAILABLE", "Connection reset by peer")

    def answer(request: Any, call: Call) -> Any:
        with gate.passing(passage):
            return function(request, call)

    return cloud.changes.call(answer, handler, request, call)


def invoke(cloud: Cloud, handler: object, request: Any, call: Call) -> Any:
    """Run the handler of a call, counted by outcome.

    Raises:
        ApiError: whatever the handler refuses with; INTERNAL (logged) for an unforeseen exception.
    """
    method = call.method
    outcome = "OK"
    try:
        cloud.operations.settle()
        check_enabled(cloud, method.host)
        function = getattr(handler, method.name, None)
        if function is None:
            raise unimplemented(method.rpc)
        return _pass(cloud, handler, request, call, function)
    except ApiError as error:
        outcome = error.code.name
        raise
    except Exception as error:
        outcome = "INTERNAL"
        _LOG.exception("%s failed", method.rpc)
        raise ApiError("INTERNAL", "Internal error encountered.") from error
    finally:
        cloud.calls.count(method.service, method.rpc, call.wire, outcome)
