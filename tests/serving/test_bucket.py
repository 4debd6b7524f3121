"""Weights from Cloud Storage: Google's own client against the emulator, with a wire that fails."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from serving.bucket import fetch
from serving.vocabulary import CheckpointError
from tests.processes import start_emulator
from tests.serving.server_process import running_server
from tests.serving.small_checkpoints import write_checkpoint

URL = "gs://hw-models/families/Tiny-Qwen"
RANGE_BYTES = 8192
Change = Callable[[int, bytes], tuple[int, bytes]]


class Wire:
    """A proxy before the emulator that counts ranges and may change their answers."""

    def __init__(self, upstream: str) -> None:
        self.ranges: list[str] = []
        self.change: Change = lambda status, body: (status, body)
        self._client = client = httpx.Client(base_url=upstream, timeout=20)
        wire, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                wanted = ("range", "accept", "host")
                names = {n: v for n, v in self.headers.items() if n.lower() in wanted}
                answer = client.get(self.path, headers=names)
                status, body = answer.status_code, answer.content
                if "alt=media" in self.path:
                    with lock:
                        wire.ranges.append(self.headers["Range"])
                        status, body = wire.change(status, body)
                self.send_response(status)
                self.send_header("Content-Type", answer.headers.get("content-type", ""))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._client.close()


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What lies in the bucket."""
    folder = tmp_path_factory.mktemp("source")
    write_checkpoint(folder, "qwen2", shards=2)
    return folder


@pytest.fixture(scope="module")
def cloud(model_folder: Path) -> Iterator[str]:
    """An emulator's address, with the checkpoint in a bucket."""
    emulator = start_emulator("empty-project")
    try:
        options = {"api_endpoint": emulator.rest_url}
        client = storage.Client("heartwood-demo", AnonymousCredentials(), client_options=options)
        bucket = client.create_bucket("hw-models", location="us-central1")
        for file in model_folder.iterdir():
            bucket.blob(f"families/Tiny-Qwen/{file.name}").upload_from_filename(str(file))
        bucket.blob("families/Tiny-Qwen/pytorch_model.bin").upload_from_string(b"not wanted")
        client.close()
        yield emulator.rest_url
    finally:
        emulator.stop()


@pytest.fixture
def wire(cloud: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """The proxy, where Google's client looks for Cloud Storage."""
    made = Wire(cloud)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", made.url)
    yield made
    made.close()


def bring(cache: Path, seen: list[tuple[int, int]] | None = None) -> Path:
    """Fetch in small ranges."""

    def report(_what: str, done: int, total: int) -> None:
        if seen is not None:
            seen.append((done, total))

    return fetch(URL, cache, report, RANGE_BYTES)


def assert_same(found: Path, source: Path) -> None:
    """The visible files of both folders are byte for byte the same."""
    files = {file.name: file.read_bytes() for file in found.iterdir() if file.name[0] != "."}
    assert files == {file.name: file.read_bytes() for file in source.iterdir()}


def test_whole_folder_arrives_once(wire: Wire, tmp_path: Path, model_folder: Path) -> None:
    """Every wanted file arrives in ranges, progress ends at the total, a second start asks none."""
    seen: list[tuple[int, int]] = []
    assert_same(bring(tmp_path, seen), model_folder)
    assert seen[-1][0] == seen[-1][1]
    sizes = [file.stat().st_size for file in model_folder.iterdir()]
    assert len(wire.ranges) == sum(-(-size // RANGE_BYTES) for size in sizes)
    wire.ranges.clear()
    assert_same(bring(tmp_path), model_folder)
    assert wire.ranges == []


def test_cut_off_download_goes_on(wire: Wire, tmp_path: Path, model_folder: Path) -> None:
    """What arrived before a failure is not asked for again, a range torn on disk is."""
    whole = sum(-(-file.stat().st_size // RANGE_BYTES) for file in model_folder.iterdir())
    wire.change = lambda status, body: (403, b"{}") if len(wire.ranges) > 9 else (status, body)
    with pytest.raises(CheckpointError, match=r"reading is not allowed; storage\.objects"):
        bring(tmp_path)
    torn = next(tmp_path.rglob(".*.part"))
    noted = torn.with_suffix(".notes").read_text().splitlines()
    place = int(noted[0].split()[0])
    with torn.open("r+b") as file:
        file.seek(place + 5)
        file.write(b"torn")
    wire.change = lambda status, body: (status, body)
    wire.ranges.clear()
    assert_same(bring(tmp_path), model_folder)
    assert len(wire.ranges) == whole - 9 + 1


def test_wrong_bytes_are_never_served(wire: Wire, tmp_path: Path, model_folder: Path) -> None:
    """A short range is asked for again; wrong bytes fail the checksum and are thrown away."""

    def spoil(status: int, body: bytes) -> tuple[int, bytes]:
        if len(wire.ranges) == 3:
            return status, body[:-7]
        return status, body[:-1] + b"?" if len(wire.ranges) == 6 else body

    wire.change = spoil
    with pytest.raises(CheckpointError, match=r"CRC32C is \S+, expected \S+; the download"):
        bring(tmp_path)
    wire.change = lambda status, body: (status, body)
    assert_same(bring(tmp_path), model_folder)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("gs://hw-models", r"no address of a model"),
        ("gs://hw-models/families/../secret", r"no address of a model"),
        ("gs://hw-models/families/Nothing", r"no such model in the bucket"),
        ("gs://hw-nowhere/model.gguf", r"no such model|does not exist"),
    ],
)
def test_wrong_address_is_told(wire: Wire, tmp_path: Path, url: str, words: str) -> None:
    """An address without a model behind it is refused in words."""
    with pytest.raises(CheckpointError, match=words):
        fetch(url, tmp_path, lambda *_: None)


def test_server_starts_from_a_bucket(wire: Wire, tmp_path: Path) -> None:
    """`--model gs://…` downloads, loads and answers; its name is the folder's.

    Over pages, whose kernel is a TPU's: elsewhere the log says that this is slow.
    """
    flags = ("--model", URL, "--slots", "1", "--max-tokens-context", "256")
    flags += ("--prefix-cache-tokens", "0", "--speculation-rows", "0", "--attention", "paged")
    # Its own folder for models, but not for compiled programs: those take longest.
    programs = Path("~/.cache/heartwood/start").expanduser()
    programs.mkdir(parents=True, exist_ok=True)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "start").symlink_to(programs)
    with running_server(tmp_path, *flags, "--cache-dir", str(tmp_path / "cache")) as server:
        server.wait_ready()
        status = httpx.get(f"{server.url}/v1/status").json()
        assert (status["model"], status["precision"]) == ("Tiny-Qwen", "w8a8")
        body = {"prompt": "abc", "max_tokens": 4, "temperature": 0, "ignore_eos": True}
        answer = httpx.post(f"{server.url}/v1/completions", json=body, timeout=30).json()
        assert answer["usage"]["completion_tokens"] == 4
        assert httpx.get(f"{server.url}/v1/status").json()["compilations_after_ready"] == 0
        assert "attention over pages has no kernel on cpu" in server.log.read_text()
