"""The gRPC server: one port, every mounted service, messages of any size."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import message
from grpc_status import rpc_status

from emulator.wire.call import Call, invoke
from emulator.wire.codec import plain
from emulator.wire.errors import ApiError, invalid, to_status
from emulator.wire.grpc_streams import stream_handler
from emulator.wire.library import Method
from emulator.wire.mount import Mount
from emulator.wire.waiting import GRPC_WAITS, GrpcWaits, Waiting

if TYPE_CHECKING:
    from emulator.context import Cloud

_LOG = logging.getLogger("emulator")
# Twelve of them for streams, at most (apis/pubsub/streaming.py).
_THREADS = 32 + GRPC_WAITS + 12
_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),
)


def build_server(cloud: Cloud, mounts: Iterable[Mount]) -> grpc.Server:
    """A server with every mounted gRPC method, not yet started nor bound.

    A path that several services share (google.longrunning.Operations, google.cloud.location) goes
    to the first mount whose handler has the method.
    """
    by_path: dict[str, tuple[object, Method]] = {}
    served = [m for m in mounts if not m.rest_only]
    for mount in served:
        for method in mount.methods():
            if not method.grpc_path:
                continue
            known = by_path.get(method.grpc_path)
            if known is None or not hasattr(known[0], method.name):
                by_path[method.grpc_path] = (mount.handler, method)
    waits = GrpcWaits()
    by_service: dict[str, dict[str, grpc.RpcMethodHandler]] = {}
    for path, (handler, method) in by_path.items():
        service, rpc = path.strip("/").split("/")
        by_service.setdefault(service, {})[rpc] = _rpc_handler(cloud, handler, method, waits)
    for mount in served:
        for method in mount.stream_methods():
            service, rpc = method.grpc_path.strip("/").split("/")
            by_service.setdefault(service, {})[rpc] = stream_handler(
                cloud, mount.handler, method, mount.streams[method.name],
                partial(_parse, _reader(method.request)), _serialise,
            )  # fmt: skip
    server = grpc.server(
        ThreadPoolExecutor(_THREADS, thread_name_prefix="grpc"), options=list(_OPTIONS)
    )
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(s, handlers) for s, handlers in by_service.items()]
    )
    return server


def _rpc_handler(
    cloud: Cloud, handler: object, method: Method, waits: GrpcWaits
) -> grpc.RpcMethodHandler:
    read = _reader(method.request)

    def serve(request: bytes, context: grpc.ServicerContext) -> Any:
        headers = {k: v for k, v in context.invocation_metadata() if isinstance(v, str)}
        call = Call("grpc", method, headers)
        try:
            asked = _parse(read, request)
            try:
                answer = invoke(cloud, handler, asked, call)
                if isinstance(answer, Waiting):
                    answer = waits.wait(answer, context)
            finally:
                _wait(call.fate.wait_s, context)
            if call.fate.cut:
                raise ApiError("INTERNAL", "Received RST_STREAM with error code 2")
            if cloud.exchanges is not None:
                cloud.exchanges.add_grpc(method, asked, answer)
            return answer
        except ApiError as error:
            context.abort_with_status(rpc_status.to_status(to_status(error)))

    # Requests come as bytes and are read here: what gRPC's own reader cannot read becomes INTERNAL.
    return grpc.unary_unary_rpc_method_handler(serve, response_serializer=_serialise)


def _wait(seconds: float, context: grpc.ServicerContext) -> None:
    """Let the caller wait, unless it goes away meanwhile."""
    if seconds:
        gone = threading.Event()
        if context.add_callback(gone.set):
            gone.wait(seconds)


def _parse(read: Callable[[bytes], Any], request: bytes) -> Any:
    try:
        return read(request)
    except message.DecodeError as error:
        raise invalid("Request message could not be parsed.") from error


def _serialise(response: Any) -> bytes:
    return plain(response).SerializeToString()


def _reader(message_class: type[Any]) -> Callable[[bytes], Any]:
    if issubclass(message_class, message.Message):
        return message_class.FromString
    return message_class.deserialize
