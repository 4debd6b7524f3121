"""Reads a Hugging Face folder's tokenizer: tokenizer.json, its config, chat template, end tokens.

What does not live here: using it (`tokenizer`).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import tokenizers

from serving.safetensors_folder import read_object
from serving.tokenizer import Tokenizer
from serving.vocabulary import CheckpointError, Vocabulary


def _optional(path: Path) -> dict[str, Any]:
    return read_object(path) if path.is_file() else {}


def _template(folder: Path, settings: dict[str, Any]) -> str | None:
    """The chat template: a file of its own, or a key that is a text or a list of named texts."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    found = settings.get("chat_template")
    if isinstance(found, list):
        named = {entry.get("name"): entry.get("template") for entry in found}
        return named.get("default")
    return found


def _token_id(bpe: tokenizers.Tokenizer, value: Any) -> int | None:
    """The id of a token given as text or as an object with its content."""
    text = value.get("content") if isinstance(value, dict) else value
    return bpe.token_to_id(text) if isinstance(text, str) else None


def _end_tokens(folder: Path, named: int | None) -> tuple[int, ...]:
    """Ids that end an answer, from generation_config.json or config.json; the named one first."""
    found = _optional(folder / "generation_config.json").get("eos_token_id")
    if found is None:
        found = read_object(folder / "config.json").get("eos_token_id")
    ids = [] if found is None else found if isinstance(found, list) else [found]
    if named is not None:
        ids = [named, *(token for token in ids if token != named)]
    if not ids:
        raise CheckpointError(f"{folder} names no eos_token, so no answer would ever end.")
    return tuple(int(token) for token in ids)


def read_tokenizer(folder: Path, rows: int) -> Tokenizer:
    """The tokenizer of a folder whose embedding has `rows` rows; CheckpointError if it has none."""
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise CheckpointError(f"There is no tokenizer.json in {folder}.")
    try:
        bpe = tokenizers.Tokenizer.from_file(str(file))
    # The package raises plain Exception for every kind of broken file.
    except Exception as error:
        raise CheckpointError(f"{file} cannot be read: {error}") from error
    ids = bpe.get_vocab(with_added_tokens=True)
    if max(ids.values(), default=-1) >= rows:
        raise CheckpointError(
            f"{file} has the token {max(ids.values())}, but config.json's vocab_size is {rows}."
        )
    settings = _optional(folder / "tokenizer_config.json")
    tokens = [""] * (max(ids.values(), default=-1) + 1)
    for text, token in ids.items():
        tokens[token] = text
    bos = _token_id(bpe, settings.get("bos_token"))
    ends = _end_tokens(folder, _token_id(bpe, settings.get("eos_token")))
    vocabulary = Vocabulary(
        tokens=tokens,
        merges=[],
        special=[],
        pre_tokenizer="",
        chat_template=_template(folder, settings),
        eos_token=ends[0],
        bos_token=bos,
        # What the file itself puts in front decides, not a key that may contradict it.
        add_bos=bos is not None and bpe.encode("").ids[:1] == [bos],
    )
    return Tokenizer(dataclasses.replace(vocabulary, more_eos_tokens=ends[1:]), bpe)
