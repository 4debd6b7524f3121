"""The inference adapter against servers that stream, refuse, break off and fall silent."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from core import errors
from services.inference import (
    AnswerEnd,
    ChatParameters,
    Inference,
    Message,
    TextChunk,
    chat_request,
)
from tests.services.planted import Answer, PlantedHttp

Connect = Callable[..., Inference]
ASK = (Message("user", "hi"),)


class Stream:
    """A server of chat answers: sends `events` with `pause_s` between them."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.pause_s = 0.0
        self.url = ""
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.gone = threading.Event()


@contextmanager
def streaming() -> Iterator[Stream]:
    """A streaming server on a free port."""
    stream = Stream()

    class Handler(BaseHTTPRequestHandler):
        def _post(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            stream.bodies.append(json.loads(body))
            stream.keys.append(self.headers.get("Authorization", ""))
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            try:
                for event in stream.events:
                    self.wfile.write(f"{event}\n\n".encode())
                    self.wfile.flush()
                    time.sleep(stream.pause_s)
            except OSError:
                stream.gone.set()

        do_POST = _post  # noqa: N815 - http.server calls this name

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    stream.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield stream
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def stream() -> Iterator[Stream]:
    """A streaming server."""
    with streaming() as made:
        yield made


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes adapters, closed at the end of the test."""
    with ExitStack() as stack:

        def make(url: str, **arguments: Any) -> Inference:
            return stack.enter_context(Inference(url, **arguments))

        yield make


def delta(text: str = "", finish: str | None = None) -> str:
    """One event of a chat answer."""
    choice = {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}
    return "data: " + json.dumps({"choices": [choice]})


USAGE = "data: " + json.dumps(
    {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}
)


def test_an_answer_streams_with_its_timing_and_usage(stream: Stream, connect: Connect) -> None:
    """Text as it comes, then one end with counts, times and the rate after the first token."""
    stream.events = [": keep-alive", delta("Par"), delta("is 🗼"), delta(finish="stop"), USAGE,
                     "data: [DONE]"]  # fmt: skip
    stream.pause_s = 0.05
    *chunks, end = list(connect(stream.url + "/v1", api_key="secret").stream_chat(ASK))
    assert "".join(c.text for c in chunks if isinstance(c, TextChunk)) == "Paris 🗼"
    assert isinstance(end, AnswerEnd)
    assert (end.finish_reason, end.prompt_tokens, end.completion_tokens) == ("stop", 3, 4)
    assert end.ttft_ms is not None
    assert 40 <= end.ttft_ms <= end.total_ms
    assert end.tokens_per_s is not None
    assert 3 / 0.5 < end.tokens_per_s < 3 / 0.04
    assert stream.keys == ["Bearer secret"]
    assert stream.bodies[0] == chat_request(ASK, ChatParameters())


def test_unset_parameters_are_left_to_the_server() -> None:
    """None is not sent, 0 is."""
    body = chat_request(ASK, ChatParameters(temperature=0.0, seed=0, stop=("x",)))
    assert body["temperature"] == 0.0
    assert body["seed"] == 0
    assert body["stop"] == ["x"]
    assert not {"top_p", "top_k", "model"} & set(body)


def test_a_stream_that_breaks_off_is_no_whole_answer(stream: Stream, connect: Connect) -> None:
    """What came stays; the end is an error, not a silent stop."""
    stream.events = [delta("half")]
    chunks = iter(connect(stream.url).stream_chat(ASK))
    first = next(chunks)
    assert isinstance(first, TextChunk)
    assert first.text == "half"
    with pytest.raises(errors.Unavailable, match="broke off"):
        list(chunks)


def test_an_error_in_the_stream_is_raised(stream: Stream, connect: Connect) -> None:
    """A server that fails in the middle says so in an event."""
    stream.events = [delta("x"), 'data: {"error": {"message": "out of slots"}}']
    with pytest.raises(errors.Unavailable, match="out of slots"):
        list(connect(stream.url).stream_chat(ASK))


def test_garbage_in_the_stream_is_invalid(stream: Stream, connect: Connect) -> None:
    """An event that is no JSON."""
    stream.events = ["data: <html>"]
    with pytest.raises(errors.Invalid):
        list(connect(stream.url).stream_chat(ASK))


def test_silence_ends_a_stream(stream: Stream, connect: Connect) -> None:
    """A server that says nothing for too long is unavailable."""
    stream.events = [delta("x"), delta("y")]
    stream.pause_s = 2.0
    with pytest.raises(errors.Unavailable):
        list(connect(stream.url, silence_s=0.2).stream_chat(ASK))


def test_dropping_the_answer_hangs_up(stream: Stream, connect: Connect) -> None:
    """The server notices, so that it can free the slot."""
    stream.events = [delta("x") for _ in range(400)]
    stream.pause_s = 0.01
    chunks = iter(connect(stream.url).stream_chat(ASK))
    next(chunks)
    chunks.close()  # type: ignore[attr-defined]
    assert stream.gone.wait(3)


def test_closing_from_elsewhere_ends_the_answer(stream: Stream, connect: Connect) -> None:
    """`close` of another thread: no error, no end, no further text."""
    stream.events = [delta("x") for _ in range(400)]
    stream.pause_s = 0.01
    answer = connect(stream.url).stream_chat(ASK)
    seen: list[object] = []
    for chunk in answer:
        seen.append(chunk)
        if len(seen) == 3:
            answer.close()
    assert len(seen) == 3
    assert stream.gone.wait(3)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, errors.Invalid),
        (401, errors.Denied),
        (404, errors.NotFound),
        (413, errors.Invalid),
        (422, errors.Invalid),
        (429, errors.RateLimited),
        (500, errors.Unavailable),
        (503, errors.Unavailable),
    ],
)
def test_refusals_of_a_chat_are_ours_with_the_servers_words(
    status: int, expected: type[errors.OpsError], http: PlantedHttp, connect: Connect
) -> None:
    """OpenAI's envelope: its message is what the person reads. Never sent twice."""
    http.answers = [Answer(status, b'{"error": {"message": "planted words", "param": "x"}}')]
    with pytest.raises(expected) as caught:
        list(connect(http.url).stream_chat(ASK))
    assert caught.value.message == "planted words"
    assert len(http.seen) == 1


def test_status_of_our_own_server(http: PlantedHttp, connect: Connect) -> None:
    """Our /v1/status, field by field; what it does not know stays None."""
    body = {
        "status": "ready", "message": "", "model": "m", "parameters": 5, "precision": "f32",
        "devices": ["cpu:0"], "slots": 8, "context": 2048, "uptime_s": 1.5,
        "compilations_after_ready": None,
    }  # fmt: skip
    http.answers = [Answer(200, json.dumps(body).encode())]
    found = connect(http.url).read_status()
    assert found.ready
    assert found.detail == "ready"
    assert (found.model, found.parameters, found.devices) == ("m", 5, ("cpu:0",))
    assert found.compiles_after_ready is None
    assert found.context_tokens == 2048


def test_status_of_any_other_server_is_its_models(http: PlantedHttp, connect: Connect) -> None:
    """A server without /v1/status is ready when it lists a model."""
    http.answers = [Answer(404), Answer(200, b'{"data": [{"id": "llama"}]}')]
    found = connect(http.url).read_status()
    assert found.ready
    assert found.model == "llama"


def test_a_dead_server_says_how_to_start_it(connect: Connect) -> None:
    """Nobody listens: ours is started by us, another one is not."""
    with pytest.raises(errors.Unavailable) as caught:
        connect("http://127.0.0.1:1").list_models()
    assert "make run" not in caught.value.hint
    with pytest.raises(errors.Unavailable) as caught:
        connect("http://127.0.0.1:1", ours=True).list_models()
    assert "`make run` starts it" in caught.value.hint


def test_a_page_instead_of_an_api(http: PlantedHttp, connect: Connect) -> None:
    """HTML with 200 is not an API's answer."""
    http.answers = [Answer(200, b"<html>hello</html>", "text/html")]
    with pytest.raises(errors.Invalid):
        connect(http.url).list_models()


@pytest.mark.parametrize("url", ["", "localhost:8080", "ftp://x"])
def test_an_address_that_is_none_is_refused_at_once(url: str, connect: Connect) -> None:
    """Before any call."""
    with pytest.raises(errors.Invalid):
        connect(url)


@pytest.mark.parametrize(
    "url", ["https://host:port/v1", "http://[::bad", "http://", "http:///v1", "ftp://host", "host"]
)
def test_what_is_no_address_is_refused_as_one(url: str) -> None:
    """Typed by a person into a field: an error of ours, never the HTTP library's own."""
    with pytest.raises(errors.Invalid):
        Inference(url)


@pytest.mark.parametrize("key", ["sk\u2013pasted", "two\nlines"])
def test_a_key_that_no_header_can_carry_is_refused_untold(key: str) -> None:
    """The message does not repeat the key."""
    with pytest.raises(errors.Invalid) as caught:
        Inference("http://127.0.0.1:9", api_key=key)
    assert key not in caught.value.message
