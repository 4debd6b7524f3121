"""What is known of a chat answer while it streams, and of a whole one.

What does not live here: the connection that it comes over (`services/inference.py`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from core.errors import OpsError, Unavailable


@dataclass(frozen=True, slots=True)
class AnswerEnd:
    """The end of a whole answer; token counts are the server's, None when it tells none.

    Attributes:
        finish_reason: stop, length …
        ttft_ms: request sent → first text; None: the answer is empty.
        total_ms: request sent → end.
        tokens_per_s: completion tokens after the first ÷ time since the first text.
        simulated_tier: the tier whose pace an emulated load balancer gave it, on somebody else's
            words; "" of an answer that nobody simulates.
    """

    finish_reason: str
    prompt_tokens: int | None
    completion_tokens: int | None
    ttft_ms: float | None
    total_ms: float
    tokens_per_s: float | None
    simulated_tier: str = ""


class GrowingAnswer:
    """What is known of an answer while it streams."""

    def __init__(self, sent: float) -> None:
        """The request went out at `sent`, by `time.perf_counter`."""
        self._sent = sent
        self.simulated_tier = ""
        self._first_ms: float | None = None
        self._last_ms: float | None = None
        self._finish = ""
        self._usage: Mapping[str, Any] = {}

    def at_ms(self) -> float:
        """Time since the request went out."""
        return (time.perf_counter() - self._sent) * 1000.0

    def take(self, event: Mapping[str, Any], resource: str) -> str:
        """Note one event; its text."""
        if "error" in event:
            raise _stream_error(event["error"], resource)
        self._usage = event.get("usage") or self._usage
        text = ""
        for choice in event["choices"]:
            self._finish = choice.get("finish_reason") or self._finish
            text += (choice.get("delta") or {}).get("content") or ""
        if text:
            self._last_ms = self.at_ms()
            self._first_ms = self._last_ms if self._first_ms is None else self._first_ms
        return text

    def end(self, resource: str) -> AnswerEnd:
        """The summary; Unavailable when the stream ended before the answer did."""
        if not self._finish:
            raise Unavailable(
                "The stream broke off before the answer was whole.", resource=resource
            )
        tokens = self._usage.get("completion_tokens")
        return AnswerEnd(
            finish_reason=self._finish,
            prompt_tokens=self._usage.get("prompt_tokens"),
            completion_tokens=tokens,
            ttft_ms=self._first_ms,
            total_ms=self.at_ms(),
            tokens_per_s=self._rate(tokens),
            simulated_tier=self.simulated_tier,
        )

    def _rate(self, tokens: int | None) -> float | None:
        if tokens is None or tokens < 2 or self._first_ms is None or self._last_ms is None:
            return None
        took_s = (self._last_ms - self._first_ms) / 1000.0
        return (tokens - 1) / took_s if took_s > 0 else None


def _stream_error(error: object, resource: str) -> OpsError:
    message = "The server ended the answer with an error."
    if isinstance(error, Mapping):
        message = str(cast(Mapping[str, object], error).get("message") or message)
    return Unavailable(message, resource=resource)
