"""The emulator's process: binds its ports, serves until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import pkgutil
import platform
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import uvicorn
from starlette.responses import Response

import emulator.apis
from emulator.client_files import client_files
from emulator.collector import freeze_after
from emulator.context import Cloud, make_cloud
from emulator.exchanges import Exchanges, Recorded
from emulator.faults.breaking import BreakableProtocol
from emulator.journal.start import Kept, go_on, open_state
from emulator.scenario import SCENARIOS
from emulator.settings import (
    GRPC_PORT_VARIABLE,
    LB_PORT_VARIABLE,
    PORT_VARIABLE,
    TLS_PORT_VARIABLE,
    Settings,
)
from emulator.wire.grpc_wire import build_server
from emulator.wire.lean import skip_package_imports
from emulator.wire.mount import Asgi, Mount, RouterMount
from emulator.wire.rest import RestApp, json_response
from emulator.wire.visitors import OwnProgramsOnly, is_loopback

_LOG = logging.getLogger("emulator")
VERSION = "0.1.0"
_GRACE_S = 2.0


class PortInUse(Exception):
    """A port is taken; the message names it and the variable that changes it."""


def load_apis(cloud: Cloud) -> list[Mount | RouterMount]:
    """What every folder of `emulator.apis` mounts, in the folders' order."""
    mounts: list[Mount | RouterMount] = []
    with cloud.clock.at(cloud.clock.started_at):
        for module in sorted(pkgutil.iter_modules(emulator.apis.__path__), key=lambda m: m.name):
            if module.ispkg:
                package = importlib.import_module(f"emulator.apis.{module.name}")
                mounts.extend(package.build(cloud))
    return mounts


