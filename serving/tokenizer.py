"""Text to tokens and back: the BPE tokenizer, the chat template, and the text of a running answer.

What does not live here: reading the files that it comes from (`gguf_checkpoint`, `hf_tokenizer`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import tokenizers
from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers
from tokenizers.decoders import DecodeStream

from serving.vocabulary import CheckpointError, Vocabulary

# How each family cuts text before BPE; the names are those that GGUF files carry.
_DIGITS_THEN_GPT2 = ("smollm", "starcoder", "refact", "command-r")
_SPLITS = {
    "llama-bpe": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "qwen2": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}


class TemplateRefused(Exception):
    """The chat template cannot render these messages; the message says why."""


def _pre_tokenizer(name: str) -> pre_tokenizers.PreTokenizer:
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=name not in _SPLITS)
    if name in ("default", "gpt-2", "gpt2"):
        return byte_level
    if name in _DIGITS_THEN_GPT2:
        digits = pre_tokenizers.Digits(individual_digits=True)
        return pre_tokenizers.Sequence([digits, byte_level])
    if name in _SPLITS:
        split = pre_tokenizers.Split(Regex(_SPLITS[name]), "isolated")
        return pre_tokenizers.Sequence([split, byte_level])
    raise CheckpointError(f"The tokenizer cuts text the {name!r} way, which is not known here.")


def build_bpe(vocabulary: Vocabulary) -> tokenizers.Tokenizer:
    """A byte-level BPE from a vocabulary and its merges."""
    ids = {token: index for index, token in enumerate(vocabulary.tokens)}
    merges = [tuple(merge.split(" ", 1)) for merge in vocabulary.merges]
    bpe = tokenizers.Tokenizer(models.BPE(vocab=ids, merges=merges))
    bpe.pre_tokenizer = _pre_tokenizer(vocabulary.pre_tokenizer)
    bpe.decoder = decoders.ByteLevel()
    specials = zip(vocabulary.tokens, vocabulary.special, strict=True)
    bpe.add_special_tokens([AddedToken(t, normalized=False) for t, special in specials if special])
    return bpe


class Tokenizer:
    """The tokenizer of one model, with its chat template and its end-of-sequence token."""

    def __init__(self, vocabulary: Vocabulary, bpe: tokenizers.Tokenizer | None = None) -> None:
        """Build from the vocabulary, or take a tokenizer that is ready (Hugging Face's)."""
        self.bpe = build_bpe(vocabulary) if bpe is None else bpe
        self.eos_token = vocabulary.eos_token
        self.eos_tokens = frozenset({vocabulary.eos_token, *vocabulary.more_eos_tokens})
        self.size = self.bpe.get_vocab_size()
        self.vocabulary = vocabulary
        self._template = None
        if vocabulary.chat_template:
            sandbox = ImmutableSandboxedEnvironment(
                trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
            )
            sandbox.globals["raise_exception"] = _raise
            sandbox.globals["strftime_now"] = lambda form: datetime.now(UTC).strftime(form)
            self._template = sandbox.from_string(vocabulary.chat_template)

    def encode(self, text: str, add_bos: bool = True) -> list[int]:
        """Tokens of `text`; the model's BOS in front where the model wants one."""
        ids = self.bpe.encode(text, add_special_tokens=False).ids
        bos = self.vocabulary.bos_token
        if add_bos and self.vocabulary.add_bos and bos is not None and ids[:1] != [bos]:
            ids = [bos, *ids]
        return ids

    def decode(self, tokens: Sequence[int], skip_special: bool = True) -> str:
        """The text of `tokens`."""
        return self.bpe.decode(list(tokens), skip_special_tokens=skip_special)

    def render_chat(self, messages: list[dict[str, str]]) -> str:
        """The prompt for `messages` (each with role and content); TemplateRefused when it cannot.

        A model without a template of its own gets "role: content" lines.
        """
        if self._template is None:
            lines = [f"{message['role']}: {message['content']}\n" for message in messages]
            return "".join(lines) + "assistant:"
        tokens = self.vocabulary.tokens
        bos = self.vocabulary.bos_token
        try:
            return self._template.render(
                messages=messages,
                add_generation_prompt=True,
                bos_token=tokens[bos] if bos is not None else "",
                eos_token=tokens[self.eos_token],
            )
        except (TemplateError, TypeError, KeyError, ValueError) as error:
            raise TemplateRefused(str(error)) from error


def _raise(message: str) -> None:
    raise TemplateError(message)


class AnswerText:
    """The text of one running answer: whole characters only, and never a stop string.

    `push` returns what may be shown so far. Text that might be the beginning of a stop string is
    held back until it is decided.
    """

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str] = ()) -> None:
        """Stop strings must not be empty."""
        self._bpe = tokenizer.bpe
        self._stream = DecodeStream(skip_special_tokens=True)
        self._stops = tuple(stops)
        self._held = ""
        self.stopped = False

    def push(self, token: int) -> str:
        """Take one token; the text that became certain (often empty inside a character)."""
        self._held += self._stream.step(self._bpe, token) or ""
        found = [(self._held.find(stop), len(stop)) for stop in self._stops]
        # The stop string that is complete first counts, however the text fell into tokens.
        ends = [(place + size, place) for place, size in found if place >= 0]
        if ends:
            self.stopped = True
            shown, self._held = self._held[: min(ends)[1]], ""
            return shown
        return self._release(len(self._held) - self._undecided())

    def _undecided(self) -> int:
        """Length of the longest tail that begins one of the stop strings."""
        longest = max((len(stop) - 1 for stop in self._stops), default=0)
        for size in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-size:]) for stop in self._stops):
                return size
        return 0

    def _release(self, size: int) -> str:
        shown, self._held = self._held[:size], self._held[size:]
        return shown

    def finish(self) -> str:
        """What was held back, once it is known that no stop string follows."""
        return self._release(len(self._held))
