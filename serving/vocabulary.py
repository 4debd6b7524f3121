"""What a checkpoint says of its tokenizer, and the error for a checkpoint that cannot be served."""

from __future__ import annotations

import dataclasses


class CheckpointError(Exception):
    """The model cannot be served; the message names the file, key or tensor and what is wrong."""


@dataclasses.dataclass(frozen=True, slots=True)
class Vocabulary:
    """A tokenizer's metadata; merges, special and pre_tokenizer are for BPE in GPT-2's alphabet."""

    tokens: list[str]
    merges: list[str]
    special: list[bool]  # True for control tokens
    pre_tokenizer: str
    chat_template: str | None
    eos_token: int
    bos_token: int | None
    add_bos: bool
    more_eos_tokens: tuple[int, ...] = ()  # others that end an answer
