"""Log-probabilities in the shapes that clients read: OpenAI's two, and vLLM's for prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from serving.request import Scored
from serving.tokenizer import Tokenizer


def _entry(tokenizer: Tokenizer, token: int, logprob: float) -> dict[str, Any]:
    text = tokenizer.decode([token], skip_special=False)
    # Part of a character has no text, and what its bytes are the decoder does not tell.
    whole = "\N{REPLACEMENT CHARACTER}" not in text
    known = list(text.encode()) if whole else None
    return {"token": text, "logprob": logprob, "bytes": known}


def chat_logprobs(tokenizer: Tokenizer, scored: Sequence[Scored]) -> dict[str, Any]:
    """The `logprobs` object of a chat choice."""
    content = []
    for one in scored:
        best = [_entry(tokenizer, token, value) for token, value in one.best]
        content.append({**_entry(tokenizer, one.token, one.logprob), "top_logprobs": best})
    return {"content": content, "refusal": None}


def text_logprobs(
    tokenizer: Tokenizer, first: int | None, scored: Sequence[Scored], offset: int = 0
) -> dict[str, Any]:
    """The `logprobs` object of a text completion; its text begins at `offset`.

    `first` is the first token of an echoed prompt, for which no probability is known.
    """
    tokens, values, best, offsets = [], [], [], []
    if first is not None:
        tokens.append(tokenizer.decode([first], skip_special=False))
        values.append(None)
        best.append(None)
    for one in scored:
        tokens.append(tokenizer.decode([one.token], skip_special=False))
        values.append(one.logprob)
        ranked = [(tokenizer.decode([t], skip_special=False), value) for t, value in one.best]
        best.append(dict(ranked))
    for text in tokens:
        offsets.append(offset)
        offset += len(text)
    return {
        "tokens": tokens,
        "token_logprobs": values,
        "top_logprobs": best,
        "text_offset": offsets,
    }


def prompt_logprobs(tokenizer: Tokenizer, scored: Sequence[Scored]) -> list[dict[str, Any] | None]:
    """vLLM's `prompt_logprobs`: for each prompt token but the first, by token id."""
    told: list[dict[str, Any] | None] = [None]
    for one in scored:
        entries = {}
        ranks = {token: rank for rank, (token, _) in enumerate(one.best, 1)}
        for token, value in (*one.best, (one.token, one.logprob)):
            entries[str(token)] = {
                "logprob": value,
                "rank": ranks.get(token),
                "decoded_token": tokenizer.decode([token], skip_special=False),
            }
        told.append(entries)
    return told
