"""Methods of gRPC whose both sides are streams; each occupies a thread for as long as it lasts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import grpc
from grpc_status import rpc_status

from emulator.wire.call import Call, check_enabled
from emulator.wire.errors import ApiError, to_status
from emulator.wire.library import Method
from emulator.wire.mount import StreamHandler

if TYPE_CHECKING:
    from emulator.context import Cloud

_LOG = logging.getLogger("emulator")


def stream_handler(
    cloud: Cloud, handler: object, method: Method, answer: StreamHandler,
    read: Callable[[bytes], Any], write: Callable[[Any], bytes],
) -> grpc.RpcMethodHandler:  # fmt: skip
    """What gRPC's server calls; `read` and `write` are the messages' codecs."""

    def serve(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[Any]:
        headers = {k: v for k, v in context.invocation_metadata() if isinstance(v, str)}
        call, outcome = Call("grpc", method, headers), "OK"
        given = map(read, requests)
        try:
            first = next(given, None)
            if first is not None:
                _enter(cloud, handler, first, call)
                yield from answer(first, given, context)
        except grpc.RpcError:
            outcome = "CANCELLED"
        except ApiError as error:
            outcome = error.code.name
            context.abort_with_status(rpc_status.to_status(to_status(error)))
        except Exception:  # noqa: BLE001 - a caller never gets less than Google's status
            outcome = "INTERNAL"
            _LOG.exception("%s failed", method.rpc)
            context.abort(grpc.StatusCode.INTERNAL, "Internal error encountered.")
        finally:
            cloud.calls.count(method.service, method.rpc, "grpc", outcome)

    return grpc.stream_stream_rpc_method_handler(serve, response_serializer=write)


def _enter(cloud: Cloud, handler: object, first: Any, call: Call) -> None:
    """Let a stream begin, by its first request.

    Raises:
        ApiError: its service is disabled, its caller may not, or a fault refuses it.
    """
    cloud.operations.settle()
    check_enabled(cloud, call.method.host)
    if cloud.gate is None:
        return
    passage = cloud.gate.pass_method(call, first, handler)
    if passage.cut:
        raise ApiError("UNAVAILABLE", "Connection reset by peer")
