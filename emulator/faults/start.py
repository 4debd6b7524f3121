"""Sets the gate before an emulator's APIs, and its control call beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from emulator.faults.control import PATH, FaultControl
from emulator.faults.gate import Gate
from emulator.wire.mount import Mount, RouterMount

if TYPE_CHECKING:
    from emulator.context import Cloud


def set_gate(cloud: Cloud, mounts: Sequence[Mount | RouterMount]) -> list[Mount | RouterMount]:
    """Have every call of the mounts pass a gate; the mounts and that of the control call."""
    cloud.gate = Gate(cloud, mounts)
    return [*mounts, RouterMount(PATH, FaultControl(cloud, cloud.gate.book))]
