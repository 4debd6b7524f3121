"""Managed Lustre over both wires: sizes by tier, an instance's life, and files that really move."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud.lustre_v1.types import transfer

from tests.emulator.clients import HTTP, PROJECT, WIRES, make_client
from tests.emulator.lifecycle.conftest import POLL
from tests.emulator.side_services.conftest import Held
from tests.processes import EmulatorProcess

ZONE = f"projects/{PROJECT}/locations/us-central1-c"
DISK: dict[str, Any] = {
    "filesystem": "weights", "capacity_gib": 18_000, "per_unit_storage_throughput": 1000,
    "network": f"projects/{PROJECT}/global/networks/hw-net", "labels": {"tier": "small"},
}  # fmt: skip


def _done(operation: Any) -> Any:
    return operation.result(polling=POLL)


@pytest.mark.parametrize("wire", WIRES)
def test_an_instance_lives_and_dies(
    beside: EmulatorProcess, held: Held, peered: str, wire: str
) -> None:
    """CREATING → ACTIVE with a mount point; it grows in its steps, never shrinks, and goes."""
    assert peered
    lustre = make_client("LustreClient", wire, beside)
    name, request_id = (
        f"{ZONE}/instances/d-{wire}",
        "7f0c1f4e-0000-4000-8000-00000000000" + ("1" if wire == "grpc" else "2"),
    )
    asked = {"parent": ZONE, "instance_id": f"d-{wire}", "instance": DISK,
             "request_id": request_id}  # fmt: skip
    with held("lustre", "create_instance"):
        operation = lustre.create_instance(request=asked)
        new = lustre.get_instance(name=name)
        assert (new.state.name, new.mount_point) == ("CREATING", "")
        again = lustre.create_instance(request=asked)
        assert again.operation.name == operation.operation.name
        with pytest.raises(exceptions.BadRequest, match="CREATING"):
            lustre.delete_instance(name=name)
    made = _done(operation)
    assert made.state.name == "ACTIVE"
    assert made.mount_point.endswith("@tcp:/weights")
    listed = lustre.list_instances(request={"parent": ZONE, "filter": 'labels.tier="small"'})
    assert name in [i.name for i in listed]

    def grown(capacity: int, *paths: str) -> Any:
        change = {"name": name, "capacity_gib": capacity, "description": "for weights"}
        return lustre.update_instance(instance=change, update_mask={"paths": list(paths)})

    with pytest.raises(exceptions.BadRequest, match="in steps of 9000"):
        grown(20_000, "capacity_gib")
    with pytest.raises(exceptions.BadRequest, match="cannot be decreased"):
        grown(9_000, "capacity_gib")
    with pytest.raises(exceptions.BadRequest, match="up to 1530000"):
        grown(1_584_000, "capacity_gib")
    with pytest.raises(exceptions.BadRequest, match="'network' cannot be updated"):
        grown(27_000, "network")
    after = _done(grown(27_000))
    assert (after.capacity_gib, after.description) == (27_000, "for weights")
    _done(lustre.delete_instance(name=name))
    with pytest.raises(exceptions.NotFound):
        lustre.get_instance(name=name)


def test_what_is_refused(beside: EmulatorProcess, peered: str) -> None:
    """Capacities follow the tier; names, rules and windows have theirs."""
    assert peered
    lustre = make_client("LustreClient", "grpc", beside)

    def refused(words: str, **fields: Any) -> None:
        with pytest.raises(exceptions.InvalidArgument, match=words):
            lustre.create_instance(parent=ZONE, instance_id="no", instance={**DISK, **fields})

    refused("between 9000 and 10008000", capacity_gib=0)
    refused("in steps of 72000", capacity_gib=18_000, per_unit_storage_throughput=125)
    refused("in steps of 144000", capacity_gib=3_078_000, per_unit_storage_throughput=500)
    refused("one of 125, 250, 500, 1000", per_unit_storage_throughput=100)
    refused("Dynamic tier", dynamic_tier_options={"mode": "DEFAULT_CACHE"})
    refused("between 472000", per_unit_storage_throughput=0,
            dynamic_tier_options={"mode": "DEFAULT_CACHE"})  # fmt: skip
    refused("eight letters", filesystem="much-too-long")
    refused("Invalid value", network=f"projects/{PROJECT}/global/networks/none")
    rule = {"name": "a", "ip_address_ranges": ["10.0.0.0/8"], "squash_mode": "NO_SQUASH"}
    rules = {"default_squash_mode": "ROOT_SQUASH", "access_rules": [rule, {**rule, "name": "b"}]}
    refused("overlaps", access_rules_options=rules)
    refused("within a rule", access_rules_options={
        **rules, "access_rules": [{**rule, "squash_mode": "ROOT_SQUASH"}]})  # fmt: skip
    refused("with NO_SQUASH", access_rules_options={
        "default_squash_mode": "NO_SQUASH", "default_squash_uid": 1})  # fmt: skip
    refused("One window", maintenance_policy={"weekly_maintenance_windows": []})
    refused("was not found", placement_policy=f"{ZONE}/resourcePolicies/none")
    with pytest.raises(exceptions.InvalidArgument, match="request ID"):
        lustre.create_instance(request={
            "parent": ZONE, "instance_id": "no", "instance": DISK, "request_id": "x"})  # fmt: skip
    # By REST: by gRPC one service tells of places for all of them.
    by_rest = make_client("LustreClient", "rest", beside)
    places = by_rest.list_locations({"name": f"projects/{PROJECT}"}).locations
    assert "us-central1-c" in [p.location_id for p in places]


def _grant(beside: EmulatorProcess, bucket: str) -> None:
    where = f"{beside.rest_url}/storage/v1/b/{bucket}/iam"
    policy = HTTP.get(where).raise_for_status().json()
    number = HTTP.get(
        f"{beside.rest_url}/cloudresourcemanager/v3/projects/{PROJECT}"
    ).json()["name"].split("/")[1]  # fmt: skip
    agent = f"serviceAccount:service-{number}@gcp-sa-lustre.iam.gserviceaccount.com"
    policy["bindings"].append({"role": "roles/storage.objectUser", "members": [agent]})
    HTTP.put(where, json=policy).raise_for_status()


def test_files_move(beside: EmulatorProcess, peered: str) -> None:
    """Objects come in and go out again byte for byte, what is there already is skipped."""
    assert peered
    lustre = make_client("LustreClient", "grpc", beside)
    storage = f"{beside.rest_url}/storage/v1/b"
    HTTP.post(storage, params={"project": PROJECT}, json={"name": "hw-files"}).raise_for_status()
    upload = f"{beside.rest_url}/upload/storage/v1/b/hw-files/o"
    for path, content in (("m/a.bin", b"a" * 10), ("m/b.bin", b"b" * 20), ("else", b"c")):
        query = {"uploadType": "media", "name": path}
        HTTP.post(upload, params=query, content=content).raise_for_status()
    name = f"{ZONE}/instances/files"
    _done(lustre.create_instance(parent=ZONE, instance_id="files", instance=DISK))
    to = {"name": name, "gcs_path": {"uri": "gs://hw-files/m/"}, "lustre_path": {"path": "/w"}}
    with pytest.raises(exceptions.PermissionDenied, match="gcp-sa-lustre"):
        lustre.import_data(request=to)
    _grant(beside, "hw-files")
    with pytest.raises(exceptions.InvalidArgument, match="must start with"):
        lustre.import_data(request={**to, "lustre_path": {"path": "w"}})
    with pytest.raises(exceptions.NotFound, match="does not exist"):
        lustre.import_data(request={**to, "gcs_path": {"uri": "gs://none"}})

    def counted(operation: Any) -> tuple[int, int, int]:
        _done(operation)
        told = operation.metadata.operation_metadata.counters
        return told.objects_copied_count, told.bytes_copied_count, told.objects_skipped_count

    assert counted(lustre.import_data(request=to)) == (2, 30, 0)
    assert counted(lustre.import_data(request=to)) == (0, 0, 2)
    back = {**to, "gcs_path": {"uri": "gs://hw-files/back/"}}
    done = lustre.export_data(request=back)
    assert counted(done) == (2, 30, 0)
    kind = done.metadata.operation_metadata.transfer_type
    assert kind == transfer.TransferType.EXPORT
    got = HTTP.get(f"{storage}/hw-files/o/back%2Fb.bin", params={"alt": "media"})
    assert got.content == b"b" * 20
