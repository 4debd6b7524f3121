"""Whatever is wrong with a request, the answer is OpenAI's envelope and names the field."""

from __future__ import annotations

import json
import socket
from typing import Any

import httpx
import pytest

from tests.serving.server_process import ServerProcess

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}
TEXT: dict[str, Any] = {"prompt": "Hi", "max_tokens": 2}
NAN, INFINITY = float("nan"), float("inf")


def check_envelope(response: httpx.Response, status: int, param: str | None) -> dict[str, Any]:
    """Hold the answer to the envelope; its error."""
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["message"]
    assert body["error"]["param"] == param
    return body["error"]


def post_raw(http: httpx.Client, path: str, body: Any) -> httpx.Response:
    """Post JSON as Python writes it."""
    text = json.dumps(body)  # writes NaN and Infinity, as careless clients do
    return http.post(path, content=text, headers={"Content-Type": "application/json"})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", NAN),
        ("temperature", INFINITY),
        ("temperature", -0.1),
        ("temperature", 2.1),
        ("temperature", "hot"),
        ("top_p", 0),
        ("top_p", 1.01),
        ("top_p", NAN),
        ("top_k", -2),
        ("top_k", 1.5),
        ("seed", "x"),
        ("seed", 2**70),
        ("n", 0),
        ("n", 10**9),
        ("max_tokens", 0),
        ("max_tokens", -1),
        ("max_tokens", "many"),
        ("max_tokens", 10**6),
        ("stop", 5),
        ("stop", ""),
        ("stream", "perhaps"),
        ("logit_bias", 5),
        ("logit_bias", {"49152": 1}),
        ("frequency_penalty", 2.1),
        ("presence_penalty", NAN),
        ("repetition_penalty", 0),
        ("min_p", 1.1),
        ("logprobs", "many"),
        ("prompt_logprobs", 21),
        ("stop_token_ids", [49152]),
        ("timeout_s", 0),
        ("response_format", "json"),
        (
            "response_format",
            {"type": "json_schema", "json_schema": {"schema": {"type": "wizard"}}},
        ),
        ("tools", [{"type": "function"}]),
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_bad_field_is_named(http: httpx.Client, path: str, field: str, value: Any) -> None:
    """A value out of range, of the wrong type, or not supported gives 400 with its field."""
    body = {**(CHAT if "chat" in path else TEXT), field: value}
    error = check_envelope(post_raw(http, path, body), 400, field)
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("prompt", "param"),
    [
        ("", "prompt"),
        ([], "prompt"),
        ([""], "prompt"),
        ([[]], "prompt"),
        ([-1], "prompt.0"),
        ([49152], "prompt"),
        ({"text": "Hi"}, "prompt"),
        (None, "prompt"),
        ([1, "a"], "prompt.1"),
    ],
)
def test_bad_prompt_is_named(http: httpx.Client, prompt: Any, param: str) -> None:
    """A prompt that is empty, of the wrong type, or outside the vocabulary gives 400."""
    check_envelope(http.post("/v1/completions", json={"prompt": prompt}), 400, param)


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([], "messages"),
        ("Hi", "messages"),
        ([{"role": "user"}], "messages.0.content"),
        ([{"role": "wizard", "content": "Hi"}], "messages.0.role"),
        ([{"role": "user", "content": 5}], "messages.0.content"),
    ],
)
def test_bad_message_is_named(http: httpx.Client, messages: Any, param: str) -> None:
    """A wrong message is named by its place in the list."""
    check_envelope(http.post("/v1/chat/completions", json={"messages": messages}), 400, param)


def test_image_part_is_refused(http: httpx.Client) -> None:
    """A part that is no text gives 400 with its place."""
    part = {"type": "image_url", "image_url": {"url": "data:,"}}
    body = {"messages": [{"role": "user", "content": [part]}]}
    response = http.post("/v1/chat/completions", json=body)
    error = check_envelope(response, 400, "messages.0.content.0.type")
    assert "text" in error["message"]


