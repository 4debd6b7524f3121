"""Answers that follow a JSON schema: which tokens may come next, by llguidance.

The engine asks for a mask before each token and tells the token that came; nothing here knows
about models or requests.
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

    from serving.tokenizer import Tokenizer

# Free white space lets a small model fill its whole answer with it.
_COMPACT = {"whitespace_flexible": False}


class GrammarError(Exception):
    """A schema that no answer can be held to; the message says why."""


class Matcher:
    """How far one answer has got in its grammar."""

    def __init__(self, matcher: LLMatcher, vocabulary: int, eos_token: int) -> None:
        """`matcher` stands at the beginning; masks have `vocabulary` entries."""
        self._matcher, self._vocabulary, self._eos_token = matcher, vocabulary, eos_token

    def copy(self) -> Matcher:
        """Another answer's matcher, as far as this one."""
        return Matcher(self._matcher.deep_copy(), self._vocabulary, self._eos_token)

    def allowed(self) -> np.ndarray:
        """Mask [V] of the tokens that may come next; only the end once something went wrong."""
        mask = np.zeros(self._vocabulary, bool)
        if self.stopped:
            mask[self._eos_token] = True
            return mask
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        bits = np.unpackbits(bits, bitorder="little")[: self._vocabulary]
        mask[: len(bits)] = bits
        return mask

    def push(self, token: int) -> None:
        """Take the token that came."""
        if not self.stopped:
            self._matcher.consume_token(token)

    @property
    def stopped(self) -> bool:
        """Nothing may follow."""
        return self._matcher.is_stopped()

    @property
    def failed(self) -> bool:
        """The answer left the grammar, or the grammar proved too large."""
        return self._matcher.is_error()


class Grammars:
    """Makes matchers for one model's vocabulary. Thread-safe; the first one takes a second."""

    def __init__(self, tokenizer: Tokenizer, vocabulary: int) -> None:
        """`vocabulary` is the width of the logits."""
        self._tokenizer, self._vocabulary = tokenizer, vocabulary
        self._lock = threading.Lock()
        self._ready: LLTokenizer | None = None

    def compile(self, schema: dict[str, Any] | bool) -> Matcher:
        """A matcher for a JSON schema; GrammarError when it makes no sense or is too large."""
        from llguidance import LLMatcher

        tokenizer = self._prepare()
        try:
            grammar = LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides=_COMPACT)
        except ValueError as error:
            raise GrammarError(str(error)) from error
        matcher = LLMatcher(tokenizer, grammar, log_level=0)
        if matcher.is_error():
            raise GrammarError(matcher.get_error())
        return Matcher(matcher, self._vocabulary, self._tokenizer.eos_token)

    def _prepare(self) -> LLTokenizer:
        # Imported here, not above: only servers that are asked for a schema need it.
        from llguidance import LLTokenizer

        with self._lock:
            if self._ready is None:
                text = self._tokenizer.bpe.to_str()
                eos = sorted(self._tokenizer.eos_tokens)
                self._ready = LLTokenizer(text, n_vocab=self._vocabulary, eos_token=eos)
            return self._ready
