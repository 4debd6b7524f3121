"""Cloud TPU API: TPU VMs of the generations that it still supports (v5e, v5p, v6e; not TPU7x)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from core.records import TpuVm
from core.specs import PartKind, TierSpec
from services import calls
from services.clients import Clients

_TIMEOUT_S: Final = 15.0


class Tpu:
    """Reads TPU VMs."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def list_tpu_vms(self, specs: Sequence[TierSpec]) -> tuple[TpuVm, ...]:
        """All TPU VMs in the zones where a tier has a part of that kind, zones in parallel.

        Raises:
            OpsError: a zone could not be read.
        """
        zones = sorted(
            {p.location for s in specs for p in s.parts if p.kind is PartKind.TPU_VM and p.location}
        )
        found = calls.in_parallel(self._list_zone, zones)
        return tuple(vm for of_zone in found for vm in of_zone)

    def _list_zone(self, zone: str) -> list[TpuVm]:
        parent = f"projects/{self._clients.project}/locations/{zone}"
        resource = f"{parent}/nodes"

        def read(timeout_s: float) -> list[Any]:
            pager = self._clients.tpu().list_nodes(parent=parent, timeout=timeout_s, retry=None)
            return list(pager)

        nodes = self._clients.call(read, resource=resource, timeout_s=_TIMEOUT_S)
        with calls.converting(resource):
            return [_tpu_vm(zone, node) for node in nodes]


def _tpu_vm(zone: str, node: Any) -> TpuVm:
    return TpuVm(
        name=str(node.name).rsplit("/", 1)[-1],
        zone=zone,
        state=str(node.state.name),
        health=str(node.health.name),
        accelerator_type=str(node.accelerator_type),
        topology=str(node.accelerator_config.topology),
        runtime_version=str(node.runtime_version),
        hosts=len(node.network_endpoints),
        created_at=_plain(node.create_time),
        labels=dict(node.labels),
        spot=bool(node.scheduling_config.spot or node.scheduling_config.preemptible),
    )


def _plain(at: Any) -> datetime | None:
    """Google's own subclass of datetime as a plain one, which compares and pickles everywhere."""
    return datetime.fromtimestamp(at.timestamp(), tz=UTC) if at else None
