"""GKE's clusters and node pools."""

from __future__ import annotations

from typing import Any, Final, cast

from core.cloud_resources import CONTAINER, PLATFORM, CloudResource, owner_of, path_of
from core.errors import NotFound
from services import calls
from services.clients import Clients
from services.gke import Gke, OperationState
from services.project.product import Found, Json

_READ_TIMEOUT_S: Final = 15.0
_WRITE_TIMEOUT_S: Final = 60.0
_USABLE: Final = ("RUNNING", "RUNNING_WITH_ERROR", "RECONCILING")


class ContainerResources:
    """Through the ClusterManager API; a name ends in clusters/C or clusters/C/nodePools/P."""

    def __init__(self, clients: Clients) -> None:
        self._clients, self._gke = clients, Gke(clients)

    def get(self, name: str) -> Found | None:
        """A cluster or a pool; one in ERROR never gets ready."""
        path = path_of(name)
        pool = "/nodePools/" in path
        client: Any = self._clients.gke()
        method = client.get_node_pool if pool else client.get_cluster
        try:
            found: Any = self._clients.call(
                lambda t: method(name=path, timeout=t, retry=None),
                resource=path,
                timeout_s=_READ_TIMEOUT_S,
            )
        except NotFound:
            return None
        with calls.converting(path):
            return _found(found, pool=pool)

    def create(self, name: str, body: Json) -> str:
        """Begin to make it."""
        from google.cloud.container_v1 import types
        from google.protobuf.json_format import ParseDict

        path = path_of(name)
        collection = "nodePools" if "/nodePools/" in path else "clusters"
        parent, _, short = path.rpartition(f"/{collection}/")
        client: Any = self._clients.gke()
        if collection == "clusters":
            made: Any = types.Cluster()
            ParseDict({**body, "name": short}, types.Cluster.pb(made))
            request: dict[str, Any] = {"parent": parent, "cluster": made}
            return self._begin(client.create_cluster, request, path)
        made = types.NodePool()
        ParseDict({**body, "name": short}, types.NodePool.pb(made))
        return self._begin(client.create_node_pool, {"parent": parent, "node_pool": made}, path)

    def delete(self, name: str) -> str:
        """Begin to delete it; "" when it is gone."""
        path = path_of(name)
        client: Any = self._clients.gke()
        method = client.delete_node_pool if "/nodePools/" in path else client.delete_cluster
        try:
            return self._begin(method, {"name": path}, path)
        except NotFound:
            return ""

    def get_operation(self, name: str) -> OperationState:
        """An operation by its full name."""
        return self._gke.get_operation(path_of(name))

    def list_ours(self) -> tuple[CloudResource, ...]:
        """Clusters and pools with our label."""
        parent = f"projects/{self._clients.project}/locations/-"
        answer: Any = self._clients.call(
            lambda t: self._clients.gke().list_clusters(parent=parent, timeout=t, retry=None),
            resource=parent,
            timeout_s=_READ_TIMEOUT_S,
        )
        found: list[CloudResource] = []
        with calls.converting(parent):
            for cluster in answer.clusters:
                base = f"//{CONTAINER}/projects/{self._clients.project}/locations/"
                name = f"{base}{cluster.location}/clusters/{cluster.name}"
                shown = _found(cluster, pool=False)
                if shown.owner is not None:
                    found.append(CloudResource(name, PLATFORM, shown.status))
                for pool in cluster.node_pools:
                    of_pool = _found(pool, pool=True)
                    if of_pool.owner is not None:
                        pool_name = f"{name}/nodePools/{pool.name}"
                        found.append(CloudResource(pool_name, of_pool.owner, of_pool.status))
        return tuple(found)

    def _begin(self, method: Any, request: dict[str, Any], path: str) -> str:
        started: Any = self._clients.call(
            lambda t: method(request=request, timeout=t, retry=None),
            resource=path,
            timeout_s=_WRITE_TIMEOUT_S,
            policy=calls.ONCE,
        )
        location = started.location or started.zone or path.split("/")[3]
        project = self._clients.project
        return f"//{CONTAINER}/projects/{project}/locations/{location}/operations/{started.name}"


def _found(found: Any, *, pool: bool) -> Found:
    from google.protobuf.json_format import MessageToDict

    labels = dict(found.config.labels) if pool else dict(found.resource_labels)
    status = str(found.status.name)
    message = str(found.status_message)
    return Found(
        cast(Json, MessageToDict(type(found).pb(found))),
        owner_of(labels),
        status in _USABLE,
        status,
        f"{status} {message}".strip() if status == "ERROR" else "",
    )
