"""Handlers of google.cloud.lustre.v1.Lustre."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any, Final

from google.cloud.lustre_v1.types import instance as types
from google.longrunning import operations_pb2

from emulator.apis.instances import free_block, host_in, peering_ranges
from emulator.apis.lustre import checks, model
from emulator.apis.lustre.transfers import Transfers
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.errors import failed_precondition, invalid
from emulator.wire.filters import compile_filter
from emulator.wire.masks import merge

_State = types.Instance.State
# Google asks for a /23 at the least for each instance.
_LENGTH: Final = 23
_SEARCHED: Final = frozenset({"name", "state", "filesystem", "labels", "description"})


class Lustre(Transfers):
    """Instances; mirrors, directory policies and maintenance are not served."""

    service = "lustre"
    scope = "zones"
    metadata = types.OperationMetadata

    def __init__(self, cloud: Cloud) -> None:
        self._state = cloud.store(model.LustreState, model.LustreState)
        super().__init__(cloud, self._state)

    def list_instances(
        self, request: types.ListInstancesRequest, call: Call
    ) -> types.ListInstancesResponse:
        fits = compile_filter(request.filter, _SEARCHED)
        if request.order_by not in ("", "name", "name asc", "name desc"):
            raise invalid(f"Cannot order by '{request.order_by}'.", field="order_by")
        shown, token = self.listed(
            request, lambda found: fits(_searchable(found)), request.order_by
        )
        return types.ListInstancesResponse(instances=shown, next_page_token=token)

    def get_instance(self, request: types.GetInstanceRequest, call: Call) -> types.Instance:
        return self.find(request.name)

    def create_instance(
        self, request: types.CreateInstanceRequest, call: Call
    ) -> operations_pb2.Operation:
        if (before := self.again(request)) is not None:
            return before
        zone = self.location(request.parent)
        with self._cloud.lock:
            name = self.unused(zone, request.instance_id)
            made = checks.drawn_up(self._cloud, zone, request.instance)
            self._state.blocks[name] = self._addresses(made.network.rsplit("/", 1)[1])
            made.name, made.state = name, _State.CREATING
            made.create_time = made.update_time = self.now()
            text = self._cloud.new_id(f"lustre.uid/{name}")
            made.uid = "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
            self.put(made)

            def effect() -> None:
                host = host_in(self._state.blocks[name], 2)
                self.put(self.with_state(made, _State.ACTIVE))
                self._state.instances[name].mount_point = f"{host}@tcp:/{made.filesystem}"
                self.changed("created", name)

            return self.begin(
                name, "create", model.SECONDS["create"], effect,
                undo=lambda: self._state.forget(name), request_id=request.request_id,
            )  # fmt: skip

    def _addresses(self, network: str) -> IPv4Network:
        ranges = peering_ranges(self._cloud, network)
        if not ranges:
            raise failed_precondition(
                f"Network '{network}' has no private services access: allocate an IP address range "
                "and connect it to servicenetworking.googleapis.com."
            )
        whole = [IPv4Network(f"{r['address']}/{r['prefixLength']}") for r in ranges]
        return free_block(whole, _LENGTH, set(self._state.blocks.values()))

    def update_instance(
        self, request: types.UpdateInstanceRequest, call: Call
    ) -> operations_pb2.Operation:
        if (known := self.again(request)) is not None:
            return known
        with self._cloud.lock:
            before = self.find(request.instance.name, "instance.name")
            mask = types.UpdateInstanceRequest.pb(request).update_mask
            if not mask.paths:
                mask.paths.extend(n for n in sorted(checks.CHANGEABLE) if n in request.instance)
            after = merge(request.instance, mask, before)
            checks.check_change(before, after, mask.paths)
            self._check_active(before)
            self.put(self.with_state(before, _State.UPDATING))

            def effect() -> None:
                after.update_time = self.now()
                self.put(after)
                self.changed("changed", after.name)

            return self.begin(
                before.name, "update", model.SECONDS["update"], effect,
                undo=lambda: self.put(before), request_id=request.request_id,
            )  # fmt: skip

    def delete_instance(
        self, request: types.DeleteInstanceRequest, call: Call
    ) -> operations_pb2.Operation:
        if (known := self.again(request)) is not None:
            return known
        with self._cloud.lock:
            before = self.find(request.name)
            self._check_active(before)
            name = before.name
            self.put(self.with_state(before, _State.DELETING))

            def effect() -> None:
                self._state.forget(name)
                self.changed("deleted", name)

            return self.begin(
                name, "delete", model.SECONDS["delete"], effect,
                undo=lambda: self.put(before), request_id=request.request_id,
            )  # fmt: skip

    def _check_active(self, instance: Any) -> None:
        busy = self._cloud.operations.running_on(self.service, instance.name)
        if instance.state != _State.ACTIVE or busy:
            raise failed_precondition(
                f"Instance '{instance.name}' is in state {instance.state.name} or has an operation "
                "in progress."
            )


def _searchable(found: Any) -> dict[str, Any]:
    labels = dict(found.labels)
    return {"name": found.name, "state": found.state.name, "filesystem": found.filesystem,
            "labels": labels, "description": found.description}  # fmt: skip
