"""An OpenAI-compatible inference server: its state, its models, and chat answers as they stream.

Works on our own server (`serving/`) and on any other one at a URL. Not the load balancer's tiers'
figures, which come from `monitoring.py`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import httpx

from core.errors import Invalid, NotFound
from core.records import ServerStatus
from core.roofline import Heartbeat
from services import calls, outbound
from services.chat_answer import AnswerEnd, GrowingAnswer
from services.sdk_errors import from_http, json_message

_CONNECT_S: Final = 5.0
_READ_S: Final = 10.0
_BEAT_S: Final = 180.0  # two hundred products, on a busy processor
_STATUS_POLICY: Final = calls.RetryPolicy(attempts=2, deadline_s=8.0)


@dataclass(frozen=True, slots=True)
class Message:
    """One turn; `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class ChatParameters:
    """How to answer; None leaves the choice to the server."""

    model: str = ""
    max_tokens: int | None = 256
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TextChunk:
    """A piece of the answer, `at_ms` after the request was sent."""

    text: str
    at_ms: float


def chat_request(
    messages: Sequence[Message], parameters: ChatParameters
) -> dict[str, Any]:  # JSON as it goes over the wire
    """Body of the streaming request, also for showing it as a command line."""
    wanted: dict[str, Any] = {
        "model": parameters.model or None,
        "messages": [{"role": m.role, "content": m.content} for m in messages],
        "max_tokens": parameters.max_tokens,
        "temperature": parameters.temperature,
        "top_p": parameters.top_p,
        "top_k": parameters.top_k,
        "seed": parameters.seed,
        "stop": list(parameters.stop) or None,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return {key: value for key, value in wanted.items() if value is not None}


class Inference:
    """One server at a base URL (with or without a trailing /v1). Safe for threads."""

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str = "",
        silence_s: float = 60.0,
        allowed: Collection[str] | None = None,
        ours: bool = False,
    ) -> None:
        """Nothing is called yet.

        Args:
            base_url, allowed: see `outbound.check_url`.
            api_key: sent as bearer token; "": none.
            ours: it is the one that `make run` starts, which hints may say.
            silence_s: how long a stream may send nothing before it counts as broken.

        Raises:
            Invalid: it is no such address, or no such key.
            Denied: that server may not be called.
        """
        self.url = str(outbound.check_url(base_url, allowed)).removesuffix("/v1").rstrip("/")
        if not (api_key.isascii() and api_key.isprintable()):
            raise Invalid("The API key has letters that no key can have", resource=self.url)
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._silence_s = silence_s
        hint = f"Is the server at {self.url} running, and may this machine reach it?"
        if ours:
            hint = f"`make run` starts it; is something else at {self.url}?"
        self._context = calls.CallContext(unreachable_hint=hint)
        self._http = httpx.Client(
            base_url=self.url,
            headers=headers,
            transport=outbound.make_transport(httpx.URL(self.url)),
            follow_redirects=False,  # a redirect could lead where nobody was asked about
        )

    def __enter__(self) -> Inference:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def read_status(self) -> ServerStatus:
        """What the server says of itself; a server of another make tells readiness and model.

        Raises:
            OpsError: it does not answer, or not as such a server.
        """
        try:
            found = self._get("/v1/status")
        except NotFound:
            models = self.list_models()
            return ServerStatus(
                url=self.url,
                ready=bool(models),
                detail="answers; tells no status of its own",
                model=models[0] if models else "",
            )
        with calls.converting(self.url):
            return ServerStatus(
                url=self.url,
                ready=found["status"] == "ready",
                detail=str(found.get("message") or found["status"]),
                model=str(found.get("model") or ""),
                parameters=found.get("parameters"),
                devices=tuple(str(d) for d in found.get("devices") or ()),
                precision=str(found.get("precision") or ""),
                slots=found.get("slots"),
                context_tokens=found.get("context"),
                uptime_s=found.get("uptime_s"),
                compiles_after_ready=found.get("compilations_after_ready"),
            )

    def list_models(self) -> tuple[str, ...]:
        """Ids of the models that it serves.

        Raises:
            OpsError: it does not answer, or not as such a server.
        """
        found = self._get("/v1/models")
        with calls.converting(f"{self.url}/v1/models"):
            return tuple(str(m["id"]) for m in found["data"])

    def measure_heartbeat(self, *, force: bool = False) -> tuple[Heartbeat, ...]:
        """Let the server time its matrix product on its device, which takes seconds; never retried.

        Args:
            force: also while it answers requests, which it slows down.

        Raises:
            OpsError: it does not answer, is busy (Conflict), or offers no such thing (NotFound).
        """
        resource = f"{self.url}/v1/heartbeat"
        with calls.translating(resource, self._context):
            answer = self._http.post("/v1/heartbeat", json={"force": force}, timeout=_BEAT_S)
        _refuse_redirect(answer, resource)
        if answer.is_error:
            message = json_message(answer.text)
            raise from_http(answer.status_code, message, resource, self._context)
        with calls.converting(resource):
            return tuple(Heartbeat(**beat) for beat in answer.json()["heartbeats"])

    def stream_chat(
        self, messages: Sequence[Message], parameters: ChatParameters | None = None
    ) -> ChatStream:
        """Start a chat answer; nothing is sent before the stream is iterated."""
        body = chat_request(messages, parameters or ChatParameters())
        timeout = httpx.Timeout(self._silence_s, connect=_CONNECT_S)
        return ChatStream(self._http, self.url, body, timeout, self._context)

    def _get(self, path: str) -> Mapping[str, Any]:
        resource = self.url + path

        def read(timeout_s: float) -> Mapping[str, Any]:
            answer = self._http.get(path, timeout=timeout_s)
            _refuse_redirect(answer, resource)
            if answer.is_error:
                raise from_http(
                    answer.status_code, json_message(answer.text), resource, self._context
                )
            return cast(Mapping[str, Any], answer.json())

        return calls.call(
            read,
            resource=resource,
            timeout_s=_READ_S,
            policy=_STATUS_POLICY,
            context=self._context,
        )


class ChatStream:
    """One answer: iterate it once for `TextChunk`s and, last, one `AnswerEnd`.

    Closing it (also by `with`, or by dropping the iteration) closes the connection, which makes
    the server free the slot. It is never retried: a prompt may cost money twice.
    """

    def __init__(
        self,
        http: httpx.Client,
        url: str,
        body: Mapping[str, Any],
        timeout: httpx.Timeout,
        context: calls.CallContext,
    ) -> None:
        self._http, self._timeout, self._context = http, timeout, context
        self._resource = f"{url}/v1/chat/completions"
        self._body = body
        self._closed = False
        self._chunks: Iterator[TextChunk | AnswerEnd] | None = None

    def __enter__(self) -> ChatStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the answer; from another thread it takes effect at the next chunk."""
        self._closed = True

    def __iter__(self) -> Iterator[TextChunk | AnswerEnd]:
        """The chunks as they come.

        Raises:
            OpsError: refused, broken off, silent for too long, or not understood.
        """
        if self._chunks is not None:
            raise RuntimeError("a stream is iterated once")
        self._chunks = self._translated()
        return self._chunks

    def _translated(self) -> Iterator[TextChunk | AnswerEnd]:
        with calls.translating(self._resource, self._context):
            yield from self._read()

    def _read(self) -> Iterator[TextChunk | AnswerEnd]:
        sent = time.perf_counter()
        answer = GrowingAnswer(sent)
        with self._http.stream(
            "POST", "/v1/chat/completions", json=self._body, timeout=self._timeout
        ) as response:
            _refuse_redirect(response, self._resource)
            if response.is_error:
                response.read()
                message = json_message(response.text)
                raise from_http(response.status_code, message, self._resource, self._context)
            if "x-heartwood-simulated" in response.headers:
                answer.simulated_tier = response.headers.get("x-heartwood-tier", "")
            for line in response.iter_lines():
                if self._closed:
                    return
                if not line.startswith("data:"):
                    continue
                data = line.removeprefix("data:").strip()
                if data == "[DONE]":
                    break
                with calls.converting(self._resource):
                    text = answer.take(json.loads(data), self._resource)
                if text:
                    yield TextChunk(text, answer.at_ms())
        yield answer.end(self._resource)


def _refuse_redirect(answer: httpx.Response, resource: str) -> None:
    if answer.is_redirect:
        raise Invalid(
            "The server redirects to another address, which is not followed",
            resource=resource,
            hint="Enter the address that it redirects to, if you trust it",
        )
