"""Handlers of google.cloud.redis.v1.CloudRedis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.cloud.redis_v1.types import cloud_redis as types
from google.longrunning import operations_pb2

from emulator.apis.instances import Instances
from emulator.apis.redis import checks, model
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.errors import failed_precondition
from emulator.wire.masks import merge

_State = types.Instance.State


class CloudRedis(Instances):
    """Instances; contents are neither imported nor exported, since there are none."""

    service = "redis"
    scope = "regions"
    longest = 40
    metadata = types.OperationMetadata

    def __init__(self, cloud: Cloud) -> None:
        self._state = cloud.store(model.RedisState, model.RedisState)
        super().__init__(cloud, self._state)

    def list_instances(
        self, request: types.ListInstancesRequest, call: Call
    ) -> types.ListInstancesResponse:
        shown, token = self.listed(request)
        return types.ListInstancesResponse(instances=shown, next_page_token=token)

    def get_instance(self, request: types.GetInstanceRequest, call: Call) -> types.Instance:
        return self.find(request.name)

    def get_instance_auth_string(
        self, request: types.GetInstanceAuthStringRequest, call: Call
    ) -> types.InstanceAuthString:
        instance = self.find(request.name)
        secret = self._state.secrets.get(instance.name)
        if secret is None:
            raise failed_precondition("AUTH is not enabled for this instance.")
        return types.InstanceAuthString(auth_string=secret)

    def create_instance(
        self, request: types.CreateInstanceRequest, call: Call
    ) -> operations_pb2.Operation:
        region = self.location(request.parent)
        with self._cloud.lock:
            name = self.unused(region, request.instance_id)
            zones = model.zones_of(self._cloud, region)
            made = checks.drawn_up(self._cloud, request.instance, zones)
            # 16 addresses with read replicas, 8 without.
            replicas = made.read_replicas_mode == made.ReadReplicasMode.READ_REPLICAS_ENABLED
            length = 28 if replicas else 29
            block = model.choose_block(
                self._cloud, self._state, made, made.reserved_ip_range, length,
                "instance.reserved_ip_range",
            )  # fmt: skip
            made.name, made.state = name, _State.CREATING
            made.create_time = self.now()
            if made.connect_mode == types.Instance.ConnectMode.DIRECT_PEERING:
                made.reserved_ip_range = str(block)
            checks.settle(made, self.now())
            self._state.instances[name] = made
            self._state.blocks[name] = [block]
            ready = self._complete(made, zones)
            return self.begin(
                name, "create", model.SECONDS["create"], self._becomes("created", ready),
                undo=lambda: self._state.forget(name),
            )  # fmt: skip

    def _complete(self, made: Any, zones: list[str]) -> Any:
        """The instance as it is once it is ready."""
        ready = types.Instance(made)
        model.place(ready, zones, self._state.blocks[made.name][0])
        number = self._cloud.project.number
        ready.persistence_iam_identity = (
            f"serviceAccount:service-{number}@cloud-redis.iam.gserviceaccount.com"
        )
        ready.state = _State.READY
        if ready.port == model.TLS_PORT:
            ready.server_ca_certs = [model.certificate(self._cloud, made.name)]
        return ready

    def update_instance(
        self, request: types.UpdateInstanceRequest, call: Call
    ) -> operations_pb2.Operation:
        with self._cloud.lock:
            before = self.find(request.instance.name, "instance.name")
            mask = types.UpdateInstanceRequest.pb(request).update_mask
            after = merge(request.instance, mask, before)
            checks.check_change(before, after, mask.paths)
            self._check_ready(before, "update")
            checks.settle(after, self.now())
            region = before.name.split("/")[3]
            blocks, added = self._state.blocks[before.name], []
            if after.read_replicas_mode != before.read_replicas_mode:
                added = [model.choose_block(
                    self._cloud, self._state, after, after.secondary_ip_range, 28,
                    "instance.secondary_ip_range",
                )]  # fmt: skip
            model.place(after, model.zones_of(self._cloud, region), [*blocks, *added][-1])
            after.host = before.host
            self._state.blocks[before.name] = [*blocks, *added]
            return self._work(before, after, "update", _State.UPDATING, blocks)

    def upgrade_instance(
        self, request: types.UpgradeInstanceRequest, call: Call
    ) -> operations_pb2.Operation:
        with self._cloud.lock:
            before = self.find(request.name)
            checks.check_upgrade(before, request.redis_version)
            self._check_ready(before, "upgrade")
            after = types.Instance(before)
            after.redis_version = request.redis_version
            return self._work(before, after, "upgrade", _State.UPDATING)

    def failover_instance(
        self, request: types.FailoverInstanceRequest, call: Call
    ) -> operations_pb2.Operation:
        with self._cloud.lock:
            before = self.find(request.name)
            if before.tier != types.Instance.Tier.STANDARD_HA:
                raise failed_precondition("Only standard tier instances can fail over.")
            self._check_ready(before, "failover")
            after = types.Instance(before)
            zones = [n.zone for n in before.nodes]
            here = zones.index(before.current_location_id)
            after.current_location_id = zones[(here + 1) % len(zones)]
            return self._work(before, after, "failover", _State.FAILING_OVER)

    def delete_instance(
        self, request: types.DeleteInstanceRequest, call: Call
    ) -> operations_pb2.Operation:
        with self._cloud.lock:
            before = self.find(request.name)
            self._check_ready(before, "delete")
            name = before.name

            def effect() -> None:
                self._state.forget(name)
                self.changed("deleted", name)

            self._state.instances[name] = self.with_state(before, _State.DELETING)
            return self.begin(name, "delete", model.SECONDS["delete"], effect,
                              undo=lambda: self.put(before))  # fmt: skip

    def _check_ready(self, instance: Any, verb: str) -> None:
        if instance.state != _State.READY:
            raise failed_precondition(
                f"Unable to {verb} due to ongoing operations. Please wait until instance is in "
                "READY state."
            )

    def _work(
        self, before: Any, after: Any, verb: str, meanwhile: Any, blocks: Any = None
    ) -> operations_pb2.Operation:
        """Begin to make an instance what it is to be; `blocks`: its addresses if that fails."""

        def fail() -> None:
            self.put(before)
            if blocks is not None:
                self._state.blocks[before.name] = blocks

        self.put(self.with_state(before, meanwhile))
        return self.begin(before.name, verb, model.SECONDS[verb], self._becomes("changed", after),
                          undo=fail)  # fmt: skip

    def _becomes(self, verb: str, after: Any) -> Callable[[], None]:
        secrets, secret = self._state.secrets, ""
        if after.auth_enabled:
            secret = secrets.get(after.name) or model.auth_string(self._cloud, after.name)

        def effect() -> None:
            secrets.pop(after.name, None)
            if secret:
                secrets[after.name] = secret
            self.put(after)
            self.changed(verb, after.name)

        return effect
