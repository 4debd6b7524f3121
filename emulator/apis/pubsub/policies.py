"""IAM policies of topics, subscriptions and snapshots, which every service of Pub/Sub offers."""

from __future__ import annotations

from google.iam.v1 import iam_policy_pb2, policy_pb2

from emulator.apis.iam.enforcement import held
from emulator.apis.iam.model import iam_state
from emulator.apis.pubsub.checks import check_name, not_there
from emulator.apis.pubsub.model import pubsub_state
from emulator.context import Cloud
from emulator.wire.call import Call


class Policies:
    """The mix-in that handlers inherit."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._state = pubsub_state(cloud)

    def get_iam_policy(
        self, request: iam_policy_pb2.GetIamPolicyRequest, call: Call
    ) -> policy_pb2.Policy:
        name = self._resource(request.resource)
        version = request.options.requested_policy_version
        return iam_state(self._cloud).policies.get(name, version)

    def set_iam_policy(
        self, request: iam_policy_pb2.SetIamPolicyRequest, call: Call
    ) -> policy_pb2.Policy:
        name = self._resource(request.resource)
        policies, paths = iam_state(self._cloud).policies, request.update_mask.paths
        return policies.set(name, request.policy, paths, public=True)

    def test_iam_permissions(
        self, request: iam_policy_pb2.TestIamPermissionsRequest, call: Call
    ) -> iam_policy_pb2.TestIamPermissionsResponse:
        name = self._resource(request.resource)
        found = held(self._cloud, call, request.permissions, name)
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=found)

    def _resource(self, given: str) -> str:
        kind = given.split("/")[2] if given.count("/") == 3 else "topics"
        known = {
            "topics": self._state.topics, "subscriptions": self._state.subscriptions,
            "snapshots": self._state.snapshots,
        }  # fmt: skip
        name = check_name(self._cloud.project, kind if kind in known else "topics", given)
        with self._cloud.lock:
            self._state.settle()
            if name not in known[kind]:
                raise not_there(name)
        return name
