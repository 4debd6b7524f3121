"""Reads Kubernetes in all the clusters that matter to tiers, so that one of them spoils none other.

What a call to one cluster does is `services/kube.py`'s, when it is made `control/refresh.py`'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import structlog

from control.refresh import Fields, Partial
from core import ownership
from core.errors import OpsError
from core.records import Cluster, Host, KubeEvent, NodePool, Pod, Snapshot, Workload
from core.server_findings import told_by_log, troubled
from core.specs import PartKind, TierSpec
from services.kube import Kube

_log: Final = structlog.get_logger("kube")
KEEP_S: Final = (
    120.0  # a plan may not rest on older data, and its guard sees the source's age alone
)
_SERVING: Final = ("RUNNING", "RECONCILING", "DEGRADED")
_GKE: Final = (PartKind.GKE_SINGLE_HOST, PartKind.GKE_MULTI_HOST)
_CALLS_AT_ONCE: Final = 8

_Key = tuple[str, str]  # location and name of a cluster, namespace and name of a pod


@dataclass(frozen=True, slots=True)
class _Content:
    """What one cluster holds; `problem`: something of it may not be read. `at`: monotonic."""

    hosts: tuple[Host, ...]
    workloads: tuple[Workload, ...]
    pods: tuple[Pod, ...]
    events: tuple[KubeEvent, ...]
    at: float
    problem: OpsError | None = None


class KubeReads:
    """Remembers what each cluster last told. `read` is for one thread at a time."""

    def __init__(
        self,
        kube: Kube,
        specs: Sequence[TierSpec],
        list_clusters: Callable[[], tuple[Cluster, ...]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`list_clusters` is asked while the Snapshot has none."""
        self._kube, self._specs, self._clock = kube, tuple(specs), clock
        self._list_clusters = list_clusters
        self._kept: dict[_Key, _Content] = {}

    def read(self, snapshot: Snapshot) -> Fields | Partial:
        """Hosts, workloads, pods and events of the clusters that matter, read in parallel.

        A cluster that fails keeps what it last told for `KEEP_S`; then the Snapshot's
        `clusters_unread` names it.

        Raises:
            OpsError: none of the clusters could be read.
        """
        clusters = snapshot.clusters or self._list_clusters()
        wanted = [c for c in clusters if matters(c, self._specs, snapshot.node_pools)]
        answers = self._read_all(wanted)
        failed: list[OpsError] = []
        unread: list[_Key] = []
        kept: dict[_Key, _Content] = {}
        for cluster in wanted:
            key, answer = (cluster.location, cluster.name), answers[cluster.location, cluster.name]
            if isinstance(answer, OpsError):
                failed.append(answer)
                old = self._kept.get(key)
                if old is None or self._clock() - old.at > KEEP_S:
                    unread.append(key)
                else:
                    kept[key] = old
                continue
            kept[key] = answer
            if answer.problem is not None:
                failed.append(answer.problem)
        if wanted and all(isinstance(a, OpsError) for a in answers.values()):
            raise failed[0]
        self._kept = kept
        fields = _fields(list(kept.values()), unread)
        return Partial(fields, _together(failed, len(wanted))) if failed else fields

    def _read_all(self, clusters: Sequence[Cluster]) -> dict[_Key, _Content | OpsError]:
        if not clusters:
            return {}
        with ThreadPoolExecutor(_CALLS_AT_ONCE, thread_name_prefix="kube") as pool:
            asked = [
                (
                    pool.submit(self._kube.list_hosts, c),
                    pool.submit(self._kube.list_workloads, c),
                    pool.submit(self._kube.list_pods, c),
                    pool.submit(self._kube.list_events, c),
                )
                for c in clusters
            ]
            found: dict[_Key, _Content | OpsError] = {}
            for cluster, (hosts, workloads, pods, events) in zip(clusters, asked, strict=True):
                key = (cluster.location, cluster.name)
                try:
                    told, there = workloads.result(), hosts.result()
                    heard = self._heard(cluster, there, pods.result())
                    found[key] = _Content(
                        there, told.found, heard, events.result(), self._clock(), told.problem,
                    )  # fmt: skip
                except OpsError as error:
                    found[key] = error
            return found

    def _heard(
        self, cluster: Cluster, hosts: Sequence[Host], pods: tuple[Pod, ...]
    ) -> tuple[Pod, ...]:
        """The pods; of servers that crash or start slowly one each with what its log tells.

        Nobody may be allowed to read logs: then it stays untold.
        """
        said: dict[_Key, Pod] = {}  # by namespace and name
        for spec in self._specs:
            found = troubled(spec, pods, hosts, datetime.now(UTC))
            for several, crashed in ((found.crashing, True), (found.slow, False)):
                chosen = min(several, key=lambda p: (-p.restarts, p.name), default=None)
                if chosen is None:
                    continue
                try:
                    lines = self._kube.read_log(cluster, chosen, previous=crashed)
                except OpsError as error:
                    _log.info("log not read", pod=chosen.name, problem=error.message)
                    continue
                told = replace(chosen, said=told_by_log(lines, crashed=crashed))
                said[chosen.namespace, chosen.name] = told
        return tuple(said.get((p.namespace, p.name), p) for p in pods) if said else pods


def matters(cluster: Cluster, specs: Sequence[TierSpec], pools: Sequence[NodePool] | None) -> bool:
    """Whether a tier may have hosts in that cluster, or it has TPU hosts of nobody."""
    if cluster.status not in _SERVING:
        return False
    parts = [p for s in specs for p in s.parts if p.kind in _GKE]
    if any(
        p.cluster == cluster.name and p.cluster_location in ("", cluster.location) for p in parts
    ):
        return True
    if pools is None:
        return any(not p.cluster for p in parts)
    return any(
        (p.cluster, p.location) == (cluster.name, cluster.location)
        and ownership.hardware_of(p.machine_type)[1]
        for p in pools
    )


def _fields(contents: Sequence[_Content], unread: Sequence[_Key]) -> Fields:
    return {
        "hosts": tuple(h for c in contents for h in c.hosts),
        "workloads": tuple(w for c in contents for w in c.workloads),
        "pods": tuple(p for c in contents for p in c.pods),
        "kube_events": tuple(e for c in contents for e in c.events),
        "clusters_unread": tuple(unread),
    }


def _together(failed: Sequence[OpsError], clusters: int) -> OpsError:
    """One error for several: of the first one's kind, with all their words."""
    first = failed[0]
    words = " ".join(dict.fromkeys(f"{e.resource}: {e.message}" for e in failed))
    return type(first)(
        f"Not all of {clusters} clusters could be read. {words}",
        resource=first.resource,
        retryable=first.retryable,
        hint=first.hint,
    )