def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Run an emulator until SIGTERM or SIGINT; `announce` gets one line once it answers.

    Raises:
        PortInUse: a port is taken.
        StateError: the state directory cannot be used.
        RuleError: the file of fault rules cannot.
    """
    skip_package_imports()
    # These import some of those packages.
    from emulator.data_plane.port import DataPlanePort
    from emulator.faults.start import set_gate
    from emulator.local_pods.kubelet import LocalKubelet
    from emulator.scenario_control import PATH, ScenarioControl
    from emulator.storyteller import Storyteller

    folder = open_state(settings)
    cloud = make_cloud(settings, folder.head.started_at if folder else None)
    cloud.scratch_dir = folder.scratch if folder else None
    listener = _listen(settings, settings.rest_port, PORT_VARIABLE)
    balancer = _listen(settings, settings.lb_port, LB_PORT_VARIABLE)
    teller = Storyteller(cloud)
    teller.open()
    mounts = set_gate(cloud, load_apis(cloud))
    mounts.append(RouterMount(PATH, ScenarioControl(cloud, teller)))
    grpc_server = build_server(cloud, [m for m in mounts if isinstance(m, Mount)])
    grpc_port = _bind_grpc(grpc_server, settings)
    cloud.endpoints.rest_url = f"http://{settings.host}:{listener.getsockname()[1]}"
    cloud.endpoints.grpc_target = f"{settings.host}:{grpc_port}"
    cloud.endpoints.lb_url = f"http://{settings.host}:{balancer.getsockname()[1]}"
    health = _Health(cloud)
    app = RestApp(cloud, mounts, {"/healthz": health, "/metrics": _Metrics(cloud)})
    if folder is not None:
        served = [m for m in mounts if isinstance(m, Mount)]
        health.kept = go_on(cloud, folder, served, app.changing)
    recorded: Asgi = OwnProgramsOnly(app, settings.host)
    if settings.record is not None:
        cloud.exchanges = Exchanges(settings.record)
        recorded = Recorded(recorded, cloud.exchanges)
    if cloud.gate is not None:
        cloud.gate.begin(settings.faults)
    grpc_server.start()
    plane = DataPlanePort(cloud, balancer)
    cloud.on_start(plane.start)
    cloud.on_stop(plane.stop)
    kubelet = LocalKubelet(cloud, settings.local_pods)
    cloud.on_start(kubelet.start)
    cloud.on_stop(kubelet.stop)
    if settings.tls_port is not None:
        _open_tls(cloud, settings, settings.tls_port)
    cloud.started()
    if not is_loopback(settings.host):
        _LOG.warning("listens at %s: whoever reaches it owns the emulated project", settings.host)
    try:
        asyncio.run(_serve_rest(cloud, recorded, app.load, listener, announce))
    finally:
        cloud.stopped()
        grpc_server.stop(_GRACE_S).wait(_GRACE_S)


def _listen(settings: Settings, port: int, variable: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where the protocol is named; with it every small
    # answer on a kept connection waits 40 ms for an acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, port))
    except OSError as error:
        raise _taken(settings, port, variable, error) from error
    return listener


def _open_tls(cloud: Cloud, settings: Settings, port: int) -> None:
    from emulator.tls import TlsPort  # only here: few ask for it, and it imports much

    tls = TlsPort(client_files().folder / "tls", settings.host, port)
    try:
        cloud.endpoints.tls = tls.start(cloud.endpoints.rest_url)
    except OSError as error:
        raise _taken(settings, port, TLS_PORT_VARIABLE, error) from error
    cloud.on_stop(tls.stop)


def _bind_grpc(server: grpc.Server, settings: Settings) -> int:
    try:
        port = server.add_insecure_port(f"{settings.host}:{settings.grpc_port}")
    except RuntimeError as error:
        raise _taken(settings, settings.grpc_port, GRPC_PORT_VARIABLE, error) from error
    return port


def _taken(settings: Settings, port: int, variable: str, error: Exception) -> PortInUse:
    reason = getattr(error, "strerror", None) or "in use"
    return PortInUse(f"port {port} on {settings.host}: {reason}; set {variable} to another port")


class _Uvicorn(uvicorn.Server):
    """Leaves signals to this module: uvicorn would raise them again after it has stopped."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve_rest(
    cloud: Cloud,
    app: Asgi,
    load: Callable[[], None],
    listener: socket.socket,
    announce: Callable[[str], None],
) -> None:
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_level="warning",
        access_log=False,
        http=BreakableProtocol,
        timeout_graceful_shutdown=int(_GRACE_S),
        server_header=False,
    )
    server = _Uvicorn(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: setattr(server, "should_exit", True))
    serving = loop.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    announce(
        f"emulator ready: scenario {cloud.scenario.name}, rest {cloud.endpoints.rest_url}, "
        f"grpc {cloud.endpoints.grpc_target}, load balancer {cloud.endpoints.lb_url}"
    )
    await asyncio.gather(serving, asyncio.to_thread(freeze_after, load))


class _Health:
    """GET /healthz."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._began = time.monotonic()
        self.kept: Kept | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer with who and how long."""
        cloud = self._cloud
        body = {
            "status": "ok",
            "scenario": cloud.scenario.name,
            "scenarios": sorted(SCENARIOS),
            "speed": cloud.clock.speed,
            "seed": cloud.seed,
            "uptime_s": round(time.monotonic() - self._began, 3),
            "versions": {
                "emulator": VERSION,
                "python": platform.python_version(),
                "grpc": grpc.__version__,
            },
            "project": cloud.project.id,
            "tls_address": cloud.endpoints.tls.address if cloud.endpoints.tls else None,
            "rest_url": cloud.endpoints.rest_url,
            "grpc_target": cloud.endpoints.grpc_target,
            "lb_url": cloud.endpoints.lb_url,
            "state": self.kept.body() if self.kept else None,
        }
        await json_response(body)(scope, receive, send)


class _Metrics:
    """GET /metrics."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer with Prometheus text."""
        text = self._cloud.calls.exposition()
        await Response(text, media_type="text/plain; version=0.0.4")(scope, receive, send)
