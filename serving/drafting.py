"""Guesses the next tokens of an answer by looking up its last few in the text so far.

Answers repeat what was said before (names, code, quoted passages), so what followed last time is
a good guess (prompt-lookup decoding). The model checks a whole guess in one step, which costs
little more than one token; see `scheduler` for what is accepted. Pure Python.
"""

from __future__ import annotations

GRAM_SIZES = (4, 3, 2)  # longest match first
_PATIENCE = 4  # unlucky guesses in a row after which guessing pauses ...
_LONGEST_PAUSE = 32  # ... for 1, 2, 4 ... up to this many steps


class Lookup:
    """The tokens of one sequence, indexed by their last few. Grows with `push`."""

    def __init__(self, tokens: list[int]) -> None:
        """Index what is there already; later tokens come through `push`."""
        self._tokens: list[int] = []
        self._ends: dict[tuple[int, ...], int] = {}  # gram -> where what followed it begins
        self._misses = 0
        self._pause = 0
        for token in tokens:
            self.push(token)

    def push(self, token: int) -> None:
        """Append one token. The grams before it become findable, since now they have a sequel."""
        tokens = self._tokens
        for size in GRAM_SIZES:
            if len(tokens) >= size:
                self._ends[tuple(tokens[-size:])] = len(tokens)
        tokens.append(token)

    def propose(self, count: int) -> tuple[int, ...]:
        """Up to `count` tokens that may come next; empty when nothing matches, or in a pause."""
        if self._pause > 0:
            self._pause -= 1
            return ()
        for size in GRAM_SIZES:
            place = self._ends.get(tuple(self._tokens[-size:]))
            if place is not None and len(self._tokens) >= size:
                return self._follow(place, count)
        return ()

    def _follow(self, place: int, count: int) -> tuple[int, ...]:
        """What stands at `place`; where it runs into the end it goes on in a circle."""
        period = len(self._tokens) - place
        return tuple(self._tokens[place + index % period] for index in range(count))

    def learn(self, proposed: int, accepted: int) -> None:
        """Take note of how a guess fared, and pause after several that brought nothing."""
        if not proposed:
            return
        if accepted:
            self._misses = 0
            return
        self._misses += 1
        if self._misses >= _PATIENCE:
            self._pause = min(2 ** (self._misses - _PATIENCE), _LONGEST_PAUSE)
