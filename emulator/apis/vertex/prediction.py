"""Handlers of google.cloud.aiplatform.v1.PredictionService: real answers of the local server.

Every container that is deployed here is the one inference server of this machine, at the port whose
metrics the emulator collects. Nothing is answered in its place: while it is down, so is prediction.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Final

import httpx
from google.api import httpbody_pb2
from google.cloud.aiplatform_v1.types import prediction_service as types
from google.protobuf import json_format

from emulator.apis.vertex import messages
from emulator.apis.vertex.lookup import Registry
from emulator.apis.vertex.model import Deployment, VertexEndpoint
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.codec import plain
from emulator.wire.errors import ApiError, failed_precondition, invalid
from emulator.wire.library import HttpRule

# What predict takes at most, as documented for endpoints of the shared domain.
MOST_BYTES: Final = 1_572_864
_INSTANCES: Final = "/v1/predict"
_CHAT: Final = "/v1/chat/completions"
_ENDPOINT: Final = "/v1/{endpoint=projects/*/locations/*/endpoints/*}"
# Paths that no message can hold: the container's own, and streams, which come in one piece here.
RULES: Final = {
    "raw_predict": tuple(
        HttpRule("POST", _ENDPOINT + tail, "*")
        for tail in (":streamRawPredict", "/invoke/**", "/deployedModels/*/invoke/**",
                     "/chat/completions")
    )
}  # fmt: skip
_TIMEOUT: Final = httpx.Timeout(600.0, connect=2.0)
_CODES: Final = {
    400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 413: "INVALID_ARGUMENT", 422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}  # fmt: skip


class PredictionService(Registry):
    """Predictions by the models deployed on an endpoint."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        settings = cloud.settings
        key = settings.serving_key
        self._server = httpx.Client(
            base_url=f"http://127.0.0.1:{settings.serving_port}", timeout=_TIMEOUT,
            headers={"Authorization": f"Bearer {key}"} if key else {},
        )  # fmt: skip
        self._asked: Counter[str] = Counter()

    def predict(self, request: types.PredictRequest, call: Call) -> types.PredictResponse:
        """The server's predictions for instances."""
        endpoint, deployed = self._target(request.endpoint)
        asked = json_format.MessageToDict(plain(request))
        if not asked.get("instances"):
            raise invalid("The request must have at least one instance.", field="instances")
        content = json.dumps({k: asked[k] for k in ("instances", "parameters") if k in asked})
        if len(content) > MOST_BYTES:
            raise invalid(
                f"Request payload size exceeds the limit: {MOST_BYTES} bytes.", field="instances"
            )
        answer = self._ask(endpoint, _INSTANCES, content.encode(), "application/json")
        response = types.PredictResponse(
            deployed_model_id=deployed.id,
            model=messages.model_path(self._cloud.project, endpoint.region, deployed.model),
            model_version_id=deployed.version,
            model_display_name=self.name_of(endpoint, deployed),
        )
        try:
            found = {"predictions": answer.json()["predictions"]}
            json_format.ParseDict(found, plain(response))
        except (ValueError, KeyError, TypeError, json_format.ParseError) as error:
            raise ApiError(
                "INTERNAL", f"The model server's answer has no predictions: {answer.text[:200]}"
            ) from error
        return response

    def raw_predict(self, request: types.RawPredictRequest, call: Call) -> httpbody_pb2.HttpBody:
        """The server's answer to a body as it stands; of `invoke`, at the path that is named."""
        endpoint, deployed = self._target(request.endpoint, _named_model(call.path))
        body = request.http_body
        route = _route(call.path) or self._route_of(endpoint, deployed, body.data)
        kind = body.content_type or "application/json"
        answer = self._ask(endpoint, route, body.data, kind)
        return httpbody_pb2.HttpBody(
            content_type=answer.headers.get("content-type", "application/octet-stream"),
            data=answer.content,
        )

    def _target(self, name: str, wanted: str = "") -> tuple[VertexEndpoint, Deployment]:
        """The endpoint, and which of its models this request goes to by the traffic split."""
        if not name.startswith("projects/") or "/endpoints/" not in name:
            raise ApiError(
                "UNIMPLEMENTED", f"The emulator has no publisher models: {name or 'no endpoint'}."
            )
        with self._cloud.lock:
            endpoint = self.endpoint(name, "endpoint")
            if wanted:
                if wanted not in endpoint.deployments:
                    raise ApiError("NOT_FOUND", f"DeployedModel {wanted} was not found.")
                return endpoint, endpoint.deployments[wanted]
            shares = [(k, v) for k, v in endpoint.traffic.items() if k in endpoint.deployments]
            if not sum(share for _, share in shares):
                path = messages.endpoint_path(self._cloud.project, endpoint)
                raise failed_precondition(
                    f"Endpoint '{path}' doesn't have traffic_split: deploy a model on it first."
                )
            self._asked[endpoint.id] += 1
            # A step without common factor with 100 visits each per cent once in 100 requests.
            point, passed = self._asked[endpoint.id] * 37 % 100, 0
            for key, share in shares:
                passed += share
                if point < passed:
                    return endpoint, endpoint.deployments[key]
            return endpoint, endpoint.deployments[shares[-1][0]]

    def _route_of(self, endpoint: VertexEndpoint, deployed: Deployment, data: bytes) -> str:
        """The container's route: the model's own, or by the body, as Google's vLLM images do."""
        try:
            body = json.loads(data or b"{}")
        except (ValueError, RecursionError):
            body = {}
        if isinstance(body, dict) and "messages" in body:
            return _CHAT
        if isinstance(body, dict) and "instances" in body:
            return _INSTANCES
        return self.container(endpoint, deployed).predict_route or _INSTANCES

    def _ask(
        self, endpoint: VertexEndpoint, route: str, content: bytes, kind: str
    ) -> httpx.Response:
        try:
            answer = self._server.post(route, content=content, headers={"content-type": kind})
        except httpx.TimeoutException as error:
            if not isinstance(error, httpx.ConnectTimeout):
                raise ApiError("DEADLINE_EXCEEDED", "The model server took too long.") from error
            raise self._down(endpoint, error) from error
        except httpx.HTTPError as error:
            raise self._down(endpoint, error) from error
        if answer.is_error:
            code = _CODES.get(answer.status_code, "INTERNAL")
            raise ApiError(code, f"The model server answered {answer.status_code}: {answer.text}")
        return answer

    def _down(self, endpoint: VertexEndpoint, error: Exception) -> ApiError:
        path = messages.endpoint_path(self._cloud.project, endpoint)
        return ApiError(
            "UNAVAILABLE",
            f"The model server behind endpoint '{path}' at {self._server.base_url} does not "
            f"answer ({type(error).__name__}); start it and try again.",
        )


def _route(path: str) -> str:
    """The container's path that an invoke names; "" for other calls."""
    if path.endswith("/chat/completions") and "/invoke/" not in path:
        return _CHAT
    _, found, tail = path.partition("/invoke/")
    return f"/{tail}" if found else ""


def _named_model(path: str) -> str:
    """The deployed model that an invoke names."""
    _, found, tail = path.partition("/deployedModels/")
    return tail.partition("/")[0] if found else ""
