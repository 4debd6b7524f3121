"""Models deployed on endpoints: DeployModel, UndeployModel, MutateDeployedModel.

Vertex makes its own nodes: one host per replica. TPU7x is single-host here, `tpu7x-standard-4t`.
"""

from __future__ import annotations

from typing import Any, Final

from google.cloud.aiplatform_v1.types import endpoint, endpoint_service
from google.longrunning import operations_pb2

from core import tpu
from emulator.apis.compute.catalogue import region_of
from emulator.apis.gke.lifecycle import machine
from emulator.apis.quotas.model import UNLIMITED, limit, serving_quota
from emulator.apis.vertex import messages
from emulator.apis.vertex.endpoint_writes import EndpointWrites, check_split, in_series, touch
from emulator.apis.vertex.lookup import SERVICE
from emulator.apis.vertex.model import Deployment, VertexEndpoint
from emulator.wire.call import Call
from emulator.wire.errors import ApiError, failed_precondition, invalid, not_found

DEPLOY_S: Final = 900.0
UNDEPLOY_S: Final = 300.0
MUTATE_S: Final = 300.0
_MUTABLE: Final = {"min_replica_count", "max_replica_count"}


class Deployments(EndpointWrites):
    """The methods that change what is deployed on an endpoint."""

    def deploy_model(
        self, request: endpoint_service.DeployModelRequest, call: Call
    ) -> operations_pb2.Operation:
        """Begin to deploy; the split's key "0" stands for the new model."""
        with self._cloud.lock:
            kept = self.endpoint(request.endpoint)
            path = self._idle(kept)
            made = self._new(kept, request.deployed_model)
            if made.id in kept.deployments:
                raise ApiError("ALREADY_EXISTS", f"DeployedModel '{made.id}' already exists.")
            given = dict(request.traffic_split)
            if given:
                check_split(given, {*kept.deployments, "0"})
            elif not kept.deployments:
                given = {"0": 100}
            shares = {made.id if k == "0" else k: v for k, v in given.items()} or kept.traffic

            kept.coming = made

            def undo() -> None:
                kept.coming = None

            def effect() -> None:
                undo()
                made.created_at = self._cloud.clock.now()
                kept.deployments[made.id] = made
                kept.traffic = dict(shares)
                touch(kept, made.created_at)
                self._cloud.changed(
                    "vertex.deployed_model.deployed", path, kept.tier,
                    before=0, after=made.replicas, **in_series(kept, made),
                )  # fmt: skip

            told = endpoint_service.DeployModelOperationMetadata(generic_metadata=self.told())
            return self.begin(
                path, DEPLOY_S, effect, told,
                lambda: endpoint_service.DeployModelResponse(
                    deployed_model=messages.deployed_message(self._cloud.project, kept.region, made)
                ),
                undo,
            )  # fmt: skip

    def undeploy_model(
        self, request: endpoint_service.UndeployModelRequest, call: Call
    ) -> operations_pb2.Operation:
        """Begin to undeploy; other models must be given its traffic, unless it is the last."""
        with self._cloud.lock:
            kept = self.endpoint(request.endpoint)
            gone = self._deployment(kept, request.deployed_model_id)
            path = self._idle(kept)
            left = set(kept.deployments) - {gone.id}
            shares = dict(request.traffic_split)
            if shares:
                check_split(shares, left)
            elif left and kept.traffic.get(gone.id, 0):
                raise invalid(
                    f"DeployedModel '{gone.id}' has {kept.traffic[gone.id]}% of the traffic; give "
                    "a traffic split over the others.",
                    field="traffic_split",
                )
            else:
                shares = {k: v for k, v in kept.traffic.items() if k in left}

            def effect() -> None:
                kept.deployments.pop(gone.id, None)
                kept.traffic = shares
                touch(kept, self._cloud.clock.now())
                self._cloud.changed(
                    "vertex.deployed_model.undeployed", path, kept.tier,
                    before=gone.replicas, after=0, **in_series(kept, gone),
                )  # fmt: skip

            told = endpoint_service.UndeployModelOperationMetadata(generic_metadata=self.told())
            answer = endpoint_service.UndeployModelResponse()
            return self.begin(path, UNDEPLOY_S, effect, told, answer)

    def mutate_deployed_model(
        self, request: endpoint_service.MutateDeployedModelRequest, call: Call
    ) -> operations_pb2.Operation:
        """Begin to change the numbers of replicas."""
        with self._cloud.lock:
            kept = self.endpoint(request.endpoint)
            now = self._deployment(kept, request.deployed_model.id)
            mask = {p.removeprefix("dedicated_resources.") for p in request.update_mask.paths}
            if not mask or not mask <= _MUTABLE:
                raise invalid(
                    "update_mask must name dedicated_resources.min_replica_count or "
                    "dedicated_resources.max_replica_count.",
                    field="update_mask",
                )
            path = self._idle(kept)
            asked = request.deployed_model.dedicated_resources
            least = asked.min_replica_count if "min_replica_count" in mask else now.replicas
            most = asked.max_replica_count if "max_replica_count" in mask else now.most
            most = max(most, least) if "max_replica_count" not in mask else most
            self._check_replicas(kept.region, least, most or least, now.machine_type, now)

            def effect() -> None:
                before, now.replicas, now.most = now.replicas, least, most
                touch(kept, self._cloud.clock.now())
                self._cloud.changed(
                    "vertex.deployed_model.mutated", path, kept.tier,
                    before=before, after=least, **in_series(kept, now),
                )  # fmt: skip

            told = endpoint_service.MutateDeployedModelOperationMetadata(
                generic_metadata=self.told()
            )
            return self.begin(
                path, MUTATE_S, effect, told,
                lambda: endpoint_service.MutateDeployedModelResponse(
                    deployed_model=messages.deployed_message(self._cloud.project, kept.region, now)
                ),
            )  # fmt: skip

    def _new(self, kept: VertexEndpoint, asked: endpoint.DeployedModel) -> Deployment:
        """The deployment that a request describes."""
        uploaded, version = self.version(asked.model, "deployed_model.model")
        self.check_staying(uploaded, version)
        if uploaded.region != kept.region:
            raise invalid(
                f"Model '{asked.model}' is not in {kept.region}, the endpoint's region; copy it "
                "there first.",
                field="deployed_model.model",
            )
        if "dedicated_resources" not in asked:
            raise invalid(
                "'dedicated_resources' must be set for a model with a custom container.",
                field="deployed_model.dedicated_resources",
            )
        resources = asked.dedicated_resources
        name, topology = check_machine(resources.machine_spec, kept.region)
        most = resources.max_replica_count or resources.min_replica_count
        self._check_replicas(kept.region, resources.min_replica_count, most, name, None)
        number = asked.id or self.new_id("deployment")
        if asked.id and not (asked.id.isascii() and asked.id.isdigit() and len(asked.id) <= 10):
            raise invalid(f"Invalid deployed model ID '{asked.id}'.", field="deployed_model.id")
        return Deployment(
            number, uploaded.id, asked.display_name or version.display_name, name, topology,
            resources.min_replica_count, self._cloud.clock.now(), most, given=asked,
            version=version.id,
        )  # fmt: skip

    def _check_replicas(
        self, region: str, least: int, most: int, name: str, own: Deployment | None
    ) -> None:
        if least < 1:
            raise invalid("min_replica_count must be at least 1.", field="min_replica_count")
        if most < least:
            raise invalid(
                f"max_replica_count {most} must not be less than min_replica_count {least}.",
                field="max_replica_count",
            )
        self._check_quota(region, most, name, own)

    def _check_quota(self, region: str, most: int, name: str, own: Deployment | None) -> None:
        """Pass as many replicas as the region's quota of chips for serving allows."""
        found = machine(name)
        if found is None:
            return
        generation, _ = found
        used = 0
        for kept in self._state.endpoints.values():
            for one in kept.holds:
                its = machine(one.machine_type)
                if kept.region == region and its and its[0] == generation and one is not own:
                    used += one.replicas * its[1]
        quota = serving_quota(generation)
        allowed = limit(self._cloud, SERVICE, quota, {"region": region})
        if allowed is None or allowed == UNLIMITED or used + most * found[1] <= allowed:
            return
        raise ApiError(
            "RESOURCE_EXHAUSTED",
            f"The following quotas are exceeded: {quota} (requested {most * found[1]} chips, "
            f"{max(allowed - used, 0)} of {allowed} available in {region}).",
            reason="RATE_LIMIT_EXCEEDED", domain=SERVICE,
            metadata={
                "consumer": f"projects/{self._cloud.project.number}", "quota_limit": quota,
                "quota_limit_value": str(allowed), "quota_location": region, "service": SERVICE,
            },
        )  # fmt: skip

    def _deployment(self, kept: VertexEndpoint, number: str) -> Deployment:
        found = kept.deployments.get(number)
        if found is None:
            raise not_found(f"DeployedModel {number} of endpoint {kept.id}")
        return found

    def _idle(self, kept: VertexEndpoint) -> str:
        path = messages.endpoint_path(self._cloud.project, kept)
        running = self._cloud.operations.running_on("aiplatform", path)
        if running is not None:
            raise failed_precondition(
                f"There are other operations running on the Endpoint '{path}': {running.name}. "
                "Please try again later."
            )
        return path


