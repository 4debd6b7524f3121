"""Which adapter call fills which fields of the Snapshot, one reader per source.

When they are read is `control/refresh.py`'s; what a call does is the adapters' in `services/`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

from control.kube_reads import KubeReads
from control.refresh import Fields, Partial, SourceReader
from control.settings import Settings
from core.errors import OpsError
from core.records import Snapshot, Source
from core.specs import TierSpec
from services.alerts import Alerts
from services.billing import Billing
from services.budgets import Budgets
from services.clients import Clients
from services.gke import Gke
from services.identity import probe_identity
from services.inference import Inference
from services.kube import Kube
from services.load_balancer import LoadBalancers
from services.monitoring import Monitoring
from services.quotas import Quotas
from services.recommender import Recommender
from services.sdk_imports import import_sdk
from services.server_series import ServerSeries
from services.stock import Stock
from services.tier_rows import Inventory
from services.tpu import Tpu
from services.vertex import Vertex


def make_readers(
    settings: Settings, clients: Clients, inference: Inference | None
) -> tuple[SourceReader, ...]:
    """A reader for every source that these settings can have."""
    specs = settings.tiers
    gke, kube = Gke(clients), Kube(clients)
    monitoring, billing = Monitoring(clients), Billing(clients)
    servers = ServerSeries(clients)
    tpu, vertex = Tpu(clients), Vertex(clients)
    balancers, budgets = LoadBalancers(clients), Budgets(clients)
    alerts, quotas, stock = Alerts(clients), Quotas(clients), Stock(clients)
    recommender = Recommender(clients)

    def read_gke(_: Snapshot) -> Fields:
        clusters, pools = gke.list_inventory()
        return {"clusters": clusters, "node_pools": pools}

    reads: dict[Source, Callable[[Snapshot], Fields | Partial]] = {
        Source.GKE: read_gke,
        Source.KUBE: KubeReads(kube, specs, gke.list_clusters).read,
        Source.TPU: lambda _: {"tpu_vms": tpu.list_tpu_vms(specs)},
        Source.VERTEX: lambda _: {"endpoints": vertex.list_endpoints(specs)},
        Source.LOAD_BALANCER: lambda _: {"load_balancer": balancers.read_load_balancer()},
        Source.LOAD: lambda s: read_loads(monitoring, specs, s),
        Source.CHIPS: lambda s: _read_chips(monitoring, servers, specs, s),
        Source.PRICES: lambda _: {"prices": billing.list_prices(specs)},
        Source.COSTS: lambda _: {"costs": billing.list_costs(_now().date())},
        Source.BUDGETS: lambda _: {"budgets": budgets.list_budgets()},
        Source.ALERTS: lambda _: {"alerts": alerts.list_open(specs)},
        Source.QUOTAS: lambda _: {"quotas": quotas.list_quotas()},
        Source.MACHINE_TYPES: lambda _: {"machine_types": stock.list_machine_types(specs)},
        Source.RESERVATIONS: lambda _: {"reservations": stock.list_reservations(specs)},
        Source.RECOMMENDER: lambda _: _read_recommendations(recommender, specs),
    }
    for source in not_set_up(settings):
        reads.pop(source, None)
    if inference is not None:
        reads[Source.INFERENCE] = lambda _: {"server": inference.read_status()}
    identity = _identity(clients)
    return tuple(
        SourceReader(
            source,
            settings.refresh.interval_s(source),
            read,
            endpoint=_endpoint(source, clients, inference),
            identity=None if source is Source.INFERENCE else identity,
            prepare=partial(import_sdk, source),
        )
        for source, read in reads.items()
    )


def not_set_up(settings: Settings) -> Mapping[Source, str]:
    """Sources that these settings leave out, each with the setting that would name it."""
    found: dict[Source, str] = {}
    if not settings.project.billing_export:
        found[Source.COSTS] = "No billing export is named: set project.billing_export."
    if not settings.project.billing_account:
        found[Source.BUDGETS] = "No billing account is named: set project.billing_account."
    if not any(t.is_local and t.endpoint_url for t in settings.tiers):
        found[Source.INFERENCE] = "No tier has a part of kind local with an endpoint_url."
    return found


def read_loads(
    monitoring: Monitoring, specs: Sequence[TierSpec], snapshot: Snapshot
) -> Fields | Partial:
    """The loads of all tiers, with what of them could not be read.

    Raises:
        OpsError: nothing could be read.
    """
    found = monitoring.read_loads(specs, _now(), Inventory.of(snapshot))
    fields = {"loads": found.by_tier}
    return fields if found.problem is None else Partial(fields, found.problem)


def _read_chips(
    monitoring: Monitoring, servers: ServerSeries, specs: Sequence[TierSpec], snapshot: Snapshot
) -> Fields | Partial:
    """Figures of each chip and each server; servers alone may fail."""
    fields: Fields = {"chips": monitoring.read_chips(specs, _now())}
    try:
        return {**fields, "servers": servers.read(specs, _now(), Inventory.of(snapshot))}
    except OpsError as error:
        return Partial(fields, error)


def _read_recommendations(recommender: Recommender, specs: Sequence[TierSpec]) -> Fields | Partial:
    """Those of all recommenders that answered."""
    found = recommender.list_cost(specs)
    fields: Fields = {"recommendations": found.found}
    return fields if found.problem is None else Partial(fields, found.problem)


def _endpoint(source: Source, clients: Clients, inference: Inference | None) -> str:
    if source is Source.INFERENCE and inference is not None:
        return inference.url
    return clients.endpoint(source)


def _identity(clients: Clients) -> Callable[[], str]:
    """As whom we call, asked until it is known; "" until then, which fails no source."""
    known: list[str] = []

    def remembered() -> str:
        if not known:
            try:
                known.append(probe_identity(clients).name)
            except OpsError:
                return ""
        return known[0]

    return remembered


def _now() -> datetime:
    return datetime.now(UTC)
