"""Handlers of google.cloud.parallelstore.v1.Parallelstore.

Parallelstore takes no new projects: it is open by invitation only, and GKE's driver for it is no
longer supported. No scenario has an instance, so that there is none to read or delete.
"""

from __future__ import annotations

from google.cloud.parallelstore_v1.types import parallelstore as types
from google.longrunning import operations_pb2

from emulator.apis.instances import Instances, Kept
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.errors import ApiError


class Parallelstore(Instances):
    """What a project without an invitation sees."""

    service = "parallelstore"
    scope = "zones"
    metadata = types.OperationMetadata

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud, Kept())

    def list_instances(
        self, request: types.ListInstancesRequest, call: Call
    ) -> types.ListInstancesResponse:
        shown, token = self.listed(request)
        return types.ListInstancesResponse(instances=shown, next_page_token=token)

    def get_instance(self, request: types.GetInstanceRequest, call: Call) -> types.Instance:
        return self.find(request.name)

    def delete_instance(
        self, request: types.DeleteInstanceRequest, call: Call
    ) -> operations_pb2.Operation:
        return self.find(request.name)

    def create_instance(
        self, request: types.CreateInstanceRequest, call: Call
    ) -> operations_pb2.Operation:
        zone = self.location(request.parent)
        self.unused(zone, request.instance_id)
        project = self._cloud.project.id
        raise ApiError(
            "PERMISSION_DENIED",
            f"Project '{project}' is not allowed to create Parallelstore instances: Parallelstore "
            "is available by invitation only. Use Managed Lustre.",
        )
