"""One inference server as a process: started on an address of its own, asked, ended; and its log.

The log is a file per run, each line with the time at which it came, as container runtimes write it.
What is started when stands in kubelet.py.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, Final

import httpx

from emulator.client_files import client_files
from emulator.clock import rfc3339

_ROOT: Final = Path(__file__).resolve().parents[2]
_TETHER: Final = Path(__file__).with_name("tether.py")
_LOG_BYTES: Final = 10 * 2**20  # a kubelet rotates a container's log there
_ASK_S: Final = 1.0
# What a pod may tell the server. Whoever may make pods is not to name files or addresses.
_ALLOWED: Final = re.compile(r"--(slots|max-tokens-context|queue-limit|cache-tokens)=[0-9]{1,6}")


def refused_argument(arguments: Sequence[str]) -> str:
    """The first of a container's arguments that no server is started with; "" when all are fit."""
    return next((a for a in arguments if not _ALLOWED.fullmatch(a)), "")


class Server:
    """A process from its start to its end. Not safe for threads, its log aside.

    Attributes:
        began: Unix seconds at which it was started.
    """

    def __init__(self, address: str, port: int, arguments: Sequence[str], log: Path) -> None:
        """Raises OSError when it cannot be started."""
        self.url = f"http://{address}:{port}"
        server = (sys.executable, "-u", "-m", "serving", "--host", address, "--port", str(port))
        tether = (sys.executable, "-S", "-E", str(_TETHER), str(os.getpid()))
        log.parent.mkdir(parents=True, exist_ok=True)
        self.began = time.time()
        # The calling thread has to live as long as the process is to: Linux counts it the parent.
        self._process = subprocess.Popen(
            [*tether, *server, *arguments], cwd=_ROOT, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert self._process.stdout is not None
        self._writer = threading.Thread(
            target=_keep, args=(self._process.stdout, log), name="pod-log", daemon=True
        )
        self._writer.start()

    def ended(self) -> int | None:
        """Its exit code, as a container runtime tells it; None while it runs."""
        code = self._process.poll()
        if code is None:
            return None
        self._writer.join(_ASK_S)
        return 128 - code if code < 0 else code

    def is_ready(self, client: httpx.Client) -> bool:
        """What its /ready says."""
        try:
            return client.get(f"{self.url}/ready", timeout=_ASK_S).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        """Ask it to end (SIGTERM): it drains."""
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()


def log_path(uid: str, run: int) -> Path:
    """Where the log of a pod's container lies, of the run after so many restarts."""
    return client_files().folder / "pods" / uid / f"{run}.log"


def written(uid: str, run: int) -> list[tuple[float, str]] | None:
    """(Unix seconds, line) of a run's log, oldest first; None of what has no process here."""
    if not re.fullmatch(r"[0-9a-f-]{36}", uid):
        return None
    try:
        text = log_path(uid, run).read_text("utf-8", "replace")
    except FileNotFoundError:
        return None
    return list(_lines(text))


def _lines(text: str) -> Iterator[tuple[float, str]]:
    for line in text.splitlines():
        stamp, _, told = line.partition(" ")
        yield datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp(), told


def _keep(output: IO[bytes], log: Path) -> None:
    """Write down what a process says until it ends; begin anew where that is too much."""
    with log.open("w", encoding="utf-8") as kept:
        for line in output:
            if kept.tell() > _LOG_BYTES:
                kept.seek(0)
                kept.truncate()
            # A progress bar's line holds several, which a reader would take for ends of lines.
            for told in line.decode("utf-8", "replace").splitlines():
                kept.write(f"{rfc3339(time.time(), 'microseconds')} {told}\n")
            kept.flush()


def free_memory_bytes() -> int:
    """What new processes can have, by the kernel's own estimate."""
    text = Path("/proc/meminfo").read_text("ascii")
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
