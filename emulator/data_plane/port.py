"""The data plane's port: its own thread and event loop, so that no API call holds up a stream."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from typing import Final

import httpx
import uvicorn

from emulator.context import Cloud
from emulator.data_plane.members import Members
from emulator.data_plane.proxy import DataPlane
from emulator.faults.breaking import BreakableProtocol

_LOG = logging.getLogger("emulator")
_TICK_S: Final = 1.0
_GRACE_S: Final = 2
_CONNECT_S: Final = 10.0
_BACKLOG: Final = 512
# Google's keep-alive: longer than clients', so that none sends into a connection that is closing.
_KEEP_ALIVE_S: Final = 610


class DataPlanePort:
    """Listens from `start` to `stop`."""

    def __init__(self, cloud: Cloud, listener: socket.socket) -> None:
        self._cloud, self._listener = cloud, listener
        self._server: uvicorn.Server | None = None
        self._thread = threading.Thread(target=self._run, name="data-plane", daemon=True)

    def start(self) -> None:
        """Begin to serve; callers that come before all is ready wait."""
        self._listener.listen(_BACKLOG)
        self._thread.start()

    def stop(self) -> None:
        """End it; answers that run have two seconds."""
        if self._server is not None:
            self._server.should_exit = True
        self._thread.join(timeout=_GRACE_S + 1)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        members = Members(self._cloud)
        await asyncio.to_thread(members.probe)
        # Idle connections end before the server's own five seconds do: it would close them just
        # when the next request is sent.
        limits = httpx.Limits(
            max_connections=None, max_keepalive_connections=64, keepalive_expiry=2.0
        )
        # A stream may be silent for as long as the backend service's own time-out lets it.
        timeout = httpx.Timeout(None, connect=_CONNECT_S)
        url = f"http://127.0.0.1:{self._cloud.settings.serving_port}"
        async with httpx.AsyncClient(
            base_url=url, limits=limits, timeout=timeout, trust_env=False
        ) as client:
            app = DataPlane(self._cloud, members, client)
            config = uvicorn.Config(
                app, lifespan="off", log_level="warning", access_log=False,
                http=BreakableProtocol, ws="none", server_header=False,
                timeout_graceful_shutdown=_GRACE_S, backlog=_BACKLOG,
                timeout_keep_alive=_KEEP_ALIVE_S,
            )  # fmt: skip
            self._server = _Server(config)
            probing = asyncio.create_task(_probe(members))
            try:
                await self._server.serve(sockets=[self._listener])
            finally:
                probing.cancel()
                await asyncio.gather(probing, return_exceptions=True)
                await asyncio.to_thread(app.close)


class _Server(uvicorn.Server):
    """Leaves signals to the process's main thread."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def] # uvicorn's own has no type either
        yield


async def _probe(members: Members) -> None:
    while True:
        await asyncio.sleep(_TICK_S)
        try:
            await asyncio.to_thread(members.probe)
        except Exception:  # noqa: BLE001 - what one probe cannot read must not end all
            _LOG.exception("a health check of the data plane failed")
