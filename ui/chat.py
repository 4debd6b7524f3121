"""The Playground's conversation: turns of the session, an answer as it streams, figures.

Talking to the server is `services/inference.py`'s; the controls are `ui/playground_view.py`'s.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import streamlit as st

from control.router import Routed
from core.errors import HeartwoodError
from core.pricing import Rate
from core.records import Problem
from services.inference import (
    AnswerEnd,
    ChatParameters,
    Inference,
    Message,
    TextChunk,
    chat_request,
)
from ui import access, formats, route_view, states

MAX_TURNS: Final = 40  # kept in the session
SENT_TURNS: Final = 12  # sent along as context
_KEY: Final = "conversation"
_WATCH_S: Final = 1.5
_NOBODY: Final = Problem(
    "Unavailable",
    "No tier can take this prompt now",
    hint="Every tier, below, says why for each; what is being read or provisioned may be there "
    "soon: send the prompt again",
    retryable=True,
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where prompts go.

    `rate` is of a server that answers one person; where many share it `usd_per_million` tokens
    counts. Both None: nobody knows what an answer costs; `unpriced` is the word for it. `allowed`:
    the only servers that may be called (None: any), see `services.outbound.check_url`. `pick`
    chooses the server by the request: then all else but the name is empty.
    """

    name: str
    url: str
    api_key: str = ""
    rate: Rate | None = None
    usd_per_million: float | None = None
    unpriced: str = formats.NOT_PRICED
    allowed: tuple[str, ...] | None = None
    pick: Callable[[Mapping[str, Any]], Picked] | None = None


@dataclass(frozen=True, slots=True)
class Picked:
    """What the router decided for one request, and where it goes; None: nobody can take it."""

    routed: Routed
    target: Target | None


@dataclass(slots=True)
class Turn:
    """One prompt and what came of it; filled in while the answer streams.

    `outcome`: streaming, done, stopped (by the person) or failed.
    """

    prompt: str
    target: str
    curl: str
    at: datetime
    answer: str = ""
    outcome: str = "streaming"
    end: AnswerEnd | None = None
    problem: Problem | None = None
    usd: float | None = None
    usd_source: str = formats.NOT_PRICED  # of `usd`; while that is None, the word for it
    parameters: dict[str, Any] = field(default_factory=dict[str, Any])
    routed: Routed | None = None  # the router chose the tier


def turns() -> list[Turn]:
    """The session's conversation, oldest first."""
    found: list[Turn] = st.session_state.setdefault(_KEY, [])
    return found


def clear() -> None:
    """Forget the conversation."""
    st.session_state[_KEY] = []


def messages(system: str, past: Sequence[Turn], prompt: str) -> list[Message]:
    """What is sent: the system prompt, the last turns that were answered, the new prompt."""
    sent = [Message("system", system)] if system.strip() else []
    for turn in [t for t in past if t.answer][-SENT_TURNS:]:
        sent += [Message("user", turn.prompt), Message("assistant", turn.answer)]
    return [*sent, Message("user", prompt)]


def curl_of(url: str, body: dict[str, Any], *, with_key: bool) -> str:
    """The same request as a command line; the key stands in a variable, never in the text."""
    base = url.rstrip("/").removesuffix("/v1")
    key = ' \\\n  -H "Authorization: Bearer $API_KEY"' if with_key else ""
    data = shlex.quote(json.dumps(body, ensure_ascii=False))
    return (
        f"curl -N {shlex.quote(base + '/v1/chat/completions')} \\\n"
        f"  -H 'Content-Type: application/json'{key} \\\n  -d {data}"
    )


def draw_turn(turn: Turn) -> None:
    """A past turn."""
    with st.chat_message("user", avatar=":material/person:"):
        st.text(turn.prompt)
    with st.chat_message("assistant", avatar=":material/forest:"):
        if turn.answer:
            st.markdown(turn.answer)
        draw_foot(turn)


def draw_foot(turn: Turn) -> None:
    """The figures of an answer, its error, its request."""
    if turn.problem is not None:
        states.show_problem("No whole answer", turn.problem)
    if turn.routed is not None:
        route_view.draw_choice(turn.routed)
    line = "  ·  ".join(figures(turn))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f":small[:gray[{line}]]", width="content")
        with st.popover("Request", type="tertiary", icon=":material/terminal:"):
            st.code(turn.curl, language="bash", wrap_lines=True)
        if turn.routed is not None:
            with st.popover("Every tier", type="tertiary", icon=":material/route:"):
                route_view.draw_tiers(turn.routed.decision, _tokens(turn.end))


def _tokens(end: AnswerEnd | None) -> int | None:
    """Tokens of both kinds that an answer had; None: unknown."""
    if end is None or end.prompt_tokens is None or end.completion_tokens is None:
        return None
    return end.prompt_tokens + end.completion_tokens


def figures(turn: Turn) -> list[str]:
    """TTFT, speed, tokens, duration and dollars of one answer, in words."""
    parts = [formats.plain(turn.target)]
    if turn.outcome == "stopped":
        parts.append("stopped by you")
    end = turn.end
    if end is not None and end.simulated_tier:
        own = end.simulated_tier.lower() == turn.target.lower()
        whose = "its" if own else f"{formats.plain(end.simulated_tier.title())}'s"
        parts.append(f"{whose} simulated pace, words by this machine's model")
    if end is not None:
        prompt = formats.count(end.prompt_tokens, "?")
        parts += [
            f"TTFT {formats.milliseconds(end.ttft_ms)}",
            f"{formats.number(end.tokens_per_s)} tokens/s",
            f"{prompt} + {formats.count(end.completion_tokens, '?')} tokens",
            formats.milliseconds(end.total_ms),
        ]
        if end.finish_reason == "length":
            parts.append("cut at max tokens")
        elif end.finish_reason != "stop":
            parts.append(formats.plain(end.finish_reason))
    price = formats.money(turn.usd, turn.usd_source).replace("$", "\\$")
    parts.append(price if turn.usd is None else f"{price} ({turn.usd_source})")
    return parts


