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
    held: dict[str, int] = {}
    for tier in cloud.scenario.tiers:
        family = tpu_family(tier.gen)
        held[family] = held.get(family, 0) + tier.gke_slices * tier.chips_per_slice
    families = {tpu_family(g): held.get(tpu_family(g), 0) for g in tpu.GENERATIONS.values()}
    # Room for half as much again as the scenario starts with, and never less than a host's worth.
    values = tuple(
        ((("region", own), ("tpu_family", family)), max(chips * 3 // 2, 64))
        for family, chips in sorted(families.items())
    )
    yield Quota(
        compute, "TPUS-PER-TPU-FAMILY-per-project-region",
        f"{compute}/tpus_per_tpu_family", "TPUs per TPU family", ("region", "tpu_family"),
        (((), 0), *values),
    )  # fmt: skip
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


_OTHERS: Final = (
    ("aiplatform", "CustomModelServingTPUV5ePerProjectPerRegion",
     "custom_model_serving_tpu_v5e", "Custom model serving TPU v5e chips", ("region",), 16, False),
    ("aiplatform", "OnlinePredictionRequestsPerMinutePerProjectPerRegion",
     "online_prediction_requests_per_base_model", "Online prediction requests per minute",
     ("region",), 30_000, True),
    ("container", "ClustersPerLocation", "quota/clusters_per_location", "Clusters per location",
     ("location",), 100, False),
    ("logging", "WriteRequestsPerMinutePerProject", "write_requests", "Write requests per minute",
     (), 120_000, True),
    ("tpu", "TPUV5sLitepodServingPerProjectPerZone", "tpu-v5s-litepod-serving",
     "TPU v5 lite pod cores for serving", ("zone",), 16, False),
    ("tpu", "TPUV6EPerProjectPerZone", "tpu-v6e", "TPU v6e chips", ("zone",), 64, False),
)  # fmt: skip
