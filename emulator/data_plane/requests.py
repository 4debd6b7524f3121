"""A client's request as the data plane has it, and answers of the load balancer's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

# The real load balancer has no limit; here a request is held whole, so that it can be tried again.
MOST_BYTES: Final = 32 * 2**20
_HOP: Final = frozenset(
    ("connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "host",
     "content-length", "proxy-authorization", "expect")
)  # fmt: skip


class Gone(Exception):
    """The client left before it had sent its request."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request; `path` with its query, `headers` by lower-case name."""

    scope: Any
    verb: str
    host: str
    path: str
    client: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def url(self) -> str:
        """As logs show it."""
        return f"http://{self.host}{self.path}"

    def sent_on(self) -> dict[str, str]:
        """Headers for the backend: the client's, and where it came from."""
        kept = {k: v for k, v in self.headers.items() if k not in _HOP}
        before = f"{kept['x-forwarded-for']}," if "x-forwarded-for" in kept else ""
        return kept | {
            "x-forwarded-for": f"{before}{self.client}", "x-forwarded-proto": "http",
            "via": "1.1 google", "host": self.host,
        }  # fmt: skip


async def read_asked(scope: Any, receive: Any) -> Asked | None:
    """The request, whole; None of one that is too large.

    Raises:
        Gone: its client left.
    """
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        part = message.get("body", b"")
        size += len(part)
        if size > MOST_BYTES:
            return None
        parts.append(part)
        if not message.get("more_body"):
            break
    headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
    path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
    query = scope.get("query_string", b"").decode("latin-1")
    host = headers.get("host", "").partition(":")[0]
    return Asked(
        scope, scope["method"], host, f"{path}?{query}" if query else path,
        (scope.get("client") or ("", 0))[0], headers, b"".join(parts),
    )  # fmt: skip


async def answer(
    send: Any, status: int, text: str, headers: Mapping[str, str] | None = None
) -> int:
    """Send an answer in one piece; returns the bytes of its body."""
    body = text.encode()
    kind = "application/json" if text.startswith("{") else "text/plain"
    told = {"content-type": kind, "content-length": str(len(body)), **(headers or {})}
    raw = [(k.encode(), v.encode("latin-1")) for k, v in told.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body, "more_body": False})
    return len(body)