def check_machine(spec: Any, region: str) -> tuple[str, str]:
    """(machine type, topology) of a legal machine; TPUs are single-host, GPUs are not emulated.

    Raises:
        ApiError: INVALID_ARGUMENT with what would be legal.
    """
    name, field = spec.machine_type, "machine_spec.machine_type"
    if not name:
        raise invalid("machine_spec.machine_type must be set.", field=field)
    if spec.accelerator_type or spec.accelerator_count:
        raise invalid(
            f"Machine type '{name}' takes no accelerator_type and accelerator_count; TPU machine "
            "types hold their chips.",
            field="machine_spec.accelerator_type",
        )
    found = machine(name)
    if found is None:
        if name.startswith(("e2-standard-", "n1-standard-", "n2-standard-")):
            return name, ""
        raise invalid(f"Machine type '{name}' is not supported.", field=field)
    generation, chips = found
    if not any(region_of(zone) == region for zone in generation.zones):
        raise invalid(f"Machine type '{name}' is not available in {region}.", field=field)
    own = next(t for t in tpu.legal_topologies(generation) if tpu.chips(t) == chips)
    topology = spec.tpu_topology
    if topology != own:
        raise invalid(
            f"Machine type '{name}' needs tpu_topology {own} (single-host); got '{topology}'.",
            field="machine_spec.tpu_topology",
        )
    return name, topology
