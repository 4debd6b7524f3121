"""Changes of Vertex endpoints: the traffic split, the replicas of a deployed model; operations.

Endpoints are read by `vertex.py`. A change is compared with what is there first: it is made only
from the values that it was planned on, under the endpoint's etag.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from core.errors import Conflict
from core.records import Endpoint
from services import calls
from services.clients import Clients
from services.gke import OperationState
from services.longrunning import operation_state
from services.vertex import convert_endpoint

_TIMEOUT_S: Final = 30.0


class VertexWrites:
    """Writes endpoints by their full resource names."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def get_endpoint(self, resource: str) -> Endpoint:
        """An endpoint as it is now; NotFound: it is gone."""
        with calls.converting(resource):
            return convert_endpoint(_region(resource), self._raw(resource))

    def apply_split(
        self, resource: str, before: Mapping[str, int], after: Mapping[str, int]
    ) -> bool:
        """Write the percentages of an endpoint's deployed models; they count at once.

        Returns:
            Whether it had to be written; False: it is so already.

        Raises:
            Conflict: the split is neither `before` nor `after`, or the endpoint changed meanwhile.
        """
        raw = self._raw(resource)
        now = {str(m.id): int(raw.traffic_split.get(m.id, 0)) for m in raw.deployed_models}
        if now == dict(after):
            return False
        if now != dict(before):
            told = ", ".join(f"{model} {share}" for model, share in now.items())
            raise Conflict(f"The traffic split is {told}: somebody changed it.", resource=resource)

        def write(timeout_s: float) -> Any:
            from google.cloud.aiplatform_v1.types.endpoint import Endpoint as Body
            from google.protobuf.field_mask_pb2 import FieldMask

            shares = {model: share for model, share in after.items() if share}
            body = Body(name=resource, traffic_split=shares, etag=raw.etag)
            client = self._clients.vertex_endpoints(_region(resource))
            return client.update_endpoint(
                endpoint=body,
                update_mask=FieldMask(paths=["traffic_split"]),
                timeout=timeout_s,
                retry=None,
            )

        self._once(write, resource)
        return True

    def apply_replicas(
        self, resource: str, model: str, before: tuple[int, int], after: tuple[int, int]
    ) -> str:
        """Begin to change a deployed model's least and most replicas.

        Returns:
            The operation's full name; "": it is so already.

        Raises:
            Conflict: they are neither `before` nor `after`, or the model is not deployed there.
        """
        found = [m for m in self._raw(resource).deployed_models if str(m.id) == model]
        if not found:
            raise Conflict(f"The model {model} is not deployed there any more.", resource=resource)
        own = found[0].dedicated_resources
        now = (int(own.min_replica_count), int(own.max_replica_count))
        if now == after:
            return ""
        if now != before:
            raise Conflict(
                f"The model has {now[0]} to {now[1]} replicas: somebody changed it.",
                resource=resource,
            )

        def write(timeout_s: float) -> Any:
            from google.cloud.aiplatform_v1.types.endpoint import DeployedModel
            from google.cloud.aiplatform_v1.types.endpoint_service import (
                MutateDeployedModelRequest,
            )
            from google.protobuf.field_mask_pb2 import FieldMask

            request = MutateDeployedModelRequest(
                endpoint=resource,
                deployed_model=DeployedModel(
                    id=model,
                    dedicated_resources={
                        "min_replica_count": after[0],
                        "max_replica_count": after[1],
                    },
                ),
                update_mask=FieldMask(
                    paths=[
                        "dedicated_resources.min_replica_count",
                        "dedicated_resources.max_replica_count",
                    ]
                ),
            )
            client = self._clients.vertex_endpoints(_region(resource))
            return client.mutate_deployed_model(request, timeout=timeout_s, retry=None)

        return str(self._once(write, resource).operation.name)

    def get_operation(self, name: str) -> OperationState:
        """An operation by its full name."""

        def read(timeout_s: float) -> Any:
            client: Any = self._clients.vertex_endpoints(_region(name))
            return client.transport.operations_client.get_operation(
                name, timeout=timeout_s, retry=None
            )

        found = self._clients.call(read, resource=name, timeout_s=_TIMEOUT_S)
        with calls.converting(name):
            return operation_state(name, found)

    def _raw(self, resource: str) -> Any:
        def read(timeout_s: float) -> Any:
            client = self._clients.vertex_endpoints(_region(resource))
            return client.get_endpoint(name=resource, timeout=timeout_s, retry=None)

        return self._clients.call(read, resource=resource, timeout_s=_TIMEOUT_S)

    def _once(self, write: Any, resource: str) -> Any:
        return self._clients.call(write, resource=resource, timeout_s=_TIMEOUT_S, policy=calls.ONCE)


def _region(resource: str) -> str:
    """The location in a full resource name."""
    return resource.partition("/locations/")[2].partition("/")[0]
