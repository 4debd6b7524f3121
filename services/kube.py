"""Kubernetes inside each GKE cluster: nodes, workloads, pods, events.

Answers are read as JSON, without the SDK's models: converting thousands of nodes through them
takes seconds of processor time. Clusters and node pools are `gke.py`'s.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, cast

from core.errors import Denied, NotFound
from core.records import Cluster, Host, KubeEvent, Pod, Workload
from services import calls
from services.clients import Clients

_TIMEOUT_S: Final = 20.0
_PAGE: Final = 500
_LOG_LINES: Final = 400  # a server that loads for an hour was probed 360 times
_LOG_BYTES: Final = 1 << 20  # kubelets cut at the end: more than so many ordinary lines have
_LOG_S: Final = 5.0
_TPU: Final = "google.com/tpu"
_SYSTEM_NAMESPACES: Final = re.compile(r"(kube|gke|gmp)-.*|.*-system")

_Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Workloads:
    """The workloads of a cluster, and what of them may not be read."""

    found: tuple[Workload, ...]
    problem: Denied | None = None


class Kube:
    """Reads the Kubernetes API of a cluster."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def list_hosts(self, cluster: Cluster) -> tuple[Host, ...]:
        """All nodes that carry TPU chips."""
        items = self._list(cluster, "nodes", lambda api: _core(api).list_node)
        with calls.converting(_name(cluster, "nodes")):
            hosts = (_host(cluster, item) for item in items)
            return tuple(h for h in hosts if h.chips > 0 or h.accelerator)

    def list_workloads(self, cluster: Cluster) -> Workloads:
        """Deployments and, where the cluster has that kind, LeaderWorkerSets; not the system's.

        Raises:
            OpsError: but where LeaderWorkerSets alone may not be read.
        """
        problem: Denied | None = None
        deployments = self._list(
            cluster, "deployments", lambda api: _apps(api).list_deployment_for_all_namespaces
        )
        try:
            sets = self._list(cluster, "leaderworkersets", _leader_worker_sets)
        except NotFound:
            sets = []  # the cluster does not have that custom resource
        except Denied as error:  # the cluster role `view` does not hold custom resources
            sets, problem = [], error
        with calls.converting(_name(cluster, "workloads")):
            found = [_workload(cluster, "Deployment", item) for item in deployments]
            found += [_workload(cluster, "LeaderWorkerSet", item) for item in sets]
        own = tuple(w for w in found if not _SYSTEM_NAMESPACES.fullmatch(w.namespace))
        return Workloads(own, problem)

    def list_pods(self, cluster: Cluster) -> tuple[Pod, ...]:
        """All pods but the system's."""
        items = self._list(cluster, "pods", lambda api: _core(api).list_pod_for_all_namespaces)
        with calls.converting(_name(cluster, "pods")):
            pods = (convert_pod(cluster, item) for item in items)
            return tuple(p for p in pods if not _SYSTEM_NAMESPACES.fullmatch(p.namespace))

    def read_log(self, cluster: Cluster, pod: Pod, *, previous: bool = False) -> tuple[str, ...]:
        """The newest lines of the pod's only container, or of its run before; oldest first.

        Of so many lines the first `_LOG_BYTES` bytes alone.

        Raises:
            OpsError: it has no log, or nobody may read it.
        """
        tail = {"tail_lines": _LOG_LINES, "limit_bytes": _LOG_BYTES, "previous": previous}

        def read(timeout_s: float) -> str:
            api = self._clients.kube(cluster.name, cluster.location, cluster.endpoint)
            answer = _core(api).read_namespaced_pod_log(
                pod.name, pod.namespace, **tail, _preload_content=False, _request_timeout=timeout_s
            )
            return answer.data.decode("utf-8", "replace")

        resource = f"{_name(cluster, 'log of')} {pod.namespace}/{pod.name}"
        return tuple(
            self._clients.call(
                read, resource=resource, timeout_s=_LOG_S, policy=calls.ONCE
            ).splitlines()
        )

    def list_events(self, cluster: Cluster) -> tuple[KubeEvent, ...]:
        """Events that the cluster still keeps (an hour, by default), newest first."""
        items = self._list(cluster, "events", lambda api: _core(api).list_event_for_all_namespaces)
        with calls.converting(_name(cluster, "events")):
            events = [_event(cluster, item) for item in items]
        return tuple(sorted(events, key=lambda e: e.at, reverse=True))

    def _list(
        self, cluster: Cluster, kind: str, method: Callable[[Any], Callable[..., Any]]
    ) -> list[_Json]:
        """All items of a list, page by page; `method` picks the SDK's call off an ApiClient."""
        resource = _name(cluster, kind)
        items: list[_Json] = []
        token = ""
        while True:
            page = self._page(cluster, method, resource, token)
            with calls.converting(resource):
                items.extend(cast(Sequence[_Json], page["items"] or ()))
                token = str(cast(_Json, page.get("metadata") or {}).get("continue") or "")
            if not token:
                return items

    def _page(
        self,
        cluster: Cluster,
        method: Callable[[Any], Callable[..., Any]],
        resource: str,
        token: str,
    ) -> _Json:
        paging = {"limit": _PAGE} | ({"_continue": token} if token else {})

        def read(timeout_s: float) -> _Json:
            api = self._clients.kube(cluster.name, cluster.location, cluster.endpoint)
            response = method(api)(**paging, _preload_content=False, _request_timeout=timeout_s)
            return json.loads(response.data)

        return self._clients.call(read, resource=resource, timeout_s=_TIMEOUT_S)


def _core(api: Any) -> Any:
    from kubernetes.client import CoreV1Api

    return CoreV1Api(api)


def _apps(api: Any) -> Any:
    from kubernetes.client import AppsV1Api

    return AppsV1Api(api)


