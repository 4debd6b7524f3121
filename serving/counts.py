"""What the scheduler has counted; `metrics` tells it."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(slots=True)
class Counts:
    """What happened since the start."""

    preemptions: int = 0
    prefix_queries: int = 0  # prompt tokens that were looked up
    prefix_hits: int = 0  # prompt tokens that were found
    drafted: int = 0  # guessed tokens that were checked
    accepted: int = 0  # guessed tokens that were right
