"""Names that Google gives to regions, also of those in which the project has nothing."""

from __future__ import annotations

import re
from typing import Final

_REGION: Final = re.compile(
    r"(?:us|northamerica|southamerica|europe|asia|australia|me|africa)-"
    r"(?:north|south|east|west|central|northeast|northwest|southeast|southwest)\d{1,2}",
    re.IGNORECASE,
)


def is_region(name: str) -> bool:
    """Whether a region may be called so, in either case ("us-central1")."""
    return _REGION.fullmatch(name) is not None
