"""What a step computes and reads at least: the numerator of FLOP/s and of memory bandwidth used.

Useful work alone: padding, guesses of padding and the unused rest of the cache's rectangle do not
count. Pure arithmetic without JAX. What does not live here: the machine's ceilings (`heartbeat`).
"""

from __future__ import annotations

import dataclasses

from serving.step import Step


@dataclasses.dataclass(frozen=True, slots=True)
class Work:
    """Operations of one step, and bytes that it reads at least."""

    flops: float = 0.0
    read_bytes: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Cost:
    """What one model costs: per token, per position that a token sees, per call of the layers."""

    layer_weights: int  # weights of all layers that are multiplied
    layer_bytes: int
    head_weights: int
    head_bytes: int
    attention_flops: int  # per token and position that it sees: 2 products over all query heads
    position_bytes: int  # keys and values of one position

    def of(self, step: Step) -> Work:
        """Of a step, before its tokens were taken over by its sequences."""
        flops, read = 0.0, 0.0
        for chunk in step.chunks:
            count = len(chunk.tokens)
            seen = count * chunk.start + count * (count + 1) // 2
            flops += 2 * count * self.layer_weights + seen * self.attention_flops
            read += (chunk.start + count) * self.position_bytes
            if chunk.last:
                flops += 2 * self.head_weights
        for batch in step.batches:
            last = any(step.chunks[number].last for number in batch)
            read += self.layer_bytes + last * self.head_bytes
        for row in step.rows:
            count, seen = 1 + len(row.draft), len(row.sequence.tokens) + len(row.draft)
            flops += 2 * count * (self.layer_weights + self.head_weights)
            flops += count * seen * self.attention_flops
            read += seen * self.position_bytes
        if step.rows:
            read += self.layer_bytes + self.head_bytes
        return Work(flops, read)
