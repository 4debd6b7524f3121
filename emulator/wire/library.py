"""Reads out of Google's installed client libraries what they call: paths, types, HTTP rules.

Nothing is typed by hand: gRPC paths and message types come from the gRPC transport class, HTTP
rules from the REST one. Serving them is the business of `grpc_wire` and `rest`.
"""

from __future__ import annotations

import importlib
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import ModuleType
from typing import Any

import grpc
from google.protobuf import empty_pb2

# gRPC services that one port can offer once, whatever API's operations or locations they tell of.
_SHARED = ("/google.longrunning.", "/google.cloud.location.")


@dataclass(frozen=True, slots=True)
class HttpRule:
    """One google.api.http rule: verb, URI template, and which field is the body ("*": all)."""

    verb: str
    uri: str
    body: str = ""


@dataclass(frozen=True, slots=True)
class Method:
    """One method of a Google service as its client library calls it.

    Attributes:
        service: e.g. "google.cloud.tpu.v2.Tpu".
        name: name of the handler's method, e.g. "list_nodes".
        rpc: e.g. "ListNodes".
        grpc_path: e.g. "/google.cloud.tpu.v2.Tpu/ListNodes"; "" where there is no gRPC.
        request, response: message classes, proto-plus or plain protobuf.
        rules: HTTP rules, most specific first as in the library.
        host: the API's name, e.g. "tpu.googleapis.com"; "" for mix-ins that several APIs share.
    """

    service: str
    name: str
    rpc: str
    grpc_path: str
    request: type[Any]
    response: type[Any]
    rules: tuple[HttpRule, ...]
    host: str = ""


_Stub = tuple[str, Callable[..., bytes], Callable[[bytes], Any]]


class _Recorder(grpc.Channel):
    """A channel that only notes what stubs a transport makes on it."""

    def __init__(self) -> None:
        self.made: list[_Stub] = []
        self.streams: list[_Stub] = []

    def unary_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,
    ) -> Any:
        self.made.append((method, request_serializer, response_deserializer))
        return lambda *_args, **_kwargs: None

    def unary_stream(self, *_args: Any, **_kwargs: Any) -> Any:
        return lambda *_args, **_kwargs: None

    stream_unary = unary_stream

    def stream_stream(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,
    ) -> Any:
        self.streams.append((method, request_serializer, response_deserializer))
        return lambda *_args, **_kwargs: None

    def subscribe(self, callback: Any, try_to_connect: bool | None = None) -> None: ...

    def unsubscribe(self, callback: Any) -> None: ...

    def close(self) -> None: ...

    def __enter__(self) -> _Recorder:
        return self

    def __exit__(self, *_args: object) -> None: ...


def read_methods(
    transports: str, extra_rules: Mapping[str, tuple[HttpRule, ...]] | None = None
) -> tuple[Method, ...]:
    """All unary methods of the service whose transports lie in that module.

    Args:
        transports: e.g. "google.cloud.tpu_v2.services.tpu.transports".
        extra_rules: HTTP rules by method name ("list_nodes") to add to the library's own: for
            libraries without REST transport, or paths that only gcloud calls.
    """
    extra = extra_rules or {}
    return tuple(
        replace(m, rules=(*m.rules, *extra.get(m.name, ()))) for m in _library_methods(transports)
    )


def read_streams(transports: str) -> tuple[Method, ...]:
    """The service's methods of gRPC whose both sides are streams; REST has none."""
    module = importlib.import_module(transports)
    host = _host(module)
    return tuple(
        Method(path.split("/")[1], name, path.rsplit("/", 1)[-1], path, request, response, (), host)
        for name, path, request, response in _grpc_methods(module, streams=True)
    )


def _host(module: ModuleType) -> str:
    """The API's name."""
    return next(v.DEFAULT_HOST for n, v in vars(module).items() if n.endswith("Transport"))


@cache
def _library_methods(transports: str) -> tuple[Method, ...]:
    module = importlib.import_module(transports)
    rules = _http_rules(transports)
    found = _grpc_methods(module) or _rest_methods(transports)
    host = _host(module)
    return tuple(
        Method(
            service=path.split("/")[1] if path else _service(transports),
            name=name,
            rpc=path.rsplit("/", 1)[-1] if path else "".join(p.title() for p in name.split("_")),
            grpc_path=path,
            request=request,
            response=response,
            rules=rules.get(_key(name), ()),
            host="" if path.startswith(_SHARED) else host,
        )
        for name, path, request, response in found
    )


def _service(transports: str) -> str:
    """ "google.cloud.compute_v1.services.url_maps.transports" → google.cloud.compute.v1.UrlMaps"""
    package, _, folder = transports.removesuffix(".transports").partition(".services.")
    camel = "".join(part.title() for part in folder.split("_"))
    return f"{package.replace('_v', '.v')}.{camel}"


def _key(name: str) -> str:
    return name.replace("_", "").lower()


_Found = list[tuple[str, str, type[Any], type[Any]]]


def _grpc_methods(module: ModuleType, *, streams: bool = False) -> _Found:
    transport_class = next(
        (v for n, v in vars(module).items() if n.endswith("GrpcTransport")), None
    )
    if transport_class is None:
        return []
    recorder = _Recorder()
    transport = transport_class(channel=recorder)
    names = list(transport._stubs)
    transport._stubs.clear()
    transport._logged_channel = transport._grpc_channel = recorder
    found: _Found = []
    made = recorder.streams if streams else recorder.made
    for name in names:
        before = len(made)
        getattr(transport, name)
        if len(made) == before:
            continue
        path, serialise, deserialise = made[-1]
        request = getattr(serialise, "__self__", None) or _types(transport_class, name)[0]
        response = getattr(deserialise, "__self__", empty_pb2.Empty)
        found.append((name, path, request, response))
    return found


def _rest_methods(transports: str) -> _Found:
    module = importlib.import_module(f"{transports}.rest")
    transport_class = next(
        v for n, v in vars(module).items() if n.endswith("RestTransport") and not n.startswith("_")
    )
    properties = [n for n, v in vars(transport_class).items() if isinstance(v, property)]
    return [
        (name, "", *_types(transport_class, name))
        for name in properties
        if _key(name) in _http_rules(transports)
    ]


def _types(transport_class: type[Any], name: str) -> tuple[type[Any], type[Any]]:
    hint = typing.get_type_hints(getattr(transport_class, name).fget)["return"]
    (request,), response = typing.get_args(hint)
    return request, empty_pb2.Empty if response in (None, type(None)) else response


@cache
def _http_rules(transports: str) -> dict[str, tuple[HttpRule, ...]]:
    try:
        module = importlib.import_module(f"{transports}.rest_base")
    except ModuleNotFoundError:
        return {}
    base = next(v for n, v in vars(module).items() if re.fullmatch(r"_Base\w+RestTransport", n))
    rules: dict[str, tuple[HttpRule, ...]] = {}
    for name, value in vars(base).items():
        if name.startswith("_Base") and hasattr(value, "_get_http_options"):
            options = value._get_http_options()
            rules[name.removeprefix("_Base").lower()] = tuple(
                HttpRule(o["method"].upper(), o["uri"], o.get("body", "")) for o in options
            )
    return rules
