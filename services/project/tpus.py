"""Nodes and queued resources of the Cloud TPU API (v5e, v5p and v6e; it has no TPU7x)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

from core.cloud_resources import TPU, CloudResource, owner_of, path_of
from core.errors import NotFound, SwitchedOff
from services import calls
from services.clients import Clients
from services.gke import OperationState
from services.longrunning import operation_state
from services.project.asking import ask
from services.project.product import Found, Json

_TIMEOUT_S: Final = 30.0
_LOST: Final = ("PREEMPTED", "TERMINATED")  # such a node never comes back: it is made again
_ENDED: Final = ("FAILED", "SUSPENDED")  # such a queue makes nothing any more
_ALL: Final = "-"


class TpuResources:
    """A name ends in locations/ZONE/nodes/N or locations/ZONE/queuedResources/Q."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def get(self, name: str) -> Found | None:
        """The node or queue; a queue that does not have its node yet is half made."""
        path = path_of(name)
        queued = "/queuedResources/" in path
        try:
            found = self._call(
                path,
                lambda c: c.get_queued_resource if queued else c.get_node,
                {"name": path},
            )
        except (NotFound, SwitchedOff):  # of an API that is off nothing is there
            return None
        with calls.converting(path):
            return _queue(found) if queued else _node(found)

    def create(self, name: str, body: Json) -> str:
        """Begin to make it; a node without a body comes of its queue by itself."""
        from google.cloud.tpu_v2 import types
        from google.protobuf.json_format import ParseDict

        if not body:
            return ""
        path = path_of(name)
        if "/queuedResources/" in path:
            parent, _, short = path.rpartition("/queuedResources/")
            made: Any = types.QueuedResource()
            ParseDict(dict(body), types.QueuedResource.pb(made))
            request = {"parent": parent, "queued_resource_id": short, "queued_resource": made}
            return self._begin(path, lambda c: c.create_queued_resource, request)
        parent, _, short = path.rpartition("/nodes/")
        made = types.Node()
        ParseDict(dict(body), types.Node.pb(made))
        request = {"parent": parent, "node_id": short, "node": made}
        return self._begin(path, lambda c: c.create_node, request)

    def delete(self, name: str) -> str:
        """Begin to delete it; "" when it is gone. A queue goes after its node."""
        path = path_of(name)
        queued = "/queuedResources/" in path
        try:
            return self._begin(
                path,
                lambda c: c.delete_queued_resource if queued else c.delete_node,
                {"name": path},
            )
        except NotFound:
            return ""

    def get_operation(self, name: str) -> OperationState:
        """An operation by its full name."""
        path = path_of(name)

        def read(timeout_s: float) -> Any:
            client = self._client().transport.operations_client
            return client.get_operation(path, timeout=timeout_s, retry=None)

        found = self._clients.call(read, resource=path, timeout_s=_TIMEOUT_S)
        with calls.converting(path):
            return operation_state(name, found)

    def list_ours(self) -> tuple[CloudResource, ...]:
        """Nodes and queues with our label, in all zones."""
        parent = f"projects/{self._clients.project}/locations/{_ALL}"
        try:
            nodes = self._call(parent, lambda c: c.list_nodes, {"parent": parent})
            queues = self._call(parent, lambda c: c.list_queued_resources, {"parent": parent})
        except SwitchedOff:
            return ()
        with calls.converting(parent):
            found = [(n, _node(n)) for n in nodes] + [(q, _queue(q)) for q in queues]
            return tuple(
                CloudResource(f"//{TPU}/{item.name}", shown.owner, shown.status)
                for item, shown in found
                if shown.owner is not None
            )

    def _begin(self, path: str, method: Callable[[Any], Any], request: dict[str, Any]) -> str:
        started = self._call(path, method, request, calls.ONCE)
        return f"//{TPU}/{started.operation.name}"

    def _client(self) -> Any:
        return cast(Any, self._clients.tpu())

    def _call(
        self,
        path: str,
        method: Callable[[Any], Any],
        request: dict[str, Any],
        policy: calls.RetryPolicy = calls.READ,
    ) -> Any:
        return ask(self._clients, path, lambda: method(self._client()), request, _TIMEOUT_S, policy)


def _node(found: Any) -> Found:
    state = str(found.state.name)
    failed = f"The node is {state}." if state in _LOST else ""
    return Found(_json(found), owner_of(dict(found.labels)), state == "READY", state, failed)


def _queue(found: Any) -> Found:
    """A queue bears no labels; its node's count."""
    state = str(found.state.state.name)
    labels = [dict(spec.node.labels) for spec in found.tpu.node_spec]
    failed = f"The queued resource is {state}." if state in _ENDED else ""
    ready = state == "ACTIVE"
    return Found(
        _json(found), owner_of(labels[0] if labels else {}), ready, state, failed,
        half=not ready and not failed,
    )  # fmt: skip


def _json(found: Any) -> Json:
    from google.protobuf.json_format import MessageToDict

    return cast(Json, MessageToDict(type(found).pb(found)))
