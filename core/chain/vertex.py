"""A tier's replicas on Vertex: the model with its container, the endpoint, the deployment on it.

Vertex makes its own nodes, one host for each replica. An endpoint and a deployment that are there
already are used as they are; `Place.names` then holds what they are called.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Final

from core import tpu
from core.chain.objects import serve_command
from core.chain.pieces import SERVER_PORT, Json, Piece, Place, Site
from core.specs import TIER_LABEL, TierSpec

DEPLOYED: Final = "1"  # id of the deployment; an endpoint that was made from here has only one
_HEALTH: Final = "/health"
_PREDICT: Final = "/v1/chat/completions"


def image_of(site: Site) -> str:
    """Where the image of the servers is, since Vertex takes it from Artifact Registry alone."""
    return f"{site.region}-docker.pkg.dev/{site.project}/hw/vllm-tpu:stable"


def replica_pieces(place: Place, spec: TierSpec) -> Iterator[Piece]:
    """The pieces, in order; `place.slices` replicas, 0: none is deployed."""
    names = place.names
    model, endpoint, deployed = names.model, names.endpoint, names.deployed
    yield _endpoint(place, spec, endpoint)
    yield _model(place, spec, model)
    if place.slices:
        yield _deployed(place, spec, endpoint, deployed, model)


def _endpoint(place: Place, spec: TierSpec, name: str) -> Piece:
    site, shown = place.site, place.part.name_prefix
    ends = f"--region={site.region} --project={site.project}"
    return Piece(
        "endpoint", site.vertex(f"endpoints/{name}"), f"endpoint {name}", spec.name,
        {"displayName": shown, "labels": {TIER_LABEL: spec.name}},
        f"gcloud ai endpoints create --endpoint-id={name} --display-name={shown}"
        f" --labels={TIER_LABEL}={spec.name} {ends}",
        f"gcloud ai endpoints delete {name} {ends} --quiet",
        ("api-aiplatform",), ("aiplatform.endpoints.create", "aiplatform.endpoints.delete"),
    )  # fmt: skip


def _model(place: Place, spec: TierSpec, name: str) -> Piece:
    site, gen = place.site, tpu.generation(spec.generation or "")
    command, image = serve_command(spec, gen), place.image or image_of(site)
    container = {
        "imageUri": image,
        "command": command[:1],
        "args": command[1:],
        "ports": [{"containerPort": SERVER_PORT}],
        "predictRoute": _PREDICT,
        "healthRoute": _HEALTH,
    }
    ends = f"--region={site.region} --project={site.project}"
    return Piece(
        "model", site.vertex(f"models/{name}"), f"model {name}", spec.name,
        {"displayName": spec.model, "containerSpec": container, "labels": {TIER_LABEL: spec.name}},
        f"gcloud ai models upload --model-id={name} --display-name={spec.model}"
        f" --container-image-uri={image} --container-command={command[0]}"
        f" --container-args={shlex.quote(','.join(command[1:]))}"
        f" --container-ports={SERVER_PORT} --container-predict-route={_PREDICT}"
        f" --container-health-route={_HEALTH} --labels={TIER_LABEL}={spec.name} {ends}",
        f"gcloud ai models delete {name} {ends} --quiet",
        ("api-aiplatform",), ("aiplatform.models.upload", "aiplatform.models.delete"),
    )  # fmt: skip


def _deployed(place: Place, spec: TierSpec, endpoint: str, name: str, model: str) -> Piece:
    site, body = place.site, _deployment(place, spec, name, model)
    machine = body["deployedModel"]["dedicatedResources"]["machineSpec"]
    ends = f"--region={site.region} --project={site.project}"
    return Piece(
        "replicas", site.vertex(f"endpoints/{endpoint}/deployedModels/{name}"),
        f"replicas of model {model} on endpoint {endpoint}", spec.name, body,
        # The topology is a flag of the beta command alone.
        f"gcloud beta ai endpoints deploy-model {endpoint} --model={model}"
        f" --display-name={place.part.name_prefix} --deployed-model-id={name}"
        f" --machine-type={machine['machineType']} --tpu-topology={machine['tpuTopology']}"
        f" --min-replica-count={place.slices} --max-replica-count={place.slices}"
        f" --traffic-split=0=100 {ends}",
        f"gcloud ai endpoints undeploy-model {endpoint} --deployed-model-id={name} {ends} --quiet",
        ("endpoint", "model"), ("aiplatform.endpoints.deploy", "aiplatform.endpoints.undeploy"),
        chips=place.slices * tpu.chips(spec.topology), slices=place.slices,
    )  # fmt: skip


def _deployment(place: Place, spec: TierSpec, name: str, model: str) -> Json:
    """The request: all traffic goes to the new deployment ("0" is its name in a split)."""
    site, gen = place.site, tpu.generation(spec.generation or "")
    machine = {"machineType": tpu.machine_type(gen, spec.topology), "tpuTopology": spec.topology}
    resources = {
        "machineSpec": machine,
        "minReplicaCount": place.slices,
        "maxReplicaCount": place.slices,
    }
    return {
        "deployedModel": {
            "id": name,
            "model": f"projects/{site.project}/locations/{site.region}/models/{model}",
            "displayName": place.part.name_prefix,
            "dedicatedResources": resources,
        },
        "trafficSplit": {"0": 100},
    }
