"""Loopback addresses of pods that are processes: a block for each port that an emulator listens at.

Linux answers at all of 127.0.0.0/8, so that every pod has the port that its template says.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from typing import Final

_BLOCK: Final = ipaddress.IPv4Network("127.64.0.0/10")
_PER_PORT: Final = 64  # 2**22 addresses for 2**16 ports
MOST_PODS: Final = _PER_PORT - 2


def free_address(port: int, taken: Collection[str]) -> str:
    """An address for a pod of the emulator at that REST port; StopIteration beyond MOST_PODS."""
    block = (str(_BLOCK[port * _PER_PORT + n]) for n in range(1, MOST_PODS + 1))
    return next(address for address in block if address not in taken)


def is_pod_address(address: str) -> bool:
    """Whether it is one of these."""
    try:
        return ipaddress.IPv4Address(address) in _BLOCK
    except ValueError:
        return False
