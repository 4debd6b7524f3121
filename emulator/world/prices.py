"""List prices of what the emulated project uses, per unit in US dollars.

TPU prices are Google's list prices in us-central1 as seen in public bills (2026). TPU7x's SKU
number is Google's; the other numbers are the emulator's own. Those of cores, memory, the balancer,
bytes sent and storage are list prices from memory. What is not here (emulator/README.md names it)
is not billed either. Vertex replicas are billed at the chip price of their generation: Vertex's own
fee is not known, and none is made up.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

COMPUTE_SERVICE: Final = "6F81-5844-456A"
VERTEX_SERVICE: Final = "C7E2-9256-1C43"
STORAGE_SERVICE: Final = "95FF-2EF5-5EA1"
SERVICES: Final = {
    COMPUTE_SERVICE: "Compute Engine",
    VERTEX_SERVICE: "Vertex AI",
    STORAGE_SERVICE: "Cloud Storage",
}
REGION: Final = "us-central1"


@dataclass(frozen=True, slots=True)
class Sku:
    """One SKU: `usd` per `unit` ("h", "GiBy.h", "GiBy", "GiBy.mo").

    `usage_type` is OnDemand or Preemptible; `generation` names the TPU's, "" for others.
    """

    id: str
    service: str
    description: str
    family: str
    group: str
    usage_type: str
    unit: str
    usd: float
    generation: str = ""


def _made_up(text: str) -> str:
    digits = hashlib.blake2s(text.encode(), digest_size=6).hexdigest().upper()
    return f"{digits[:4]}-{digits[4:8]}-{digits[8:]}"


def _tpu(generation: str, words: str, usd: float, *, preemptible: bool = False) -> Sku:
    kind = "Preemptible " if preemptible else ""
    text = f"{kind}{words} running in Iowa"
    known = generation == "TPU7x" and not preemptible
    return Sku(
        id="0F71-4391-B6CA" if known else _made_up(text), service=COMPUTE_SERVICE,
        description=text, family="Compute", group="TPU",
        usage_type="Preemptible" if preemptible else "OnDemand", unit="h", usd=usd,
        generation=generation,
    )  # fmt: skip


def _other(service: str, text: str, family: str, group: str, unit: str, usd: float) -> Sku:
    return Sku(_made_up(text), service, text, family, group, "OnDemand", unit, usd)


TPU7X: Final = _tpu("TPU7x", "TPU7x", 12.0)
V6E: Final = _tpu("v6e", "TPU v6e", 2.70)
E2_CORE: Final = _other(
    COMPUTE_SERVICE, "E2 Instance Core running in Americas", "Compute", "CPU", "h", 0.02181159
)
E2_RAM: Final = _other(
    COMPUTE_SERVICE, "E2 Instance Ram running in Americas", "Compute", "RAM", "GiBy.h", 0.00292353
)
BALANCER: Final = _other(
    COMPUTE_SERVICE, "Global External Application Load Balancer Forwarding Rule", "Network",
    "LoadBalancing", "h", 0.025,
)  # fmt: skip
EGRESS: Final = _other(
    COMPUTE_SERVICE, "Network Internet Data Transfer Out from Americas", "Network",
    "PremiumInternetEgress", "GiBy", 0.12,
)  # fmt: skip
STORAGE: Final = _other(
    STORAGE_SERVICE, "Standard Storage Iowa", "Storage", "RegionalStorage", "GiBy.mo", 0.02
)
VERTEX_TPU7X: Final = Sku(
    _made_up("Vertex TPU7x"), VERTEX_SERVICE, "Online Prediction TPU7x running in Iowa",
    "ApplicationServices", "Prediction", "OnDemand", "h", TPU7X.usd, "TPU7x",
)  # fmt: skip
SKUS: Final = (
    TPU7X,
    _tpu("TPU7x", "TPU7x", 4.332, preemptible=True),
    V6E,
    _tpu("v5p", "TPU v5p", 4.20),
    _tpu("v5e", "TPU v5e", 1.20),
    E2_CORE,
    E2_RAM,
    BALANCER,
    EGRESS,
    STORAGE,
    VERTEX_TPU7X,
)


def chip_sku(generation: str, *, spot: bool = False) -> Sku:
    """The SKU of a chip-hour, on demand or on spot; KeyError when there is none."""
    usage = "Preemptible" if spot else "OnDemand"
    for sku in SKUS:
        found = sku.generation == generation and sku.service == COMPUTE_SERVICE
        if found and sku.usage_type == usage:
            return sku
    raise KeyError(generation)
