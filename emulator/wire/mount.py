"""What an API folder gives to the server: handlers bound to Google's types, or a plain router."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import grpc

from emulator.wire.library import HttpRule, Method, read_methods, read_streams

Asgi = Callable[
    [
        MutableMapping[str, Any],
        Callable[[], Awaitable[MutableMapping[str, Any]]],
        Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ],
    Awaitable[None],
]
# (first request, those that follow, gRPC's context) → answers; raises ApiError to end it.
StreamHandler = Callable[[Any, Iterator[Any], grpc.ServicerContext], Iterator[Any]]


@dataclass(frozen=True, slots=True)
class Mount:
    """One Google service: a handler object and the library module whose transports describe it.

    Attributes:
        prefix: where its REST paths start, e.g. "/tpu"; several mounts may share it. Where the
            library's own paths start with it too (compute), it need not be given twice.
        transports: e.g. "google.cloud.tpu_v2.services.tpu.transports".
        handler: has a method `name(request, call) -> response` per served RPC, snake_case.
        extra_rules: HTTP rules beside the library's, by method name.
        legacy_errors: whether errors carry compute's errors[] list.
        rest_only: the library has no gRPC transport; its types are loaded with the first request.
        streams: what answers methods of gRPC whose both sides are streams, by their names.
    """

    prefix: str
    transports: str
    handler: object
    extra_rules: Mapping[str, tuple[HttpRule, ...]] = field(default_factory=dict)
    legacy_errors: bool = False
    rest_only: bool = False
    streams: Mapping[str, StreamHandler] = field(default_factory=dict)

    def stream_methods(self) -> tuple[Method, ...]:
        """The served methods whose both sides are streams."""
        if not self.streams:
            return ()
        return tuple(m for m in read_streams(self.transports) if m.name in self.streams)

    def methods(self) -> tuple[Method, ...]:
        """The service's methods, served and not."""
        return read_methods(self.transports, self.extra_rules)


@dataclass(frozen=True, slots=True)
class RouterMount:
    """An ASGI application under a prefix, for what Google's libraries do not describe.

    The application sees paths without the prefix (`root_path` holds it), as with Starlette's Mount.

    Attributes:
        service: the API's name, e.g. "bigquery.googleapis.com": refused while it is disabled.
        own_turns: whether the application itself sees to it that a request (verb, path from the
            root) changes things in a turn, if at all.
    """

    prefix: str
    app: Asgi
    service: str = ""
    own_turns: Callable[[str, str], bool] = lambda _verb, _path: False
