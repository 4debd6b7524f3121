"""What the router looks at in a chat request: its length, what it asks for, how hard it seems.

Pure and cheap: a few passes over the text, no model. Every figure says how it came about. Which
tier takes the request is `core/router.py`'s.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from core.router_limits import RequestLimits, ScoreWeights

_MESSAGE_TOKENS: Final = 4  # role and separators, as chat templates add them
_FULL_WORDS: Final = 2  # so many reasoning words give all of their points
_FULL_TASKS: Final = 4
_FULL_TURNS: Final = 7
_SCANNED: Final = 50_000  # letters of a question that are looked at for signs
# Repetitions are bounded: whoever sends a text must not decide how long it takes to look at.
_CODE: Final = re.compile(
    r"```|^[ \t]{0,80}(def |class |import |from \w{1,80} import |#include|SELECT\b|func |fn )"
    r"|(\);|[{}])[ \t]{0,80}$",
    re.MULTILINE,
)
_FORMULA: Final = re.compile(
    r"\\(frac|sum|int|sqrt|lim)\b|[∑∫√∂∞≤≥≠∀∃]|\w\^[\w({]"
    r"|\$[^$\n]{0,100}[\\^_=][^$\n]{0,100}\$|\w[ ]{0,3}=[ ]{0,3}\w[^\n]{0,60}[+*/]"
)
_ITEM: Final = re.compile(r"^[ \t]{0,80}(\d{1,4}[.)]|[-*•])[ \t]\S", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Points:
    """One part of the score: how many points, and what in the request gave them."""

    name: str
    points: float
    why: str


@dataclass(frozen=True, slots=True)
class RequestFeatures:
    """A chat request as the router sees it; no text of it is kept.

    Attributes:
        model: as the request names it; "" when it names none.
        prompt_tokens: estimated from the text's bytes.
        requested_tokens: most tokens that the answer may have.
        requested_assumed: the request names no such limit, and the settings' figure stands in.
        score: 0 (plain) to 1 (hard).
        points: what the score is made of; empty: nothing in the request gave any.
        unread_parts: parts of messages that are no text, whose tokens are not in the estimate.
    """

    model: str
    prompt_tokens: int
    requested_tokens: int
    requested_assumed: bool
    score: float
    points: tuple[Points, ...]
    unread_parts: int = 0

    @property
    def tokens(self) -> int:
        """The most that it can occupy: its prompt and all that it may generate."""
        return self.prompt_tokens + self.requested_tokens


def estimate_tokens(texts: Sequence[str], bytes_per_token: float) -> int:
    """Tokens of a conversation's messages: UTF-8 bytes ÷ bytes per token, and four per message.

    Bytes rather than letters: the byte-pair tokenizers of today need about one token for four bytes
    of English, and for the three bytes of a Chinese character not quite one.
    """
    return sum(math.ceil(len(text.encode()) / bytes_per_token) + _MESSAGE_TOKENS for text in texts)


def read_request(body: Mapping[str, Any], limits: RequestLimits) -> RequestFeatures:
    """The features of an OpenAI chat request.

    Raises:
        ValueError: `messages` is no such list, or the limit of tokens no positive whole number; the
            message says what is wrong.
    """
    texts, unread = _texts(body.get("messages"))
    requested = _requested(body)
    users = [text for role, text in texts if role == "user"]
    points = _score(users, limits, structured=bool(body.get("tools") or _schema(body)))
    return RequestFeatures(
        model=str(body.get("model") or ""),
        prompt_tokens=estimate_tokens([text for _, text in texts], limits.bytes_per_token),
        requested_tokens=limits.assumed_tokens if requested is None else requested,
        requested_assumed=requested is None,
        score=min(1.0, round(sum(p.points for p in points), 3)),
        points=points,
        unread_parts=unread,
    )


def _texts(messages: object) -> tuple[list[tuple[str, str]], int]:
    if not isinstance(messages, list) or not messages:
        raise ValueError("messages must be a list with at least one message")
    found: list[tuple[str, str]] = []
    unread = 0
    for number, message in enumerate(cast("list[object]", messages)):
        if not isinstance(message, Mapping) or not isinstance(
            role := cast("Mapping[str, object]", message).get("role"), str
        ):
            raise ValueError(f"messages.{number} must be an object with a role")
        content = cast("Mapping[str, object]", message).get("content")
        if isinstance(content, str) or content is None:  # None: a message that only calls tools
            found.append((role, content or ""))
            continue
        if not isinstance(content, list):
            raise ValueError(f"messages.{number}.content must be text or a list of parts")
        parts = cast("list[object]", content)
        told = [_part_text(part) for part in parts]
        unread += told.count(None)
        found.append((role, "\n".join(text for text in told if text is not None)))
    return found, unread


def _part_text(part: object) -> str | None:
    if not isinstance(part, Mapping):
        return None
    text = cast("Mapping[str, object]", part).get("text")
    return text if isinstance(text, str) else None


def _requested(body: Mapping[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        value = body.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a whole number of at least 1")
        return value
    return None


def _schema(body: Mapping[str, Any]) -> bool:
    wanted = body.get("response_format")
    return isinstance(wanted, Mapping) and cast("Mapping[str, object]", wanted).get("type") not in (
        None,
        "text",
    )


def _score(users: Sequence[str], limits: RequestLimits, *, structured: bool) -> tuple[Points, ...]:
    """Points for what the last question holds, and for how long the conversation is."""
    asked = users[-1][:_SCANNED] if users else ""
    weights: ScoreWeights = limits.weights
    lower = asked.lower()
    words = [w for w in limits.reasoning_words if re.search(rf"\b{re.escape(w.lower())}\b", lower)]
    tasks = max(len(_ITEM.findall(asked)), asked.count("?"))
    parts = (
        Points("reasoning", weights.reasoning * min(1.0, len(words) / _FULL_WORDS),
               f"it says {', '.join(words)}"),
        Points("code", weights.code * bool(_CODE.search(asked)), "it holds code"),
        Points("maths", weights.maths * bool(_FORMULA.search(asked)), "it holds a formula"),
        Points("tasks", weights.tasks * _share(tasks, _FULL_TASKS), f"it asks {tasks} things"),
        Points("turns", weights.turns * _share(len(users), _FULL_TURNS),
               f"it is turn {len(users)} of a conversation"),
        Points("structure", weights.structure * structured, "it wants tools or a schema"),
    )  # fmt: skip
    return tuple(part for part in parts if part.points > 0)


def _share(count: int, full: int) -> float:
    """0 for one or none, 1 from `full` on."""
    return min(1.0, max(0, count - 1) / (full - 1))
