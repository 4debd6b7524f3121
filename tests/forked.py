"""An emulator as a fork of a process that has done its imports, which are most of a start.

Its own process all the same: own ports, own memory, ended by signals. What must begin from nothing
(memory, processor time, and what might follow from the order of a set) runs its own interpreter.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from multiprocessing.connection import Connection
from types import ModuleType
from typing import TextIO

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.emulator_imports"])


class Forked:
    """What the tests use of `subprocess.Popen`."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], cwd: str) -> None:
        reader, writer = _CONTEXT.Pipe(duplex=False)
        self._process = _CONTEXT.Process(
            target=_run, args=(tuple(arguments), dict(environment), cwd, writer), daemon=True
        )
        with without_main():
            self._process.start()
        writer.close()
        self.stdout: TextIO | None = os.fdopen(os.dup(reader.fileno()), errors="replace")
        reader.close()

    @property
    def pid(self) -> int:
        """Of the operating system."""
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has ended; subprocess.TimeoutExpired as Popen's."""
        self._process.join(timeout)
        status = self._process.exitcode
        if status is None:
            raise subprocess.TimeoutExpired("emulator", timeout or 0.0)
        return status

    def send_signal(self, number: int) -> None:
        """Unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


@contextlib.contextmanager
def without_main() -> Generator[None]:
    """Children run the parent's main module first, and Streamlit's AppTest puts pages there."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _run(
    arguments: Sequence[str], environment: Mapping[str, str], cwd: str, output: Connection
) -> None:
    """`python -m emulator`, in the fork."""
    for standard in (1, 2):
        os.dup2(output.fileno(), standard)
    output.close()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    from emulator.__main__ import main

    status = 1
    try:
        status = main(list(arguments))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
