"""Addresses that somebody types: what is refused however it is written, and what is reached."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from core.errors import Denied, Invalid, OpsError
from services.inference import Inference, Message
from services.outbound import check_url, is_refused

ASK = (Message("user", "hi"),)


@pytest.mark.parametrize(
    "text",
    [
        "http://user:secret@host/v1",
        "https://secret@host",
        "http://:secret@host:8000",
        "http://host\\@secret.example/",
        "http://host/v1?key=secret",
        "http://host/v1#secret",
        "ftp://secret.example",
        "file:///secret",
        "host:8000/secret",
        "http://",
        "http:///secret",
        "http://ho st/secret",
        "",
    ],
)
def test_only_plain_http_addresses_are_taken_and_no_secret_is_repeated(text: str) -> None:
    """No user, password, query or other scheme; the message does not show what was typed."""
    with pytest.raises(Invalid) as caught:
        Inference(text)
    told = f"{caught.value.message} {caught.value.resource} {caught.value.hint}"
    assert "secret" not in told.replace("secret.example", "")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://127.0.0.1:8080/v1/", "http://127.0.0.1:8080"),
        (" https://models.example/openai/v1 ", "https://models.example/openai"),
        ("http://[::1]:9000", "http://[::1]:9000"),
    ],
)
def test_a_plain_address_is_taken(text: str, url: str) -> None:
    """With or without /v1 and a slash at its end."""
    with Inference(text) as client:
        assert client.url == url


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "metadata.google.internal",
        "METADATA.google.internal.",
        "[fe80::1]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::]",
        "[fd00:ec2::254]",
        "168.63.129.16",
    ],
)
def test_metadata_servers_are_refused_at_sight(host: str) -> None:
    """In every spelling, also when somebody listed them."""
    with pytest.raises(Denied, match="metadata"):
        check_url(f"http://{host}/v1", allowed=[host, host.strip("[]")])


@pytest.mark.parametrize("host", ["2852039166", "0xa9fea9fe"])
def test_numbers_that_mean_an_address_are_refused_when_called(host: str) -> None:
    """The system's own reading of a name counts, not its look."""
    with Inference(f"http://{host}") as client, pytest.raises(Denied, match="metadata"):
        client.list_models()


def test_a_name_that_leads_to_a_metadata_server_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked up once: one refused address among good ones is enough, and nothing is called."""
    real = socket.getaddrinfo

    def planted(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host == "nice.example":
            good, bad = ("127.0.0.1", port), ("169.254.169.254", port)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", a) for a in (good, bad)]
        return real(host, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", planted)
    with Inference("http://nice.example:9") as client:
        with pytest.raises(Denied, match=r"nice\.example is a link-local or metadata"):
            client.list_models()
        with pytest.raises(Denied), client.stream_chat(ASK) as stream:
            list(stream)


@pytest.fixture
def redirecting() -> Iterator[str]:
    """A server that sends everybody to the metadata server."""

    class Handler(BaseHTTPRequestHandler):
        def _redirect(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/computeMetadata/v1/")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = _redirect  # noqa: N815 - http.server calls these names

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_redirect_is_told_and_not_followed(redirecting: str) -> None:
    """It could lead where nobody was asked about."""
    with Inference(redirecting) as client:
        with pytest.raises(Invalid, match="redirects"):
            client.list_models()
        with pytest.raises(Invalid, match="redirects"), client.stream_chat(ASK) as stream:
            list(stream)


def test_only_listed_servers_are_called_where_a_list_counts() -> None:
    """By host for any port, or by host and port; an empty list allows none."""
    allowed = ("models.example", "10.0.0.5:8000", "[fd12::5]:80")
    for text in ("https://models.example/v1", "http://MODELS.example:81", "http://10.0.0.5:8000",
                 "http://[fd12::5]"):  # fmt: skip
        assert check_url(text, allowed)
    for text in ("http://10.0.0.5", "http://127.0.0.1:8080", "http://x.models.example",
                 "http://models.example.evil.example"):  # fmt: skip
        with pytest.raises(Denied, match="not among") as caught:
            check_url(text, allowed)
        assert "allowed_servers" in caught.value.hint
    with pytest.raises(Denied):
        check_url("http://127.0.0.1:8080", ())


def test_a_name_is_reached_at_its_second_address(redirecting: str) -> None:
    """localhost may be ::1 first, where nobody listens: the next address is tried."""
    port = redirecting.rpartition(":")[2]
    with Inference(f"http://localhost:{port}") as client, pytest.raises(Invalid, match="redirects"):
        client.list_models()


def test_a_server_that_is_not_there_is_unavailable() -> None:
    """Also through the check: an error of ours with the next step."""
    with Inference("http://no-such-host.invalid") as client, pytest.raises(OpsError) as caught:
        client.list_models()
    assert caught.value.kind == "Unavailable"


def test_ordinary_addresses_are_not_refused() -> None:
    """This machine, private networks and the internet."""
    for address in ("127.0.0.1", "::1", "10.1.2.3", "192.168.0.1", "8.8.8.8", "fd12::1"):
        assert not is_refused(address)
