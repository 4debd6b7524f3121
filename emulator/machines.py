"""vCPUs and memory of the machine types that the emulated project can have."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

# (vCPUs, GB of memory). Google's TPU pages publish the 4-chip hosts of TPU7x, v6e and v5p. The
# other TPU hosts are from memory of the same pages (v5e, v6e) or taken as the share of their chips
# (tpu7x-standard-1t): close enough to place pods by, and not confirmed.
SIZES: Final = MappingProxyType(
    {
        "tpu7x-standard-1t": (56, 240),
        "tpu7x-standard-4t": (224, 960),
        "ct6e-standard-1t": (44, 176),
        "ct6e-standard-4t": (180, 720),
        "ct6e-standard-8t": (180, 1440),
        "ct5p-hightpu-4t": (208, 448),
        "ct5lp-hightpu-1t": (24, 48),
        "ct5lp-hightpu-4t": (112, 192),
        "ct5lp-hightpu-8t": (224, 384),
        "e2-medium": (2, 4),
        "e2-standard-2": (2, 8),
        "e2-standard-4": (4, 16),
        "e2-standard-8": (8, 32),
        "e2-standard-16": (16, 64),
        "n2-standard-4": (4, 16),
        "n2-standard-8": (8, 32),
        "n2-standard-16": (16, 64),
    }
)
GENERAL: Final = tuple(name for name in SIZES if name.startswith(("e2-", "n2-")))
# Types whose vCPUs are shared: a node of them offers less than it has.
SHARED_CORE_MILLICPU: Final = MappingProxyType({"e2-medium": 940})
