"""One prompt and its growing answer, as the scheduler sees it: tokens, a slot, how far computed."""

from __future__ import annotations

import dataclasses

from serving.drafting import Lookup


@dataclasses.dataclass(eq=False, slots=True)
class Sequence:
    """A prompt with the tokens generated so far. `finish_reason` is None while it lives."""

    prompt: tuple[int, ...]
    max_tokens: int
    stop_tokens: frozenset[int] = frozenset()
    use_prefix: bool = True  # False: every prompt token is computed, whatever the cache has
    lookup: Lookup | None = None  # None: no guesses are made for it
    slot: int | None = None
    computed: int = 0  # positions of its slot that hold keys and values of its tokens
    cached: int = 0  # prompt tokens that came from the prefix cache
    finish_reason: str | None = None
    tokens: list[int] = dataclasses.field(init=False)  # prompt, then answer

    def __post_init__(self) -> None:
        """Nothing is generated yet."""
        self.tokens = list(self.prompt)

    @property
    def generated(self) -> list[int]:
        """The answer's tokens so far."""
        return self.tokens[len(self.prompt) :]

    @property
    def generated_count(self) -> int:
        """How many tokens the answer has."""
        return len(self.tokens) - len(self.prompt)

    @property
    def decoding(self) -> bool:
        """All but the newest generated token is computed: the next step continues the answer."""
        return self.generated_count > 0 and self.computed == len(self.tokens) - 1

    @property
    def needed(self) -> int:
        """Positions that its slot must have for the next step.

        While others decode, one position after its prompt may be written by them.
        """
        return len(self.tokens) + (not self.decoding)

    def push(self, token: int) -> None:
        """Append a generated token."""
        self.tokens.append(token)
        if self.lookup is not None:
            self.lookup.push(token)
