"""Runs a few child processes as one: starts them, waits until all answer, stops all together.

Knows nothing of which processes those are; `control/run.py` says so.
"""

from __future__ import annotations

import ctypes
import errno
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final, cast

from core.errors import ConfigError

_POLL_S: Final = 0.1
_HEALTH_EVERY_S: Final = 0.25
_HEALTH_LIMIT_S: Final = 2.0
_TAIL_LINES: Final = 15
_PR_SET_PDEATHSIG: Final = 1


@dataclass(frozen=True, slots=True)
class Port:
    """A port that a child will listen on, and the variable by which a person changes it."""

    host: str
    number: int
    variable: str


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One process to run.

    Attributes:
        name: as shown to people.
        argv: command line; runs in `cwd` with `env` added to our environment.
        health_url: http URL that answers 200 once it is healthy; the body may say how far it is.
        url: printed when all are up; "" for none.
        log_path: its output goes here; started afresh each time.
        stop_limit_s: between TERM and KILL.
    """

    name: str
    argv: tuple[str, ...]
    health_url: str
    log_path: Path
    cwd: Path
    url: str = ""
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    ports: tuple[Port, ...] = ()
    stop_limit_s: float = 8.0


@dataclass(slots=True)
class _Child:
    spec: ChildSpec
    process: subprocess.Popen[bytes]
    healthy: bool = False
    progress: str = "starting"


def check_ports(children: Sequence[ChildSpec]) -> None:
    """Pass when every port is free.

    Raises:
        ConfigError: one is in use, or cannot be bound; names the variable that changes it.
    """
    for child in children:
        for port in child.ports:
            reason = _why_taken(port)
            if reason:
                raise ConfigError(
                    f"port {port.number} on {port.host}, for the {child.name}, {reason}; "
                    f"set {port.variable} to another port",
                    resource=port.variable,
                )


def _why_taken(port: Port) -> str:
    try:
        found = socket.getaddrinfo(port.host, port.number, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        in_use = "is in use" if error.errno == errno.EADDRINUSE else ""
        return in_use or f"cannot be bound ({error.strerror or error})"
    return ""


def supervise(
    children: Sequence[ChildSpec],
    *,
    say: Callable[[str], None],
    show: Callable[[str], None] = lambda _line: None,
    start_limit_s: float = 600.0,
) -> int:
    """Run the children until told to stop, or until one of them dies.

    Args:
        say: prints a line for good. show: replaces the line of progress ("" clears it).
        start_limit_s: how long all may take together to become healthy.

    Returns:
        0 after SIGINT, SIGTERM or SIGHUP once all were asked to stop; 1 when a child died or did
        not become healthy in time.

    Raises:
        ConfigError: a port is in use; nothing was started.
    """
    check_ports(children)
    return _Supervisor(children, say, show).run(start_limit_s)


class _Supervisor:
    def __init__(
        self,
        specs: Sequence[ChildSpec],
        say: Callable[[str], None],
        show: Callable[[str], None],
    ) -> None:
        self._specs, self._say, self._show = specs, say, show
        self._children: list[_Child] = []
        self._signals = 0

    def run(self, start_limit_s: float) -> int:
        previous = {
            number: signal.signal(number, self._on_signal)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        try:
            return self._run(start_limit_s)
        finally:
            self._stop()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1

    def _run(self, start_limit_s: float) -> int:
        began = time.monotonic()
        for spec in self._specs:
            self._children.append(_Child(spec, _start(spec)))
        while not self._signals and self._all_alive():
            if all(child.healthy for child in self._children):
                self._show("")
                self._announce(time.monotonic() - began)
                return self._watch()
            if time.monotonic() - began > start_limit_s:
                self._show("")
                self._tell_late(start_limit_s)
                return 1
            self._check_health()
            self._show(self._waiting_for(time.monotonic() - began))
            self._sleep(_HEALTH_EVERY_S)
        self._show("")
        return self._ended()

    def _watch(self) -> int:
        while not self._signals and self._all_alive():
            self._sleep(_POLL_S)
        return self._ended()

    def _ended(self) -> int:
        if self._signals:
            self._say("Stopping …")
            return 0
        for child in self._children:
            status = child.process.poll()
            if status is not None:
                self._say(f"The {child.spec.name} ended {_describe(status)}. Its last lines:")
                self._tell_tail(child)
        self._say("Stopping the others …")
        return 1

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._signals and time.monotonic() < end:
            time.sleep(0.05)

    def _all_alive(self) -> bool:
        return all(child.process.poll() is None for child in self._children)

    def _check_health(self) -> None:
        for child in self._children:
            if not child.healthy and not self._signals:
                child.healthy, child.progress = _health(child.spec.health_url)

    def _waiting_for(self, passed_s: float) -> str:
        waited = [f"{c.spec.name} ({c.progress})" for c in self._children if not c.healthy]
        return f"Waiting for {', '.join(waited)} … {passed_s:.0f} s" if waited else ""

    def _announce(self, passed_s: float) -> None:
        self._say(f"Ready after {passed_s:.1f} s. Ctrl-C stops all.")
        width = max(len(child.spec.name) for child in self._children)
        for child in self._children:
            self._say(f"  {child.spec.name:<{width}}  {child.spec.url or child.spec.health_url}")
        self._say(f"  logs in {self._children[0].spec.log_path.parent}")

    def _tell_late(self, limit_s: float) -> None:
        for child in self._children:
            if not child.healthy:
                self._say(
                    f"The {child.spec.name} did not become healthy within {limit_s:.0f} s "
                    f"({child.progress}; {child.spec.health_url}). Its last lines:"
                )
                self._tell_tail(child)

    def _tell_tail(self, child: _Child) -> None:
        for line in _tail(child.spec.log_path):
            self._say(f"  | {line}")
        self._say(f"  whole log: {child.spec.log_path}")

    def _stop(self) -> None:
        """TERM to every group that lives, KILL after its limit or on a second signal."""
        asked = self._signals
        for child in self._children:
            _signal_group(child.process, signal.SIGTERM)
        began = time.monotonic()
        for child in self._children:
            while child.process.poll() is None:
                late = time.monotonic() - began > child.spec.stop_limit_s
                if late or self._signals > max(asked, 1):
                    break
                time.sleep(0.05)
        for child in self._children:
            if child.process.poll() is None:
                self._say(f"The {child.spec.name} does not stop; killing it.")
            _signal_group(child.process, signal.SIGKILL)
            child.process.wait()


def _start(spec: ChildSpec) -> subprocess.Popen[bytes]:
    spec.log_path.parent.mkdir(parents=True, exist_ok=True)
    with spec.log_path.open("wb") as log:
        return subprocess.Popen(
            spec.argv,
            cwd=spec.cwd,
            env={**os.environ, **spec.env},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C in the terminal reaches the supervisor alone
            preexec_fn=_dies_with_parent(os.getpid()),
        )


def _dies_with_parent(parent: int) -> Callable[[], None] | None:
    """What a child runs first, so that the kernel kills it even when we are killed -9."""
    if not sys.platform.startswith("linux"):
        return None  # no such call there: a supervisor killed -9 leaves its children behind
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died between the fork and the call
            os._exit(1)

    return ask


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):  # gone already; macOS says EPERM of zombies
        return


def _health(url: str) -> tuple[bool, str]:
    """(healthy, how far it is) by a GET that goes through no proxy."""
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    connection = http.client.HTTPConnection(host, timeout=_HEALTH_LIMIT_S)
    try:
        connection.request("GET", f"/{path}")
        response = connection.getresponse()
        body = response.read(4096)
    except (OSError, http.client.HTTPException):
        return False, "starting"
    finally:
        connection.close()
    assert scheme == "http"
    return response.status == 200, _progress(body, response.status)


def _progress(body: bytes, status: int) -> str:
    """ "compiling, 3 of 9" from a body such as {"message": …, "done": 3, "total": 9}."""
    try:
        told: Any = json.loads(body)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        return "starting" if status >= 500 else f"HTTP {status}"
    facts = cast("dict[str, Any]", told)
    text = str(facts.get("message") or facts.get("status") or "starting")
    done, total = facts.get("done"), facts.get("total")
    count = f"{done} of {total}"
    return f"{text}, {count}" if total and count not in text else text


def _describe(status: int) -> str:
    if status >= 0:
        return f"with status {status}"
    try:
        return f"by {signal.Signals(-status).name}"
    except ValueError:
        return f"by signal {-status}"


def _tail(path: Path) -> list[str]:
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - 16_384))
        text = log.read().decode("utf-8", "replace")
    return text.splitlines()[-_TAIL_LINES:] or ["(no output)"]
