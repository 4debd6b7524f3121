"""State of Managed Lustre: instances, the files on them, and the performance tiers' sizes.

The sizes are those of Google's page on performance tiers (autumn 2026).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any, Final

from emulator.apis.instances import Kept
from emulator.apis.storage.disk import Content

# Simulated seconds of each kind of work: guesses, of the order that Google's docs tell.
SECONDS: Final = {"create": 900.0, "update": 600.0, "delete": 300.0}
DYNAMIC: Final = 25
_TRANSFER_S: Final = 30.0
_FASTEST_MBPS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Tier:
    """Capacities of a performance tier, in GiB.

    Attributes:
        step: what capacities are multiples of, up to `threshold`.
        wide_step: the same above it; an instance does not grow past the threshold.
    """

    least: int
    most: int
    step: int
    threshold: int = 0
    wide_step: int = 0

    def step_at(self, capacity_gib: int) -> int:
        """The step that holds for a capacity."""
        return self.wide_step if self.threshold and capacity_gib > self.threshold else self.step

    def limit_of(self, capacity_gib: int) -> int:
        """To what an instance of that capacity can grow."""
        return self.threshold if self.threshold >= capacity_gib else self.most

    def holds(self, capacity_gib: int) -> bool:
        """Whether an instance may have that capacity."""
        fits = self.least <= capacity_gib <= self.most
        return fits and capacity_gib % self.step_at(capacity_gib) == 0


# By MBps per TiB.
TIERS: Final = {
    1000: Tier(9_000, 10_008_000, 9_000, 1_530_000, 72_000),
    500: Tier(18_000, 20_016_000, 18_000, 3_060_000, 144_000),
    250: Tier(36_000, 40_032_000, 36_000, 6_120_000, 288_000),
    125: Tier(72_000, 12_240_000, 72_000),
    DYNAMIC: Tier(472_000, 84_016_000, 472_000),
}


@dataclass
class LustreState(Kept):
    """The instances, and what is theirs beside their messages.

    Attributes:
        files: an instance's name → its files by path ("/weights/a.bin").
        blocks: an instance's name → its addresses.
    """

    files: dict[str, dict[str, Content]] = field(default_factory=dict)
    blocks: dict[str, IPv4Network] = field(default_factory=dict)

    def forget(self, name: str) -> None:
        """Drop an instance with all that is on it."""
        del self.instances[name]
        self.blocks.pop(name, None)
        for content in self.files.pop(name, {}).values():
            content.path.unlink(missing_ok=True)


@dataclass(slots=True)
class Copying:
    """One file that a transfer copies: its place at the source, and what puts it at the other."""

    content: Content
    put: Callable[[], None]


def throughput_mbps(instance: Any) -> float:
    """What an instance reads or writes at the most: capacity times its tier."""
    per_tib = instance.per_unit_storage_throughput or DYNAMIC
    return instance.capacity_gib / 1024 * per_tib


def transfer_s(instance: Any, size: int) -> float:
    """Simulated seconds that a transfer of so many bytes takes, a start-up included."""
    mbps = min(throughput_mbps(instance), _FASTEST_MBPS)
    return _TRANSFER_S + size / 1e6 / mbps
