"""Vertex's state in Google's messages (google.cloud.aiplatform.v1)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from google.cloud.aiplatform_v1.types import endpoint as endpoint_types
from google.cloud.aiplatform_v1.types import machine_resources, model

from emulator.apis.vertex.model import Deployment, UploadedModel, VertexEndpoint, VertexState
from emulator.scenario import TIER_LABEL, Project
from emulator.wire.etags import etag_of

# The serving container that the tiers use; vLLM's TPU image in the project's own registry.
_IMAGE: Final = "us-central1-docker.pkg.dev/{project}/hw/vllm-tpu:stable"


def endpoint_path(project: Project, endpoint: VertexEndpoint) -> str:
    """Its name; Vertex writes the project's number."""
    return f"projects/{project.number}/locations/{endpoint.region}/endpoints/{endpoint.id}"


def model_path(project: Project, model_id: str) -> str:
    """A model's name."""
    return f"projects/{project.number}/locations/{project.region}/models/{model_id}"


def endpoint_message(project: Project, endpoint: VertexEndpoint) -> endpoint_types.Endpoint:
    """An endpoint with its deployed models."""
    return endpoint_types.Endpoint(
        name=endpoint_path(project, endpoint),
        display_name=endpoint.display_name,
        deployed_models=[_deployed(project, d) for d in endpoint.deployments.values()],
        traffic_split=endpoint.traffic,
        etag=etag_of(endpoint.id, endpoint.revision),
        labels={TIER_LABEL: endpoint.tier} if endpoint.tier else {},
        create_time=_time(endpoint.created_at),
        update_time=_time(endpoint.created_at),
        dedicated_endpoint_enabled=True,
        dedicated_endpoint_dns=(
            f"{endpoint.id}.{endpoint.region}-{project.number}.prediction.vertexai.goog"
        ),
    )


def _deployed(project: Project, deployment: Deployment) -> endpoint_types.DeployedModel:
    return endpoint_types.DeployedModel(
        id=deployment.id,
        model=model_path(project, deployment.model),
        model_version_id="1",
        display_name=deployment.display_name,
        create_time=_time(deployment.created_at),
        dedicated_resources=machine_resources.DedicatedResources(
            machine_spec=machine_resources.MachineSpec(
                machine_type=deployment.machine_type, tpu_topology=deployment.topology
            ),
            min_replica_count=deployment.replicas,
            max_replica_count=deployment.replicas,
        ),
        status=endpoint_types.DeployedModel.Status(
            available_replica_count=deployment.replicas,
            last_update_time=_time(deployment.created_at),
        ),
        service_account=f"hw-nodes@{project.id}.iam.gserviceaccount.com",
    )


def model_message(project: Project, state: VertexState, uploaded: UploadedModel) -> model.Model:
    """A model of the registry with references to where it is deployed."""
    return model.Model(
        name=model_path(project, uploaded.id),
        version_id="1",
        version_aliases=["default"],
        display_name=uploaded.display_name,
        create_time=_time(uploaded.created_at),
        update_time=_time(uploaded.created_at),
        version_create_time=_time(uploaded.created_at),
        version_update_time=_time(uploaded.created_at),
        container_spec=model_container_spec(project),
        artifact_uri=f"gs://{project.id}-weights/{uploaded.display_name.lower()}",
        supported_deployment_resources_types=[
            model.Model.DeploymentResourcesType.DEDICATED_RESOURCES
        ],
        deployed_models=[
            {"endpoint": endpoint_path(project, e), "deployed_model_id": d.id}
            for e in state.endpoints.values()
            for d in e.deployments.values()
            if d.model == uploaded.id
        ],
        labels={TIER_LABEL: uploaded.tier} if uploaded.tier else {},
        etag=etag_of(uploaded.id),
    )


def model_container_spec(project: Project) -> model.ModelContainerSpec:
    """The serving container."""
    return model.ModelContainerSpec(
        image_uri=_IMAGE.format(project=project.id),
        ports=[model.Port(container_port=8080)],
        predict_route="/generate",
        health_route="/health",
    )


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
