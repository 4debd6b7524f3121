"""Compute Engine: which machine types each zone offers, and which chips are reserved there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from core import ownership, tpu
from core.cloud_limits import MachineTypes, ReservedChips
from core.specs import PartKind, TierSpec
from services import calls
from services.clients import Clients

if TYPE_CHECKING:
    from google.cloud.compute_v1.services.machine_types import MachineTypesClient
    from google.cloud.compute_v1.services.reservations import ReservationsClient

_TIMEOUT_S: Final = 20.0
_PAGE: Final = 500
_ON_MACHINES: Final = (PartKind.GKE_SINGLE_HOST, PartKind.GKE_MULTI_HOST)


class Stock:
    """Reads what is to be had, where a tier on GKE is or could be."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def list_machine_types(self, specs: Iterable[TierSpec]) -> MachineTypes:
        """The TPU machine types of each of these zones, in parallel.

        Raises:
            OpsError: a zone could not be read.
        """
        zones = _zones(specs)
        found = calls.in_parallel(self._types_of, zones)
        return dict(zip(zones, found, strict=True))

    def list_reservations(self, specs: Iterable[TierSpec]) -> tuple[ReservedChips, ...]:
        """Reservations of TPU machines in these zones.

        Raises:
            OpsError: a zone could not be read.
        """
        found = calls.in_parallel(self._reserved_in, _zones(specs))
        return tuple(reserved for in_zone in found for reserved in in_zone)

    def _types_of(self, zone: str) -> frozenset[str]:
        def client() -> MachineTypesClient:
            from google.cloud.compute_v1.services.machine_types import MachineTypesClient

            return self._clients.compute("machine_types", MachineTypesClient)

        names = [str(m.name) for m in self._list(client(), zone, "machineTypes")]
        return frozenset(name for name in names if ownership.hardware_of(name)[1])

    def _reserved_in(self, zone: str) -> list[ReservedChips]:
        def client() -> ReservationsClient:
            from google.cloud.compute_v1.services.reservations import ReservationsClient

            return self._clients.compute("reservations", ReservationsClient)

        found = self._list(client(), zone, "reservations")
        with calls.converting(f"reservations in {zone}"):
            return [kept for r in found if (kept := _reserved(zone, r)) is not None]

    def _list(self, client: Any, zone: str, what: str) -> list[Any]:
        project = self._clients.project
        request = {"project": project, "zone": zone, "max_results": _PAGE}

        def read(timeout_s: float) -> list[Any]:
            return list(client.list(request=request, timeout=timeout_s, retry=None))

        resource = f"projects/{project}/zones/{zone}/{what}"
        return self._clients.call(read, resource=resource, timeout_s=_TIMEOUT_S)


def _zones(specs: Iterable[TierSpec]) -> list[str]:
    """Zones of the tiers' nodes, and the others that have their generation."""
    found: set[str] = set()
    for spec in specs:
        zones = {p.location for p in spec.parts if p.kind in _ON_MACHINES and p.location}
        if zones and spec.generation:
            zones |= set(tpu.generation(spec.generation).zones)
        found |= zones
    return sorted(found)


def _reserved(zone: str, found: Any) -> ReservedChips | None:
    """None: it holds no TPU that we know."""
    specific = found.specific_reservation
    machine = str(specific.instance_properties.machine_type).rsplit("/", 1)[-1]
    generation, chips = ownership.hardware_of(machine)
    if generation is None:
        return None
    machines, used = int(specific.count), int(specific.in_use_count)
    return ReservedChips(str(found.name), zone, generation, machines * chips, used * chips)
