"""Vertex's endpoints, models of the registry, and models deployed on endpoints.

What is on an endpoint for pages is read by `services/vertex.py`; splits and numbers of replicas are
changed by `services/vertex_writes.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from core.cloud_resources import AIPLATFORM, CloudResource, owner_of, path_of
from core.errors import NotFound, SwitchedOff
from services import calls
from services.clients import Clients
from services.gke import OperationState
from services.project.asking import ask
from services.project.product import Found, Json
from services.vertex_writes import VertexWrites

_TIMEOUT_S: Final = 30.0
_DEPLOYED: Final = "/deployedModels/"


class VertexResources:
    """A name ends in endpoints/E, models/M or endpoints/E/deployedModels/D."""

    def __init__(self, clients: Clients) -> None:
        self._clients, self._writes = clients, VertexWrites(clients)

    def get(self, name: str) -> Found | None:
        """The endpoint, the model, or the deployed model, which is its endpoint's owner's."""
        path, _, deployed = path_of(name).partition(_DEPLOYED)
        try:
            found = self._read(path)
        except (NotFound, SwitchedOff):  # of an API that is off nothing is there
            return None
        with calls.converting(path):
            owner = owner_of(dict(found.labels))
            if not deployed:
                return Found(_json(found), owner)
            model = _deployed(found, deployed)
            return None if model is None else Found(_json(model), owner)

    def create(self, name: str, body: Json) -> str:
        """Begin to make it."""
        # The package as a whole would import every service of Vertex.
        from google.cloud.aiplatform_v1.types.endpoint import Endpoint
        from google.cloud.aiplatform_v1.types.endpoint_service import DeployModelRequest
        from google.cloud.aiplatform_v1.types.model import Model

        path = path_of(name)
        if _DEPLOYED in path:
            asked = _parsed(DeployModelRequest, body)
            asked.endpoint = path.partition(_DEPLOYED)[0]
            return self._begin(path, lambda: self._endpoints(path).deploy_model, asked)
        if "/models/" in path:
            parent, _, short = path.rpartition("/models/")
            request = {"parent": parent, "model": _parsed(Model, body), "model_id": short}
            return self._begin(path, lambda: self._models(path).upload_model, request)
        parent, _, short = path.rpartition("/endpoints/")
        request = {"parent": parent, "endpoint": _parsed(Endpoint, body), "endpoint_id": short}
        return self._begin(path, lambda: self._endpoints(path).create_endpoint, request)

    def delete(self, name: str) -> str:
        """Begin to delete it, or to undeploy it; "" when it is gone."""
        path = path_of(name)
        try:
            if _DEPLOYED in path:
                return self._undeploy(path)
            if "/models/" in path:
                return self._begin(path, lambda: self._models(path).delete_model, {"name": path})
            return self._begin(path, lambda: self._endpoints(path).delete_endpoint, {"name": path})
        except NotFound:
            return ""

    def _undeploy(self, path: str) -> str:
        """Undeploy a model; what it got of the traffic goes to another one of the endpoint."""
        endpoint, _, model = path.partition(_DEPLOYED)
        found = self._read(endpoint)
        if _deployed(found, model) is None:
            return ""
        request = {
            "endpoint": endpoint,
            "deployed_model_id": model,
            "traffic_split": _without(dict(found.traffic_split), model),
        }
        return self._begin(path, lambda: self._endpoints(path).undeploy_model, request)

    def get_operation(self, name: str) -> OperationState:
        """An operation by its full name."""
        return self._writes.get_operation(path_of(name))

    def list_ours(self) -> tuple[CloudResource, ...]:
        """Endpoints with our label in the project's region, what is deployed on them, models."""
        parent = f"projects/{self._clients.project}/locations/{self._clients.target.region}"
        request = {"parent": parent}
        try:
            endpoints = self._call(parent, lambda: self._endpoints(parent).list_endpoints, request)
            models = self._call(parent, lambda: self._models(parent).list_models, request)
        except SwitchedOff:
            return ()
        found: list[CloudResource] = []
        with calls.converting(parent):
            for item in (*endpoints, *models):
                owner = owner_of(dict(item.labels))
                if owner is not None:
                    found.append(CloudResource(self._full(str(item.name)), owner))
            for endpoint in endpoints:
                owner = owner_of(dict(endpoint.labels))
                for model in endpoint.deployed_models if owner is not None else ():
                    path = f"{endpoint.name}{_DEPLOYED}{model.id}"
                    found.append(CloudResource(self._full(path), owner))
        return tuple(found)

    def _full(self, path: str) -> str:
        """Vertex answers with the project's number, plans name it by its id."""
        _, _, rest = path.removeprefix("projects/").partition("/")
        return f"//{AIPLATFORM}/projects/{self._clients.project}/{rest}"

    def _read(self, path: str) -> Any:
        models = "/models/" in path
        return self._call(
            path,
            lambda: self._models(path).get_model if models else self._endpoints(path).get_endpoint,
            {"name": path},
        )

    def _begin(self, path: str, method: Callable[[], Any], request: Any) -> str:
        started = self._call(path, method, request, calls.ONCE)
        return f"//{AIPLATFORM}/{started.operation.name}"

    def _endpoints(self, path: str) -> Any:
        return cast(Any, self._clients.vertex_endpoints(_region(path)))

    def _models(self, path: str) -> Any:
        from google.cloud.aiplatform_v1.services.model_service import ModelServiceClient
        from google.cloud.aiplatform_v1.services.model_service.transports import (
            ModelServiceGrpcTransport,
        )

        region = _region(path)
        return self._clients.grpc(
            f"vertex-models/{region}",
            ModelServiceClient,
            ModelServiceGrpcTransport,
            host=f"{region}-aiplatform.googleapis.com",
        )

    def _call(
        self,
        path: str,
        method: Callable[[], Any],
        request: Any,
        policy: calls.RetryPolicy = calls.READ,
    ) -> Any:
        return ask(self._clients, path, method, request, _TIMEOUT_S, policy)


def _deployed(endpoint: Any, number: str) -> Any:
    return next((m for m in endpoint.deployed_models if str(m.id) == number), None)


def _without(split: Mapping[str, int], gone: str) -> dict[str, int]:
    """The split once that model is gone; nobody's share changes but that of the largest other."""
    rest = {model: share for model, share in split.items() if model != gone}
    freed = split.get(gone, 0)
    if not rest or not freed:
        return {}
    largest = max(rest, key=lambda model: (rest[model], model))
    return {**rest, largest: rest[largest] + freed}


def _parsed(kind: Any, body: Json) -> Any:
    """A message of that kind from JSON."""
    from google.protobuf.json_format import ParseDict

    made = kind()
    ParseDict(dict(body), kind.pb(made))
    return made


def _region(path: str) -> str:
    return path.split("/")[3]


def _json(found: Any) -> Json:
    from google.protobuf.json_format import MessageToDict

    return cast(Json, MessageToDict(type(found).pb(found)))
