"""What the serving tests share: one server process, and the checkpoint's own parts."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from serving.checkpoint_path import find_model
from serving.gguf_checkpoint import GgufCheckpoint
from serving.tokenizer import Tokenizer
from tests.serving.server_process import ServerProcess, running_server

FLAGS = ("--slots", "4", "--max-tokens-context", "512", "--queue-limit", "4")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A ready server with 4 slots, 512 tokens of context and a queue of 4."""
    with running_server(tmp_path_factory.mktemp("server"), *FLAGS) as process:
        process.wait_ready()
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
