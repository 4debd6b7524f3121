"""What the serving tests share: one server process, and the checkpoint's own parts."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from serving.checkpoint_path import find_model
from serving.gguf_checkpoint import GgufCheckpoint
from serving.tokenizer import Tokenizer
from tests.serving.server_process import ServerProcess, running_server

FLAGS = ("--slots", "4", "--max-tokens-context", "512", "--queue-limit", "4")


@contextlib.contextmanager
def ready_server(folder: Path, factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A ready server with 4 slots, 512 tokens of context and a queue of 4.

    Of pytest's workers one at a time starts it: the first compiles, the others take that over.
    """
    with contextlib.ExitStack() as held:
        with (factory.getbasetemp().parent / "serving.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            process = held.enter_context(running_server(folder, *FLAGS))
            process.wait_ready()
        yield process


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that many tests share."""
    with ready_server(tmp_path_factory.mktemp("server"), tmp_path_factory) as process:
        yield process


@pytest.fixture
def http(server: ServerProcess) -> Iterator[httpx.Client]:
    """A client of that server."""
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="session")
def checkpoint() -> GgufCheckpoint:
    """The packaged model's file, opened."""
    return GgufCheckpoint(find_model(None))


@pytest.fixture(scope="session")
def tokenizer(checkpoint: GgufCheckpoint) -> Tokenizer:
    """The packaged model's tokenizer."""
    return Tokenizer(checkpoint.read_vocabulary())