def answer(
    target: Target, system: str, prompt: str, parameters: ChatParameters, *, silence_s: float = 60
) -> None:
    """Send the prompt and draw the answer as it comes; the turn is kept whatever happens."""
    past = turns()
    sent = messages(system, past, prompt)
    body = chat_request(sent, parameters)
    picked = target.pick(body) if target.pick else None
    chosen = picked.target if picked else target
    turn = Turn(
        prompt=prompt,
        target=target.name if not picked else f"{target.name} → {chosen.name if chosen else '–'}",
        curl=curl_of(chosen.url, body, with_key=bool(chosen.api_key)) if chosen else "",
        at=datetime.now(UTC),
        parameters={k: v for k, v in body.items() if k != "messages"},
        routed=picked.routed if picked else None,
    )
    past.append(turn)
    del past[:-MAX_TURNS]
    try:
        _draw_answer(turn, chosen, sent, parameters, silence_s)
    finally:  # also when the person leaves before anything was sent
        if chosen is not None and turn.routed is not None:
            _tell_router(turn, turn.routed)


def _draw_answer(
    turn: Turn,
    target: Target | None,
    sent: Sequence[Message],
    parameters: ChatParameters,
    silence_s: float,
) -> None:
    with st.chat_message("user", avatar=":material/person:"):
        st.text(turn.prompt)
    st.fragment(_redraw_if_stopped, run_every=_WATCH_S)()
    with st.chat_message("assistant", avatar=":material/forest:"):
        if target is None:
            turn.outcome, turn.problem = "failed", _NOBODY
        else:
            _stream(target, sent, parameters, turn, silence_s)
        draw_foot(turn)


def _redraw_if_stopped() -> None:
    """Draw the page anew once the person has stopped an answer.

    Stopping ends the script at once, so that run can no longer draw the answer's foot.
    """
    past = turns()
    if past and past[-1].outcome == "stopped":
        st.rerun()


def _stream(
    target: Target,
    sent: Sequence[Message],
    parameters: ChatParameters,
    turn: Turn,
    silence_s: float,
) -> None:
    client: Inference | None = None
    try:
        client = Inference(
            target.url, api_key=target.api_key, silence_s=silence_s, allowed=target.allowed
        )
        with client.stream_chat(sent, parameters) as stream:
            st.write_stream(_texts(iter(stream), turn), cursor="▍")
        turn.outcome = "done"
    except HeartwoodError as error:
        turn.outcome, turn.problem = "failed", states.problem_of(error)
    finally:
        # Stopping the script raises through here: what came so far is kept, and the connection is
        # closed, so that the server frees its slot.
        if client is not None:
            client.close()
        if turn.outcome == "streaming":
            turn.outcome = "stopped"
        _price(turn, target)


def _tell_router(turn: Turn, routed: Routed) -> None:
    landed = turn.end.simulated_tier if turn.end else ""
    outcome = {"done": "answered", "failed": "failed"}.get(turn.outcome, "client left")
    access.console().router.ended(routed, outcome, landed=landed)


def _texts(chunks: Iterator[TextChunk | AnswerEnd], turn: Turn) -> Iterator[str]:
    for chunk in chunks:
        if isinstance(chunk, AnswerEnd):
            turn.end = chunk
            return
        turn.answer += chunk.text
        yield chunk.text


def _price(turn: Turn, target: Target) -> None:
    """What the answer cost: its tokens' share, or the whole server for as long as it took.

    Of an answer that was cut off nobody knows how long the server went on: unknown, not unpriced.
    """
    end, rate = turn.end, target.rate
    hourly = rate.usd_per_hour if rate else None
    if hourly is None and target.usd_per_million is None:
        turn.usd_source = target.unpriced
    elif end is None:
        turn.usd_source = formats.UNKNOWN
    elif target.usd_per_million is not None:
        if end.prompt_tokens is None or end.completion_tokens is None:
            turn.usd_source = formats.UNKNOWN
            return
        tokens = end.prompt_tokens + end.completion_tokens
        turn.usd = target.usd_per_million * tokens / 1e6
        turn.usd_source = "list rate ÷ tokens/s now × tokens"
    elif rate and hourly is not None:
        turn.usd = hourly * end.total_ms / 3_600_000
        turn.usd_source = f"{rate.basis.value} rate × duration"


def export() -> bytes:
    """The conversation as JSON; no key is in it."""
    rows = [
        {
            "at": t.at.isoformat(),
            "target": t.target,
            "prompt": t.prompt,
            "answer": t.answer,
            "outcome": t.outcome,
            "route": asdict(t.routed.decision) if t.routed else None,
            "parameters": t.parameters,
            "figures": asdict(t.end) if t.end else None,
            "usd": t.usd,
            "usd_source": t.usd_source,
            "error": asdict(t.problem) if t.problem else None,
        }
        for t in turns()
    ]
    return json.dumps(rows, indent=2, ensure_ascii=False, default=str).encode()
