"""`python -m serving`: reads the settings, opens the port at once, serves until told to stop.

SIGTERM and SIGINT drain: /ready says 503 at once, running requests finish within a limit, then
the process ends with 0; a second signal ends it without waiting. A model that cannot be loaded
ends it with 1, a wrong setting with 2.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import time
from collections.abc import Iterator

import uvicorn

from serving.api.app import make_app
from serving.checkpoint_path import find_model, name_model
from serving.engine import Engine
from serving.metrics import Metrics
from serving.settings import Settings, SettingsError, read_settings
from serving.vocabulary import CheckpointError

log = logging.getLogger("serving")


class _Server(uvicorn.Server):
    """uvicorn, with signals left to `_serve`: its own handling closes the port before draining."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _drain(engine: Engine, server: uvicorn.Server, limit_s: float) -> None:
    log.info("draining: %d requests to finish", engine.unfinished)
    engine.drain()
    end = time.monotonic() + limit_s
    while engine.unfinished and time.monotonic() < end:
        await asyncio.sleep(0.05)
    if engine.unfinished:
        log.warning("%d requests are ended unfinished", engine.unfinished)
    server.should_exit = True


async def _watch_loading(engine: Engine, server: uvicorn.Server) -> None:
    """End the server when the model cannot be loaded."""
    while engine.state.phase == "starting":
        await asyncio.sleep(0.1)
    if engine.state.phase == "failed":
        server.should_exit = True


async def _serve(engine: Engine, settings: Settings, listener: socket.socket, app: object) -> None:
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]  # uvicorn's own type for ASGI apps is narrower than Starlette's
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
        timeout_keep_alive=30,
        server_header=False,
    )
    server = _Server(config)
    tasks = [asyncio.create_task(_watch_loading(engine, server))]

    def stop() -> None:
        if len(tasks) > 1:
            server.should_exit = server.force_exit = True
            return
        tasks.append(asyncio.create_task(_drain(engine, server, settings.drain_limit_s)))

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    await server.serve(sockets=[listener])
    for task in tasks:
        task.cancel()


def _listen(settings: Settings) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((settings.host, settings.port))
    return listener


def _follow(settings: Settings) -> int:
    """Do the leader's steps without serving HTTP; returns the exit status."""
    from serving import loading, processes

    try:
        path = find_model(settings.model, settings.cache_dir)
        loaded = loading.load(path, settings, lambda what, *_: log.debug("%s", what))
    except CheckpointError as error:
        print(f"serving: {error}", file=sys.stderr)
        return 1
    processes.follow(loaded.runner, loaded.links[0])
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Serve until stopped; returns the exit status."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        settings = read_settings(arguments)
    except SettingsError as error:
        print(f"serving: {error}", file=sys.stderr)
        return 2
    if settings.process > 0:
        return _follow(settings)
    try:
        path = find_model(settings.model, settings.cache_dir)
        listener = _listen(settings)
    except CheckpointError as error:
        print(f"serving: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        print(
            f"serving: cannot listen on {where} ({error.strerror}); "
            "set HEARTWOOD_SERVING_PORT or --port to a free port",
            file=sys.stderr,
        )
        return 1
    name = name_model(path)
    engine = Engine(path, settings, Metrics(name))
    app = make_app(engine, settings, name, str(path))
    log.info("serving %s on http://%s:%d", name, settings.host, settings.port)
    asyncio.run(_serve(engine, settings, listener, app))
    return 1 if engine.state.phase == "failed" else 0


if __name__ == "__main__":
    sys.exit(main())
