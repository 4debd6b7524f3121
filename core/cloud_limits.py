"""What the cloud allows: quotas of chips, machine types per zone, reservations.

Reading them is `services/`' work, judging a plan by them `core/guards/`'; what of a quota is in use
`core/quota_use.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

MachineTypes = Mapping[str, frozenset[str]]  # zone → names that Compute Engine lists there


class Seller(StrEnum):
    """Whose chips they are; each has quotas of its own."""

    COMPUTE = "compute"  # GKE's node pools too
    TPU = "tpu"  # the Cloud TPU API
    VERTEX = "aiplatform"


@dataclass(frozen=True, slots=True)
class ChipQuota:
    """Chips of a generation that a place allows.

    Attributes:
        place: region, or zone where the quota is one of zones; "": wherever no other one counts.
        limit_chips: below 0: no limit.
        used_chips: None: no source tells; see `core.quota_use`.
    """

    place: str
    generation: str
    limit_chips: float
    used_chips: float | None = None
    seller: Seller = Seller.COMPUTE


@dataclass(frozen=True, slots=True)
class ReservedChips:
    """A reservation of chips in a zone."""

    name: str
    zone: str
    generation: str
    chips: int
    used_chips: int
