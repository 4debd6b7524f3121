"""Vertex AI: endpoints with deployed models, the model registry, predictions."""

from __future__ import annotations

from emulator.apis.vertex.api import EndpointService, ModelService
from emulator.apis.vertex.prediction import RULES, PredictionService
from emulator.context import Cloud
from emulator.wire.library import HttpRule, read_methods
from emulator.wire.mount import Mount

_SERVICES = "google.cloud.aiplatform_v1.services"


def build(cloud: Cloud) -> list[Mount]:
    """Mount the three services."""
    handlers = {
        "endpoint_service": EndpointService(cloud), "model_service": ModelService(cloud),
        "prediction_service": PredictionService(cloud),
    }  # fmt: skip
    return [
        Mount("/aiplatform", transports, handler, extra_rules=_rules(transports, handler))
        for transports, handler in (
            (f"{_SERVICES}.{name}.transports", handler) for name, handler in handlers.items()
        )
    ]


def _rules(transports: str, handler: object) -> dict[str, tuple[HttpRule, ...]]:
    own = RULES if isinstance(handler, PredictionService) else {}
    found = _beta_rules(transports, handler)
    return {name: (*found.get(name, ()), *own.get(name, ())) for name in {**found, **own}}


def _beta_rules(transports: str, handler: object) -> dict[str, tuple[HttpRule, ...]]:
    """The served methods under v1beta1: gcloud calls some there, and polls operations there."""
    return {
        method.name: tuple(
            HttpRule(rule.verb, f"/v1beta1/{rule.uri.removeprefix('/v1/')}", rule.body)
            for rule in method.rules
            if rule.uri.startswith("/v1/")
        )
        for method in read_methods(transports)
        if hasattr(handler, method.name)
    }