def test_prompt_beyond_the_context(http: httpx.Client) -> None:
    """A prompt longer than the context gives 413 and says how short it must be."""
    body = {"prompt": [100] * 512}
    error = check_envelope(http.post("/v1/completions", json=body), 413, "prompt")
    assert error["code"] == "context_length_exceeded"
    assert "511" in error["message"]
    long = {"messages": [{"role": "user", "content": "word " * 600}]}
    check_envelope(http.post("/v1/chat/completions", json=long), 413, "messages")


def test_answer_beyond_the_context(http: httpx.Client) -> None:
    """max_tokens that do not fit behind the prompt give 400 and say how many do."""
    body = {"prompt": [100] * 500, "max_tokens": 13}
    error = check_envelope(http.post("/v1/completions", json=body), 400, "max_tokens")
    assert "12" in error["message"]
    assert http.post("/v1/completions", json={**body, "max_tokens": 12}).status_code == 200


def test_unknown_model_and_path(http: httpx.Client) -> None:
    """A model or path that is not there gives 404."""
    error = check_envelope(http.post("/v1/completions", json={**TEXT, "model": "x"}), 404, "model")
    assert error["code"] == "model_not_found"
    check_envelope(http.get("/v1/models/nobody"), 404, "model")
    check_envelope(http.get("/v1/nothing"), 404, None)
    check_envelope(http.post("/v1/embeddings", json={}), 404, None)
    check_envelope(http.get("/v1/completions"), 405, None)


@pytest.mark.parametrize(
    "body", [b"{", b"", b"\xff\xfe", b"[]", b'"x"', b"null", b"[" * 100_000, b'{"prompt": "\xff"}']
)
def test_malformed_body(http: httpx.Client, body: bytes) -> None:
    """A body that is no JSON object gives 400, whatever it is."""
    headers = {"Content-Type": "application/json"}
    for path in ("/v1/completions", "/generate", "/v1/predict", "/tokenize"):
        response = http.post(path, content=body, headers=headers)
        assert response.status_code == 400, response.text
        assert response.json()["error"]["type"] == "invalid_request_error"


def test_huge_body(http: httpx.Client) -> None:
    """A body beyond the limit gives 413, announced or not, and the server goes on."""
    error = check_envelope(http.post("/v1/completions", json={"prompt": "a" * 10**7}), 413, None)
    assert error["code"] == "body_too_large"
    pieces = (b"x" * 2**20 for _ in range(8))
    check_envelope(http.post("/v1/completions", content=pieces), 413, None)
    assert http.get("/health").status_code == 200


def test_lone_surrogate(http: httpx.Client) -> None:
    r"""Text with an unpaired \ud800, which JSON allows and UTF-8 does not, gives 400."""
    headers = {"Content-Type": "application/json"}
    for path, field in (("/v1/completions", "prompt"), ("/generate", "prompt")):
        content = b'{"prompt": "\\ud800"}'
        check_envelope(http.post(path, content=content, headers=headers), 400, field)


def test_plain_routes_name_fields(http: httpx.Client) -> None:
    """The plain routes refuse in the same envelope."""
    check_envelope(http.post("/generate", json={"max_tokens": 2}), 400, "prompt")
    check_envelope(
        post_raw(http, "/generate", {"prompt": "x", "temperature": NAN}), 400, "temperature"
    )
    check_envelope(http.post("/v1/predict", json={"instances": []}), 400, "instances")
    empty = {"instances": [{"text": "Hi"}, {"text": ""}]}
    check_envelope(http.post("/v1/predict", json=empty), 400, "instances.1.text")
    check_envelope(http.post("/detokenize", json={"tokens": [10**6]}), 400, "tokens")
    check_envelope(http.post("/tokenize", json={}), 400, "prompt")


def test_half_a_request_hurts_nobody(http: httpx.Client, server: ServerProcess) -> None:
    """A client that drops its connection inside the body leaves the server as it was."""
    for piece in (
        b"POST /v1/comp",
        b"POST /v1/completions HTTP/1.1\r\nContent-Length: 50\r\n\r\n{",
    ):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(piece)
    assert http.post("/v1/completions", json=TEXT).status_code == 200