def _leader_worker_sets(api: Any) -> Callable[..., Any]:
    from kubernetes.client import CustomObjectsApi

    return partial(
        CustomObjectsApi(api).list_cluster_custom_object,
        "leaderworkerset.x-k8s.io",
        "v1",
        "leaderworkersets",
    )


def _name(cluster: Cluster, kind: str) -> str:
    return f"{cluster.location}/{cluster.name}: {kind}"


def _time(text: object) -> datetime | None:
    """RFC 3339, as Kubernetes writes it."""
    if not isinstance(text, str) or not text:
        return None
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


def _host(cluster: Cluster, item: _Json) -> Host:
    meta, spec, status = item["metadata"], item.get("spec") or {}, item.get("status") or {}
    labels: Mapping[str, str] = meta.get("labels") or {}
    ready: bool | None = None
    turned_at: datetime | None = None
    reason = ""
    for condition in status.get("conditions") or ():
        if condition["type"] == "Ready":
            turned_at = _time(condition.get("lastTransitionTime"))
            ready = {"True": True, "False": False}.get(condition["status"])
            reason = "" if ready else str(condition.get("reason") or condition.get("message") or "")
    return Host(
        name=meta["name"],
        cluster=cluster.name,
        cluster_location=cluster.location,
        pool=labels.get("cloud.google.com/gke-nodepool", ""),
        zone=labels.get("topology.kubernetes.io/zone", ""),
        machine_type=labels.get("node.kubernetes.io/instance-type", ""),
        accelerator=labels.get("cloud.google.com/gke-tpu-accelerator", ""),
        topology=labels.get("cloud.google.com/gke-tpu-topology", ""),
        chips=int((status.get("capacity") or {}).get(_TPU, 0)),
        ready=ready,
        reason=reason,
        schedulable=not spec.get("unschedulable", False),
        created_at=_time(meta.get("creationTimestamp")),
        labels=dict(labels),
        turned_at=turned_at,
    )


def _workload(cluster: Cluster, kind: str, item: _Json) -> Workload:
    meta, spec, status = item["metadata"], item["spec"], item.get("status") or {}
    if kind == "LeaderWorkerSet":
        template = spec["leaderWorkerTemplate"]
        pod = template.get("leaderTemplate") or template["workerTemplate"]
    else:
        pod = spec["template"]
    containers = pod["spec"]["containers"]
    return Workload(
        name=meta["name"],
        namespace=meta["namespace"],
        cluster=cluster.name,
        cluster_location=cluster.location,
        kind=kind,
        image=str(containers[0].get("image", "")) if containers else "",
        replicas_wanted=int(spec.get("replicas", 1)),
        replicas_ready=int(status.get("readyReplicas", 0)),
        labels=dict(meta.get("labels") or {}),
    )


def convert_pod(cluster: Cluster, item: _Json) -> Pod:
    """The record of a pod as the API answers it."""
    meta, status = item["metadata"], item.get("status") or {}
    conditions = status.get("conditions") or ()
    containers = status.get("containerStatuses") or ()
    return Pod(
        name=meta["name"],
        namespace=meta["namespace"],
        cluster=cluster.name,
        cluster_location=cluster.location,
        host=str((item.get("spec") or {}).get("nodeName", "")),
        phase=str(status.get("phase", "")),
        ready=any(c["type"] == "Ready" and c["status"] == "True" for c in conditions),
        restarts=sum(int(c.get("restartCount", 0)) for c in containers),
        reason=_pod_reason(status, conditions, containers),
        labels=dict(meta.get("labels") or {}),
        uid=str(meta.get("uid") or ""),
        ending=bool(meta.get("deletionTimestamp")),
        image=_image(item),
        started_at=_started_at(containers),
        turned_at=next(
            (_time(c.get("lastTransitionTime")) for c in conditions if c["type"] == "Ready"), None
        ),
    )


def _image(item: _Json) -> str:
    containers = (item.get("spec") or {}).get("containers") or ()
    return str(containers[0].get("image", "")) if containers else ""


def _started_at(containers: Sequence[_Json]) -> datetime | None:
    """When the first container's present run began; None: it does not run."""
    state = (containers[0].get("state") or {}) if containers else {}
    return _time((state.get("running") or {}).get("startedAt"))


def _pod_reason(status: _Json, conditions: Sequence[_Json], containers: Sequence[_Json]) -> str:
    """Why a pod is not ready, in Kubernetes' own word; "" when it gives none."""
    if status.get("reason"):
        return str(status["reason"])
    for container in containers:
        state = container.get("state") or {}
        for phase in ("waiting", "terminated"):
            if (state.get(phase) or {}).get("reason"):
                return str(state[phase]["reason"])
    for condition in conditions:
        if condition["status"] != "True" and condition.get("reason"):
            return str(condition["reason"])
    return ""


def _event(cluster: Cluster, item: _Json) -> KubeEvent:
    about: _Json = item.get("involvedObject") or item.get("regarding") or {}
    at = (
        _time(item.get("lastTimestamp"))
        or _time((item.get("series") or {}).get("lastObservedTime"))
        or _time(item.get("eventTime"))
        or _time(item["metadata"].get("creationTimestamp"))
    )
    if at is None:
        raise ValueError("an event without any time")
    return KubeEvent(
        at=at,
        cluster=cluster.name,
        cluster_location=cluster.location,
        namespace=str(item["metadata"].get("namespace", "")),
        type=str(item.get("type", "")),
        reason=str(item.get("reason", "")),
        object=f"{about.get('kind', '')}/{about.get('name', '')}",
        message=str(item.get("message") or item.get("note") or ""),
        count=int(item.get("count") or (item.get("series") or {}).get("count") or 1),
    )
