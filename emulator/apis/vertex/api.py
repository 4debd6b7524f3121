"""Handlers of google.cloud.aiplatform.v1's EndpointService and ModelService: reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

from google.cloud.aiplatform_v1.types import (
    endpoint,
    endpoint_service,
    model,
    model_service,
)
from google.protobuf import json_format

from emulator.apis.vertex import messages
from emulator.apis.vertex.model import VertexState, initial_state
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.codec import plain
from emulator.wire.errors import ApiError
from emulator.wire.filters import compile_filter
from emulator.wire.longrunning import LongRunning
from emulator.wire.masks import show
from emulator.wire.names import check_project, parse_name
from emulator.wire.paging import page

_PARENT: Final = "projects/{project}/locations/{location}"
_SERVICE: Final = "aiplatform.googleapis.com"

M = TypeVar("M")


class _Registry(LongRunning):
    """What both services share: names, listing."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self._state = cloud.store(VertexState, lambda: initial_state(cloud))

    def _parts(self, template: str, name: str, field: str = "name") -> dict[str, str]:
        parts = parse_name(template, name, field=field)
        check_project(self._cloud.project, parts["project"], service=_SERVICE)
        return parts

    def _list(self, request: Any, items: Sequence[M]) -> tuple[list[M], str]:
        """One page of the items that pass the request's filter, in its order, masked."""
        parts = self._parts(_PARENT, request.parent, "parent")
        if parts["location"] not in (self._cloud.project.region, "-"):
            return [], ""
        accept = compile_filter(request.filter)
        kept = [i for i in items if accept(_as_dict(i))]
        key, _, direction = request.order_by.partition(" ")
        if key:
            name = key.strip(",")
            kept.sort(key=lambda i: str(_as_dict(i).get(name, "")), reverse=direction == "desc")
        shown, token = page(
            kept, request.page_size, request.page_token,
            scope=f"{request.parent}|{request.filter}|{request.order_by}", default=100, most=1000,
        )  # fmt: skip
        mask = type(request).pb(request).read_mask
        return [show(i, mask) for i in shown], token


class EndpointService(_Registry):
    """Endpoints with the models deployed on them."""

    def list_endpoints(
        self, request: endpoint_service.ListEndpointsRequest, call: Call
    ) -> endpoint_service.ListEndpointsResponse:
        project = self._cloud.project
        found = [messages.endpoint_message(project, e) for e in self._state.endpoints.values()]
        shown, token = self._list(request, found)
        return endpoint_service.ListEndpointsResponse(endpoints=shown, next_page_token=token)

    def get_endpoint(
        self, request: endpoint_service.GetEndpointRequest, call: Call
    ) -> endpoint.Endpoint:
        parts = self._parts(f"{_PARENT}/endpoints/{{endpoint}}", request.name)
        found = self._state.endpoints.get(parts["endpoint"])
        if found is None or found.region != parts["location"]:
            raise _missing("Endpoint", request.name)
        return messages.endpoint_message(self._cloud.project, found)


class ModelService(_Registry):
    """The model registry."""

    def list_models(
        self, request: model_service.ListModelsRequest, call: Call
    ) -> model_service.ListModelsResponse:
        project = self._cloud.project
        found = [
            messages.model_message(project, self._state, m) for m in self._state.models.values()
        ]
        shown, token = self._list(request, found)
        return model_service.ListModelsResponse(models=shown, next_page_token=token)

    def get_model(self, request: model_service.GetModelRequest, call: Call) -> model.Model:
        parts = self._parts(f"{_PARENT}/models/{{model}}", request.name)
        found = self._state.models.get(parts["model"].partition("@")[0])
        if found is None or parts["location"] != self._cloud.project.region:
            raise _missing("Model", request.name)
        return messages.model_message(self._cloud.project, self._state, found)


def _as_dict(item: Any) -> dict[str, Any]:
    return json_format.MessageToDict(plain(item), preserving_proto_field_name=True)


def _missing(kind: str, name: str) -> ApiError:
    return ApiError("NOT_FOUND", f"The {kind} '{name}' does not exist.")
