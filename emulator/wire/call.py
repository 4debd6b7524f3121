"""One call: who asks, over which wire, and the way every handler is run and counted."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emulator.wire.errors import ApiError, service_disabled, unimplemented
from emulator.wire.library import Method

if TYPE_CHECKING:
    from emulator.context import Cloud

_LOG = logging.getLogger("emulator")


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
    """

    wire: str
    method: Method
    headers: Mapping[str, str]
    base_url: str = ""
    query: tuple[tuple[str, str], ...] = ()
    payload: bytes = b""


def check_enabled(cloud: Cloud, service: str) -> None:
    """Pass a service, e.g. "tpu.googleapis.com", that the project has not disabled.

    Raises:
        ApiError: PERMISSION_DENIED with the reason SERVICE_DISABLED.
    """
    title = cloud.disabled_services.get(service)
    if title is not None:
        raise service_disabled(cloud.project.number, service, title)


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
        return cloud.changes.call(function, handler, request, call)
    except ApiError as error:
        outcome = error.code.name
        raise
    except Exception as error:
        outcome = "INTERNAL"
        _LOG.exception("%s failed", method.rpc)
        raise ApiError("INTERNAL", "Internal error encountered.") from error
    finally:
        cloud.calls.count(method.service, method.rpc, call.wire, outcome)
