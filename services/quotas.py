"""Cloud Quotas: how many TPU chips each API grants, where.

Only limits are told; what is in use is counted by `core.quota_use`. Three APIs sell chips, each
with quotas of its own: Compute Engine per region and family of machine types, the Cloud TPU API per
zone, Vertex AI per region. The name of TPU7x's family follows the others' rule and is unconfirmed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from core import tpu
from core.cloud_limits import ChipQuota, Seller
from core.errors import NotFound
from services import calls
from services.clients import Clients

_TIMEOUT_S: Final = 15.0
_HOSTS: Final = {
    Seller.COMPUTE: "compute.googleapis.com",
    Seller.TPU: "tpu.googleapis.com",
    Seller.VERTEX: "aiplatform.googleapis.com",
}
_COMPUTE: Final = "TPUS-PER-TPU-FAMILY-per-project-region"
_NAMED: Final = {  # ids that name the generation
    Seller.TPU: re.compile(r"TPU(V?\w+?)PerProjectPerZoneForTPUAPI"),
    Seller.VERTEX: re.compile(r"CustomModelServingTPU(V?\w+?)PerProjectPerRegion"),
}


class Quotas:
    """Reads limits."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def list_quotas(self, sellers: tuple[Seller, ...] = tuple(Seller)) -> tuple[ChipQuota, ...]:
        """Quotas of TPU chips of these APIs, read in parallel; an API that is off has none.

        Raises:
            OpsError: one of them could not be read.
        """
        found = calls.in_parallel(self._list, sellers)
        return tuple(quota for of_one in found for quota in of_one)

    def _client(self) -> Any:
        from google.cloud.cloudquotas_v1 import CloudQuotasClient
        from google.cloud.cloudquotas_v1.services.cloud_quotas.transports import (
            CloudQuotasGrpcTransport,
        )

        return self._clients.grpc("quotas", CloudQuotasClient, CloudQuotasGrpcTransport)

    def _list(self, seller: Seller) -> list[ChipQuota]:
        project = self._clients.project
        parent = f"projects/{project}/locations/global/services/{_HOSTS[seller]}"

        def read(timeout_s: float) -> list[Any]:
            pager = self._client().list_quota_infos(parent=parent, timeout=timeout_s, retry=None)
            return list(pager)

        try:
            infos = self._clients.call(read, resource=parent, timeout_s=_TIMEOUT_S)
        except NotFound:
            return []
        with calls.converting(parent):
            return [quota for info in infos for quota in _quotas(seller, info)]


def _quotas(seller: Seller, info: Any) -> Iterator[ChipQuota]:
    """A quota for each place; none where it is not one of chips."""
    name = str(info.quota_id)
    match = _NAMED[seller].fullmatch(name) if seller in _NAMED else None
    if name != _COMPUTE and match is None:
        return
    for detail in info.dimensions_infos:
        dimensions: Mapping[str, str] = dict(detail.dimensions)
        told = match.group(1) if match else dimensions.get("tpu_family", "")
        generation = _by_family(told) if seller is Seller.COMPUTE else _by_name(told)
        if generation:
            place = dimensions.get("zone") or dimensions.get("region", "")
            yield ChipQuota(place, generation, float(detail.details.value), None, seller)


def _by_family(family: str) -> str:
    """The generation whose machine types are of that family, e.g. CT6E; "" when none is."""
    for gen in tpu.GENERATIONS.values():
        if any(m.split("-", 1)[0].upper() == family.upper() for m in gen.machine_types.values()):
            return gen.name
    return ""


def _by_name(told: str) -> str:
    """The generation that an id names, e.g. V6E, V7X or TPU7X; "" when it is none we know."""
    short = told.upper().removeprefix("TPU").removeprefix("V")
    for gen in tpu.GENERATIONS.values():
        if gen.name.upper().removeprefix("TPU").removeprefix("V") == short:
            return gen.name
    return ""
