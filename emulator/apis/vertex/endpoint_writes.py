"""Endpoints made, changed and deleted; traffic splits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from google.cloud.aiplatform_v1.types import endpoint, endpoint_service
from google.longrunning import operations_pb2

from emulator.apis.vertex import messages
from emulator.apis.vertex.lookup import Registry
from emulator.apis.vertex.model import Deployment, VertexEndpoint, numeric_id
from emulator.apis.vertex.model_writes import check_display_name, deletion, refuse_others
from emulator.scenario import TIER_LABEL
from emulator.wire.call import Call
from emulator.wire.errors import ApiError, failed_precondition, invalid
from emulator.wire.etags import check_etag
from emulator.wire.masks import merge
from emulator.world.models import told

CREATE_S: Final = 20.0
_ID: Final = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?|[1-9][0-9]{0,9}")
_CHANGEABLE: Final = {"display_name", "description", "labels", "traffic_split"}


class EndpointWrites(Registry):
    """The methods that change endpoints, not what is deployed on them."""

    def create_endpoint(
        self, request: endpoint_service.CreateEndpointRequest, call: Call
    ) -> operations_pb2.Operation:
        """Begin to make an endpoint; it has no models yet."""
        asked = request.endpoint
        with self._cloud.lock:
            region = self.region(request.parent)
            check_display_name(asked.display_name, "endpoint")
            if asked.deployed_models or asked.traffic_split:
                raise invalid(
                    "An endpoint is created without deployed models and traffic split; use "
                    "DeployModel.",
                    field="endpoint",
                )
            number = request.endpoint_id or self.new_id("endpoint")
            if not _ID.fullmatch(number) and request.endpoint_id:
                raise invalid(f"Invalid endpoint ID '{number}'.", field="endpoint_id")
            made = VertexEndpoint(
                number, asked.display_name, dict(asked.labels).get(TIER_LABEL, ""), region,
                self._cloud.clock.now(), given=asked,
            )  # fmt: skip
            path = messages.endpoint_path(self._cloud.project, made)
            coming = self._cloud.operations.running_on("aiplatform", path)
            if coming or (region, number) in self._state.endpoints:
                raise ApiError("ALREADY_EXISTS", f"The Endpoint '{path}' already exists.")

            def effect() -> None:
                self._state.endpoints[region, number] = made
                self._cloud.changed("endpoint.created", path, made.tier)

            told = endpoint_service.CreateEndpointOperationMetadata(generic_metadata=self.told())
            return self.begin(path, CREATE_S, effect, told, endpoint.Endpoint(name=path))

    def update_endpoint(
        self, request: endpoint_service.UpdateEndpointRequest, call: Call
    ) -> endpoint.Endpoint:
        """Change name, description, labels or the traffic split, at once."""
        with self._cloud.lock:
            kept = self.endpoint(request.endpoint.name)
            current = messages.endpoint_message(self._cloud.project, kept)
            check_etag(request.endpoint.etag, current.etag)
            mask = endpoint_service.UpdateEndpointRequest.pb(request).update_mask
            after = merge(request.endpoint, mask, current)
            refuse_others(list(mask.paths), _CHANGEABLE)
            check_display_name(after.display_name, "endpoint")
            if any(p.partition(".")[0] == "traffic_split" for p in mask.paths):
                check_split(after.traffic_split, set(kept.deployments))
                kept.traffic = dict(after.traffic_split)
            kept.given, kept.display_name = after, after.display_name
            touch(kept, self._cloud.clock.now())
            path = messages.endpoint_path(self._cloud.project, kept)
            self._cloud.changed("vertex.endpoint.updated", path, kept.tier, **in_series(kept))
            return messages.endpoint_message(self._cloud.project, kept)

    def delete_endpoint(
        self, request: endpoint_service.DeleteEndpointRequest, call: Call
    ) -> operations_pb2.Operation:
        """Begin to delete an endpoint on which nothing is deployed."""
        with self._cloud.lock:
            kept = self.endpoint(request.name)
            path = messages.endpoint_path(self._cloud.project, kept)
            held = sorted(one.id for one in kept.holds)
            if held:
                raise failed_precondition(
                    f"Endpoint {path} has deployed or being-deployed DeployedModel(s): {held}. "
                    "Please undeploy the model(s) before deleting the endpoint."
                )
            if self._cloud.operations.running_on("aiplatform", path):
                raise failed_precondition(f"Endpoint {path} has an operation that still runs.")

            def effect() -> None:
                self._state.endpoints.pop((kept.region, kept.id), None)
                self._cloud.changed("endpoint.deleted", path, kept.tier)

            return self.begin(path, CREATE_S, effect, deletion(self.told()), None)


def check_split(split: Mapping[str, int], known: set[str]) -> None:
    """Pass shares that name deployed models alone and sum to 100.

    Raises:
        ApiError: INVALID_ARGUMENT.
    """
    for key, share in split.items():
        if key not in known:
            raise invalid(
                f"Traffic split refers to deployed model '{key}', which is not deployed on the "
                'endpoint; "0" stands for the model being deployed, in DeployModel only.',
                field="traffic_split",
            )
        if not 0 <= share <= 100:
            raise invalid(f"Traffic share {share} is not from 0 to 100.", field="traffic_split")
    if split and sum(split.values()) != 100:
        raise invalid(
            f"The traffic split must sum to 100; it sums to {sum(split.values())}.",
            field="traffic_split",
        )


def in_series(kept: VertexEndpoint, changed: Deployment | None = None) -> dict[str, Any]:
    """What a change's data tell the series: the split, and whose replicas changed.

    Nothing of endpoints that callers made: a tier's requests come to the scenario's alone.
    """
    if kept.id != numeric_id("endpoint", kept.tier):
        return {}
    named = {} if changed is None else {"deployed_model": changed.id}
    return {**named, **told(kept.traffic, kept.deployments)}


def touch(kept: VertexEndpoint, now: float) -> None:
    """Note a change."""
    kept.revision += 1
    kept.updated_at = now
