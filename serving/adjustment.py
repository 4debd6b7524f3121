"""What one request adds to its logits: penalties, biases, and what its grammar forbids.

Kept on the host, one array over the vocabulary for each request that asks for any of it, and
changed token by token; `sampling.adjust` applies them on the device.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from serving.grammar import Matcher
from serving.request import SamplingParams


class Adjustment:
    """The penalties of one sequence, as they stand after its newest token."""

    def __init__(
        self,
        params: SamplingParams,
        vocabulary: int,
        prompt: Iterable[int],
        grammar: Matcher | None = None,
    ) -> None:
        """The repetition penalty looks at the prompt too, the other two at the answer only."""
        self._params, self.grammar = params, grammar
        self.repeat = np.ones(vocabulary, np.float32)
        self._bias = np.zeros(vocabulary, np.float32)
        self._seen: set[int] = set()
        for token, value in params.logit_bias:
            self._bias[token] += value
        self.repeat[list(set(prompt))] = params.repetition_penalty

    @property
    def bias(self) -> np.ndarray:
        """What is added to the logits [V] now; -inf where the grammar forbids a token."""
        if self.grammar is None:
            return self._bias
        return np.where(self.grammar.allowed(), self._bias, np.float32(-np.inf))

    @property
    def finish_reason(self) -> str | None:
        """Why the answer ends here: the grammar allows nothing more, or has failed."""
        if self.grammar is None or not self.grammar.stopped:
            return None
        return "error" if self.grammar.failed else "stop"

    def push(self, token: int) -> None:
        """Take note of a generated token."""
        params = self._params
        if token not in self._seen:
            self._seen.add(token)
            self._bias[token] -= params.presence_penalty
        self._bias[token] -= params.frequency_penalty
        self.repeat[token] = params.repetition_penalty
        if self.grammar is not None:
            self.grammar.push(token)
