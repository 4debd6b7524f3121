"""Handlers of google.cloud.aiplatform.v1's EndpointService and ModelService: the reads.

Writes stand in model_writes.py, versions.py, endpoint_writes.py and deployments.py; predictions in
prediction.py.
"""

from __future__ import annotations

from google.cloud.aiplatform_v1.types import (
    endpoint,
    endpoint_service,
    model,
    model_service,
)

from emulator.apis.vertex import messages
from emulator.apis.vertex.deployments import Deployments
from emulator.apis.vertex.versions import Versions
from emulator.wire.call import Call


class EndpointService(Deployments):
    """Endpoints with the models deployed on them."""

    def list_endpoints(
        self, request: endpoint_service.ListEndpointsRequest, call: Call
    ) -> endpoint_service.ListEndpointsResponse:
        project = self._cloud.project
        found = [messages.endpoint_message(project, e) for e in self._state.endpoints.values()]
        shown, token = self.select(request, found)
        return endpoint_service.ListEndpointsResponse(endpoints=shown, next_page_token=token)

    def get_endpoint(
        self, request: endpoint_service.GetEndpointRequest, call: Call
    ) -> endpoint.Endpoint:
        return messages.endpoint_message(self._cloud.project, self.endpoint(request.name))


class ModelService(Versions):
    """The model registry."""

    def list_models(
        self, request: model_service.ListModelsRequest, call: Call
    ) -> model_service.ListModelsResponse:
        project = self._cloud.project
        found = [
            messages.model_message(project, self._state, m, m.default)
            for m in self._state.models.values()
        ]
        shown, token = self.select(request, found)
        return model_service.ListModelsResponse(models=shown, next_page_token=token)

    def get_model(self, request: model_service.GetModelRequest, call: Call) -> model.Model:
        found, version = self.version(request.name)
        return messages.model_message(self._cloud.project, self._state, found, version)
