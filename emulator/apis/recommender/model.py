"""What is idle in the project now, and what people said of it.

The periods are those of Google's documentation. Idle disks and VMs cannot be found: the project has
no disks of its own, and VMs of GKE or with TPUs get no such recommendation. Of an idle cluster's
three signals only "no nodes" is looked at; the past of pods and of their processors is not kept.
No recommendation names a saving: what an unused address and a cluster's management cost is not in
the price list, so that the bill has no row of them either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from emulator.apis.compute.model import state_of
from emulator.apis.compute.views import shown
from emulator.context import Cloud

_DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Kind:
    """A recommender with its type of insights.

    Attributes:
        observed_days: how long a resource is idle before it is recommended to delete it.
    """

    recommender: str
    insight_type: str
    subtype: str
    insight_subtype: str
    resource_type: str
    observed_days: int


ADDRESSES: Final = Kind(
    "google.compute.address.IdleResourceRecommender", "google.compute.address.IdleResourceInsight",
    "DELETE_ADDRESS", "", "compute.googleapis.com/Address", 15,
)  # fmt: skip
CLUSTERS: Final = Kind(
    "google.container.DiagnosisRecommender", "google.container.DiagnosisInsight",
    "CLUSTER_IDLE", "CLUSTER_IDLE_NO_NODES", "container.googleapis.com/Cluster", 30,
)  # fmt: skip
# Known, and with nothing to say of any resource that the project can have.
SILENT: Final = frozenset({
    "google.compute.disk.IdleResourceRecommender", "google.compute.image.IdleResourceRecommender",
    "google.compute.instance.IdleResourceRecommender",
})  # fmt: skip
SILENT_INSIGHTS: Final = frozenset({
    "google.compute.disk.IdleResourceInsight", "google.compute.image.IdleResourceInsight",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """A resource that has been idle for long enough.

    Attributes:
        resource: full name, "//compute.googleapis.com/projects/…".
        idle_at: Unix seconds since which it is known to be idle.
        refreshed_at: Unix seconds of the last daily look at it.
    """

    kind: Kind
    location: str
    resource: str
    name: str
    idle_at: float
    refreshed_at: float
    id: str


@dataclass
class RecommenderState:
    """What was marked: recommendations and insights by full name, as they were then."""

    recommendations: dict[str, Any] = field(default_factory=dict)
    insights: dict[str, Any] = field(default_factory=dict)


def findings(cloud: Cloud) -> Iterator[Finding]:
    """Every idle resource, in the order of their names."""
    project, now = cloud.project.id, cloud.clock.now()
    freed = _last(cloud, "compute.forwardingRules.deleted")
    for name, body in sorted(state_of(cloud).of("addresses", "global").items()):
        idle = shown(cloud, "addresses", body)["status"] == "RESERVED"
        if body["addressType"] != "EXTERNAL" or not idle:
            continue
        made = datetime.fromisoformat(body["creationTimestamp"]).timestamp()
        resource = f"//compute.googleapis.com/projects/{project}/global/addresses/{name}"
        # Which address a deleted rule had is not kept: any of them may have freed this one.
        since = max(made, freed)
        yield from _ripe(cloud, ADDRESSES, "global", resource, since, now)
    for name, cluster in sorted(cloud.fleet.clusters.items()):
        if cluster.status != "RUNNING" or any(p.nodes for p in cluster.pools.values()):
            continue
        path = f"projects/{project}/locations/{cluster.location}/clusters/{name}"
        since = max(cluster.created_at, _last(cloud, "gke.node_pool.", f"clusters/{name}/"))
        resource = f"//container.googleapis.com/{path}"
        yield from _ripe(cloud, CLUSTERS, cluster.location, resource, since, now)


def _last(cloud: Cloud, kind: str, within: str = "") -> float:
    """When such a change was last made; 0 if never."""
    found = (c.at for c in cloud.log.changes() if c.kind.startswith(kind) and within in c.resource)
    return max(found, default=0.0)


def _ripe(
    cloud: Cloud, kind: Kind, location: str, resource: str, since: float, now: float
) -> Iterator[Finding]:
    day = cloud.clock.wall_s(_DAY_S)
    first = since + kind.observed_days * day
    if now < first:
        return
    text = f"{cloud.seed}/{kind.recommender}/{resource}/{since:.6f}"
    digest = hashlib.blake2s(text.encode(), digest_size=16).hexdigest()
    groups = (digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:])
    looked = first + (now - first) // day * day
    name = resource.rsplit("/", 1)[1]
    yield Finding(kind, location, resource, name, since, looked, "-".join(groups))
