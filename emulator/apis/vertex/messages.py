"""Vertex's state in Google's messages (google.cloud.aiplatform.v1)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from google.cloud.aiplatform_v1.types import endpoint as endpoint_types
from google.cloud.aiplatform_v1.types import machine_resources, model

from emulator.apis.vertex.model import (
    Deployment,
    ModelVersion,
    UploadedModel,
    VertexEndpoint,
    VertexState,
)
from emulator.scenario import TIER_LABEL, Project
from emulator.wire.etags import etag_of

# The serving container that the tiers use; vLLM's TPU image in the project's own registry.
_IMAGE: Final = "us-central1-docker.pkg.dev/{project}/hw/vllm-tpu:stable"

_ENDPOINT_FIELDS: Final = ("description", "network", "enable_private_service_connect")
_MODEL_FIELDS: Final = (
    "description", "version_description", "container_spec", "artifact_uri", "labels",
    "metadata_schema_uri", "predict_schemata",
)  # fmt: skip


def serving_image(project: Project) -> str:
    """The image of the containers that the tiers' models run."""
    return _IMAGE.format(project=project.id)


def endpoint_path(project: Project, endpoint: VertexEndpoint) -> str:
    """Its name; Vertex writes the project's number."""
    return f"projects/{project.number}/locations/{endpoint.region}/endpoints/{endpoint.id}"


def model_path(project: Project, region: str, model_id: str) -> str:
    """A model's name."""
    return f"projects/{project.number}/locations/{region}/models/{model_id}"


def endpoint_message(project: Project, endpoint: VertexEndpoint) -> endpoint_types.Endpoint:
    """An endpoint with its deployed models; what a caller chose stands as it was given."""
    given = endpoint.given
    extra = _chosen(given, _ENDPOINT_FIELDS) if given is not None else {}
    labels = {TIER_LABEL: endpoint.tier} if endpoint.tier else {}
    return endpoint_types.Endpoint(
        **extra,
        name=endpoint_path(project, endpoint),
        display_name=endpoint.display_name,
        deployed_models=[
            deployed_message(project, endpoint.region, d) for d in endpoint.deployments.values()
        ],
        traffic_split=endpoint.traffic,
        etag=etag_of(endpoint.id, endpoint.revision),
        labels=labels if given is None else dict(given.labels),
        create_time=_time(endpoint.created_at),
        update_time=_time(endpoint.updated_at or endpoint.created_at),
        dedicated_endpoint_enabled=given is None or given.dedicated_endpoint_enabled,
        dedicated_endpoint_dns=(
            f"{endpoint.id}.{endpoint.region}-{project.number}.prediction.vertexai.goog"
            if given is None or given.dedicated_endpoint_enabled
            else ""
        ),
    )


def _chosen(given: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """The fields of a caller's message that are set, by name."""
    return {n: getattr(given, n) for n in names if n in given and getattr(given, n)}


def deployed_message(
    project: Project, region: str, deployment: Deployment
) -> endpoint_types.DeployedModel:
    """A deployed model with its replicas."""
    given = deployment.given
    account = f"hw-nodes@{project.id}.iam.gserviceaccount.com"
    return endpoint_types.DeployedModel(
        id=deployment.id,
        model=model_path(project, region, deployment.model),
        model_version_id=deployment.version,
        display_name=deployment.display_name,
        create_time=_time(deployment.created_at),
        dedicated_resources=machine_resources.DedicatedResources(
            machine_spec=machine_resources.MachineSpec(
                machine_type=deployment.machine_type, tpu_topology=deployment.topology
            ),
            min_replica_count=deployment.replicas,
            max_replica_count=deployment.most or deployment.replicas,
        ),
        status=endpoint_types.DeployedModel.Status(
            available_replica_count=deployment.replicas,
            last_update_time=_time(deployment.created_at),
        ),
        service_account=account if given is None else given.service_account,
    )


def model_message(
    project: Project, state: VertexState, uploaded: UploadedModel, version: ModelVersion
) -> model.Model:
    """A version of a model with references to where it is deployed."""
    given = version.given
    if given is None:
        chosen: dict[str, Any] = {
            "container_spec": model_container_spec(project),
            "artifact_uri": f"gs://{project.id}-weights/{version.display_name.lower()}",
            "labels": {TIER_LABEL: uploaded.tier} if uploaded.tier else {},
        }
    else:
        chosen = _chosen(given, _MODEL_FIELDS)
    return model.Model(
        **chosen,
        name=model_path(project, uploaded.region, uploaded.id),
        version_id=version.id,
        version_aliases=version.aliases,
        display_name=version.display_name,
        create_time=_time(uploaded.created_at),
        update_time=_time(version.updated_at or version.created_at),
        version_create_time=_time(version.created_at),
        version_update_time=_time(version.updated_at or version.created_at),
        supported_deployment_resources_types=[
            model.Model.DeploymentResourcesType.DEDICATED_RESOURCES
        ],
        deployed_models=[
            {"endpoint": endpoint_path(project, e), "deployed_model_id": d.id}
            for e in state.endpoints.values()
            for d in e.deployments.values()
            if (e.region, d.model, d.version) == (uploaded.region, uploaded.id, version.id)
        ],
        etag=etag_of(uploaded.id, version.id, version.revision),
    )


def model_container_spec(project: Project) -> model.ModelContainerSpec:
    """The serving container."""
    return model.ModelContainerSpec(
        image_uri=serving_image(project),
        ports=[model.Port(container_port=8080)],
        predict_route="/v1/predict",
        health_route="/health",
    )


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
