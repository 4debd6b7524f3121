"""Quotas: what each service allows, where, and what was asked for beyond it.

`limit(cloud, …)` is for other APIs that refuse what exceeds a quota. The values are those of this
emulated project: Google gives every project its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from core import tpu
from emulator.context import Cloud

UNLIMITED: Final = -1
# Chips by generation for which there is room in the project's region: every tier of the default
# file and some spare, so that a slip of the hand meets the quota as it would in a real project.
CHIPS: Final = {"TPU7x": 10_752}
_FEW_CHIPS: Final = 64
_SERVING_CHIPS: Final = 256
# Simulated seconds until a request is granted; requests for TPUs are looked at by people.
GRANT_S: Final = 120.0

Dimensions = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Quota:
    """One quota of a service; `values` by dimensions, the empty ones being the default."""

    service: str
    id: str
    metric: str
    title: str
    dimensions: tuple[str, ...]
    values: tuple[tuple[Dimensions, int], ...]
    rate: bool = False
    fixed: bool = False

    def value(self, dimensions: Mapping[str, str]) -> int:
        """The value of the most specific dimensions that fit."""
        fitting = [
            (len(wanted), value)
            for wanted, value in self.values
            if all(dimensions.get(k) == v for k, v in wanted)
        ]
        return max(fitting)[1] if fitting else 0


@dataclass(frozen=True, slots=True)
class Preference:
    """What somebody asked a quota to be."""

    name: str
    service: str
    quota_id: str
    dimensions: Dimensions
    preferred: int
    granted: int
    created_at: float
    updated_at: float
    justification: str = ""
    contact_email: str = ""
    annotations: tuple[tuple[str, str], ...] = ()
    reconciling: bool = False
    revision: int = 0


@dataclass
class QuotaState:
    """Quotas by (service, id); preferences by their short names."""

    quotas: dict[tuple[str, str], Quota] = field(default_factory=dict)
    preferences: dict[str, Preference] = field(default_factory=dict)

    def granted(self, quota: Quota, dimensions: Mapping[str, str]) -> int:
        """The quota as it stands there, grants included."""
        for preference in self.preferences.values():
            same = (preference.service, preference.quota_id) == (quota.service, quota.id)
            if same and dict(preference.dimensions) == dict(dimensions):
                return preference.granted
        return quota.value(dimensions)

    def details(self, quota: Quota) -> list[tuple[Dimensions, int]]:
        """Every combination of dimensions that has a value of its own."""
        found = dict(quota.values)
        for preference in self.preferences.values():
            if (preference.service, preference.quota_id) == (quota.service, quota.id):
                found[preference.dimensions] = preference.granted
        # The most specific first, as Google lists them.
        return sorted(found.items(), key=lambda item: (-len(item[0]), item[0]))


def quota_state(cloud: Cloud) -> QuotaState:
    """The one instance."""
    return cloud.store(
        QuotaState, lambda: QuotaState({(q.service, q.id): q for q in _quotas(cloud)})
    )


def limit(cloud: Cloud, service: str, quota_id: str, dimensions: Mapping[str, str]) -> int | None:
    """A quota's value there (-1: no limit); None when there is no such quota."""
    state = quota_state(cloud)
    quota = state.quotas.get((service, quota_id))
    return None if quota is None else state.granted(quota, dimensions)


def tpu_family(generation: tpu.Generation) -> str:
    """The `tpu_family` of Compute Engine's quota: the machine type's family in capitals.

    CT6E and CT5P have been seen; TPU7X follows from the same rule and is unconfirmed.
    """
    return next(iter(generation.machine_types.values())).split("-")[0].upper()


