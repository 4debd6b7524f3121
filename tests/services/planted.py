"""Servers that misbehave on purpose: HTTP answers of any kind, gRPC statuses with details."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status


@dataclass
class Answer:
    """What the planted HTTP server says next; `delay_s` before it says so."""

    status: int = 200
    body: bytes = b"{}"
    content_type: str = "application/json"
    delay_s: float = 0.0
    cut: bool = False  # close the connection in the middle of the body


@dataclass
class PlantedHttp:
    """A server that answers every request with `answers` in turn, the last one for ever."""

    url: str
    answers: list[Answer] = field(default_factory=lambda: [Answer()])
    seen: list[str] = field(default_factory=list[str])

    def next(self) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def planted_http() -> Iterator[PlantedHttp]:
    """A planted HTTP server on a free port."""
    planted = PlantedHttp("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            self.rfile.read(length)
            planted.seen.append(f"{self.command} {self.path}")
            answer = planted.next()
            time.sleep(answer.delay_s)
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            extra = 1000 if answer.cut else 0
            self.send_header("Content-Length", str(len(answer.body) + extra))
            self.end_headers()
            self.wfile.write(answer.body)
            if answer.cut:
                self.wfile.flush()
                self.close_connection = True

        do_GET = do_POST = do_PUT = _serve  # noqa: N815 - http.server calls these names

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    planted.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield planted
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class PlantedGrpc:
    """A gRPC server that answers every method with one status.

    `only`: other requests than those that hold these bytes get an empty answer.
    """

    target: str
    code: int = code_pb2.UNAVAILABLE
    message: str = "planted"
    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    delay_s: float = 0.0
    calls: int = 0
    only: bytes = b""

    def status(self) -> status_pb2.Status:
        """The status with its ErrorInfo."""
        status = status_pb2.Status(code=self.code, message=self.message)
        if self.reason:
            detail = AnyMessage()
            detail.Pack(
                error_details_pb2.ErrorInfo(
                    reason=self.reason, domain="googleapis.com", metadata=self.metadata
                )
            )
            status.details.append(detail)
        return status


@contextmanager
def planted_grpc() -> Iterator[PlantedGrpc]:
    """A planted gRPC server on a free port."""
    planted = PlantedGrpc("")

    class Everything(grpc.GenericRpcHandler):
        def service(self, handler_call_details: Any) -> Any:
            def refuse(request: bytes, context: grpc.ServicerContext) -> bytes:
                planted.calls += 1
                if planted.only not in request:
                    return b""
                time.sleep(planted.delay_s)
                context.abort_with_status(rpc_status.to_status(planted.status()))
                raise AssertionError("abort raises")

            return grpc.unary_unary_rpc_method_handler(refuse)

    server = grpc.server(ThreadPoolExecutor(4), handlers=[Everything()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    planted.target = f"127.0.0.1:{port}"
    try:
        yield planted
    finally:
        server.stop(None).wait(2)
