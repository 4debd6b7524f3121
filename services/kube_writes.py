"""Changes inside a GKE cluster: evicting pods, and looking at those of certain hosts again.

What a cluster holds is read by `kube.py`.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, Final, cast

from core.errors import NotFound
from core.records import Cluster, Pod
from services import calls
from services.clients import Clients
from services.kube import convert_pod

_TIMEOUT_S: Final = 20.0


class KubeWrites:
    """Evicts pods of clusters that are named by location and name."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def list_pods(
        self, location: str, cluster: str, namespace: str, hosts: Collection[str]
    ) -> tuple[Pod, ...]:
        """The namespace's pods on these nodes, one call for each node."""
        found = calls.in_parallel(
            lambda host: self._list(location, cluster, namespace, host), sorted(hosts)
        )
        return tuple(pod for of_host in found for pod in of_host)

    def _list(self, location: str, cluster: str, namespace: str, host: str) -> list[Pod]:
        resource = f"{location}/{cluster}: pods of {namespace} on {host}"

        def read(timeout_s: float) -> Any:
            response = self._api(location, cluster).list_namespaced_pod(
                namespace,
                field_selector=f"spec.nodeName={host}",
                _preload_content=False,
                _request_timeout=timeout_s,
            )
            return json.loads(response.data)

        answer = self._clients.call(read, resource=resource, timeout_s=_TIMEOUT_S)
        with calls.converting(resource):
            where = Cluster(cluster, location, "", "", "")
            return [convert_pod(where, item) for item in answer["items"] or ()]

    def apply_eviction(
        self, location: str, cluster: str, namespace: str, name: str, uid: str
    ) -> bool:
        """Ask for a pod's end: it leaves its endpoints, and has its grace period to finish.

        An eviction, not a deletion, so that a PodDisruptionBudget is kept.

        Returns:
            False: a pod of that uid is gone already.

        Raises:
            RateLimited: a disruption budget does not allow it now.
        """
        resource = f"{location}/{cluster}: pod {namespace}/{name}"

        def write(timeout_s: float) -> Any:
            from kubernetes.client import (
                V1DeleteOptions,
                V1Eviction,
                V1ObjectMeta,
                V1Preconditions,
            )

            body = V1Eviction(
                metadata=V1ObjectMeta(name=name, namespace=namespace),
                delete_options=V1DeleteOptions(preconditions=V1Preconditions(uid=uid)),
            )
            return self._api(location, cluster).create_namespaced_pod_eviction(
                name, namespace, body, _preload_content=False, _request_timeout=timeout_s
            )

        try:
            self._clients.call(write, resource=resource, timeout_s=_TIMEOUT_S, policy=calls.ONCE)
        except NotFound:
            return False
        return True

    def _api(self, location: str, cluster: str) -> Any:
        from kubernetes.client import CoreV1Api

        return cast(Any, CoreV1Api(self._clients.kube(cluster, location)))