def _quotas(cloud: Cloud) -> Iterator[Quota]:
    compute, own = "compute.googleapis.com", cloud.project.region
    values = tuple(
        ((("region", region), ("tpu_family", tpu_family(g))),
         CHIPS.get(g.name, _FEW_CHIPS) if region == own else _FEW_CHIPS)
        for g in sorted(tpu.GENERATIONS.values(), key=tpu_family)
        for region in sorted({z.rsplit("-", 1)[0] for z in g.zones})
    )  # fmt: skip
    yield Quota(
        compute, "TPUS-PER-TPU-FAMILY-per-project-region",
        f"{compute}/tpus_per_tpu_family", "TPUs per TPU family", ("region", "tpu_family"),
        (((), 0), *values),
    )  # fmt: skip
    for generation in tpu.GENERATIONS.values():
        yield from _tpu_quotas(generation)
    regional = {
        "CPUS-per-project-region": ("cpus", "CPUs", 2400),
        "IN-USE-ADDRESSES-per-project-region": ("in_use_addresses", "In-use IP addresses", 2300),
        "INSTANCE-GROUP-MANAGERS-per-project-region":
            ("instance_group_managers", "Instance group managers", 1000),
        "SSD-TOTAL-GB-per-project-region": ("ssd_total_storage", "SSD total (GB)", 500_000),
    }  # fmt: skip
    for name, (metric, title, value) in regional.items():
        yield Quota(compute, name, f"{compute}/{metric}", title, ("region",), (((), value),))
    total = {
        "BACKEND-SERVICES-per-project": ("backend_services", "Backend services", 75),
        "FIREWALLS-per-project": ("firewalls", "Firewall rules", 500),
        "FORWARDING-RULES-per-project": ("forwarding_rules", "Forwarding rules", 75),
        "HEALTH-CHECKS-per-project": ("health_checks", "Health checks", 100),
        "NETWORKS-per-project": ("networks", "Networks", 30),
        "STATIC-ADDRESSES-per-project": ("global_static_addresses", "Static addresses", 23),
        "URL-MAPS-per-project": ("url_maps", "URL maps", 100),
    }
    for name, (metric, title, value) in total.items():
        yield Quota(compute, name, f"{compute}/{metric}", title, (), (((), value),))
    for service, name, metric, title, dimensions, value, rate in _OTHERS:
        host = f"{service}.googleapis.com"
        yield Quota(host, name, f"{host}/{metric}", title, dimensions, (((), value),), rate)


def tpu_api_quota(generation: tpu.Generation) -> str:
    """The id of the Cloud TPU API's quota on chips of a generation, per zone."""
    return f"TPU{generation.name.upper()}PerProjectPerZoneForTPUAPI"


def serving_quota(generation: tpu.Generation) -> str:
    """The id of Vertex AI's quota on chips of a generation for serving, per region."""
    short = generation.name.upper().removeprefix("TPU").removeprefix("V")
    return f"CustomModelServingTPUV{short}PerProjectPerRegion"


def _tpu_quotas(generation: tpu.Generation) -> Iterator[Quota]:
    name, short = generation.name, generation.name.lower().removeprefix("tpu")
    if generation.tpu_api_type:
        host = "tpu.googleapis.com"
        yield Quota(
            host, tpu_api_quota(generation), f"{host}/tpu-{short}", f"TPU {name} chips", ("zone",),
            (((), _FEW_CHIPS),),
        )  # fmt: skip
    host = "aiplatform.googleapis.com"
    yield Quota(
        host, serving_quota(generation), f"{host}/custom_model_serving_tpu_{short}",
        f"Custom model serving TPU {name} chips", ("region",),
        (((), _SERVING_CHIPS if name in CHIPS else _FEW_CHIPS),),
    )  # fmt: skip


_OTHERS: Final = (
    ("aiplatform", "OnlinePredictionRequestsPerMinutePerProjectPerRegion",
     "online_prediction_requests_per_base_model", "Online prediction requests per minute",
     ("region",), 30_000, True),
    ("container", "ClustersPerLocation", "quota/clusters_per_location", "Clusters per location",
     ("location",), 100, False),
    ("logging", "WriteRequestsPerMinutePerProject", "write_requests", "Write requests per minute",
     (), 120_000, True),
)  # fmt: skip
