"""The GKE Volume Populator: volumes that begin with what lies in a bucket (GCPDataSource).

The events' reasons and messages are those that Google's how-to shows, but for the ones of a missing
data source, account, bucket or permission, whose wording could not be verified. The transfer is
timed by its bytes; the Job that really runs it (in a namespace of GKE's) is not shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from emulator.apis.iam.model import iam_state
from emulator.apis.kubernetes.controllers.contract import Obj
from emulator.apis.kubernetes.controllers.objects import (
    annotations_of,
    milli,
    name_of,
    namespace_of,
    uid_of,
)
from emulator.apis.kubernetes.controllers.view import View
from emulator.apis.kubernetes.naming import uid_of as made_up
from emulator.apis.storage.model import storage_state

GROUP: Final = "datalayer.gke.io"
# Simulated seconds: the transfer's pod comes up; time between reports and between attempts.
START_S: Final = 45.0
REPORT_S: Final = 60.0
# MiB/s where the class does not say; no promise.
RATE_MIB: Final = 1200
_RATE: Final = "provisioned-throughput-on-create"
_GSA: Final = "iam.gke.io/gcp-service-account"
_NEEDED: Final = ("storage.objects.list", "storage.objects.get")
_NAME: Final = "gkevolumepopulator-populator"


@dataclass(frozen=True, slots=True)
class Source:
    """What is to be copied, or why it cannot be."""

    problem: str = ""
    size_bytes: int = 0


def source_of(claim: Obj) -> str:
    """Name of the GCPDataSource that a claim is filled from; "" without."""
    for field in ("dataSourceRef", "dataSource"):
        reference = claim["spec"].get(field) or {}
        if reference.get("apiGroup") == GROUP and reference.get("kind") == "GCPDataSource":
            return str(reference["name"])
    return ""


def populated(view: View, claim: Obj, found: Obj, zone: str, began: float) -> bool:
    """Whether the volume holds the bucket's content by now; reports the way there.

    Args:
        found: the claim's class. began: Unix seconds since which the volume is there.
    """
    mark = f"volume/{uid_of(claim)}/populate"
    view.once(claim, "external-provisioner", "Provisioning",
              "Assuming an external populator will provision the volume")  # fmt: skip
    if mark not in view.notes.times:
        source = look(view, claim)
        if source.problem:
            text = f"populateFn: {source.problem}"
            view.once(claim, _NAME, "PopulateOperationStartError", text, warning=True)
            view.wake(view.now + view.wall_s(REPORT_S))
            return False
        view.notes.times[mark] = max(began, view.now)
        view.state_notes("population", uid_of(claim))["bytes"] = source.size_bytes
        text = f"populateFn: Populate operation started for zone {zone}"
        view.event(claim, _NAME, "PopulateOperationStartSuccess", text)
    started = view.notes.times[mark]
    size_bytes = int(view.state_notes("population", uid_of(claim))["bytes"])
    copied = started + view.wall_s(START_S)
    over = copied + view.wall_s(size_bytes / rate_bytes(found))
    if view.now < over:
        _report(view, claim, zone, started, copied, over)
        return False
    _finish(view, claim, zone)
    return True


def rate_bytes(found: Obj) -> float:
    """Bytes per second of a transfer into a volume of a class."""
    told = str((found.get("parameters") or {}).get(_RATE, ""))
    rate = milli(told if told.endswith("i") else f"{told}Mi") / 1000
    return rate if rate > 0 else RATE_MIB * 2**20


def look(view: View, claim: Obj) -> Source:
    """What the data source leads to now."""
    namespace, name = namespace_of(claim), source_of(claim)
    source = view.get("GCPDataSource", namespace, name)
    if source is None:
        return Source(f'gcpdatasources.{GROUP} "{name}" not found')
    storage = (source.get("spec") or {}).get("cloudStorage") or {}
    account = str(storage.get("serviceAccountName", ""))
    kept = view.get("ServiceAccount", namespace, account)
    if kept is None and account != "default":
        return Source(f'serviceaccounts "{account}" not found')
    uri = str(storage.get("uri", ""))
    bucket, _, prefix = uri.removeprefix("gs://").partition("/")
    if not uri.startswith("gs://") or not bucket:
        return Source(f'invalid Cloud Storage URI "{uri}"')
    with view.cloud.lock:
        place = storage_state(view.cloud).buckets.get(bucket)
        if place is None:
            return Source(f'bucket "{bucket}" not found: storage: bucket doesn\'t exist')
        members = members_of(view, namespace, account, kept or {"metadata": {}})
        lacking = [p for p in _NEEDED if not _may(view, members, p, place.policy_resource)]
        if lacking:
            return Source(
                f"{members[0]} does not have {lacking[0]} access to the Cloud Storage bucket "
                f'"{bucket}"'
            )
        size = sum(b.content.size for n, b in place.live.items() if n.startswith(prefix))
    requests = (claim["spec"].get("resources") or {}).get("requests") or {}
    if size * 1000 > milli(requests.get("storage", "0")):
        return Source(f"{size} bytes in {uri} do not fit the volume")
    return Source("", size)


def members_of(view: View, namespace: str, account: str, kept: Obj) -> list[str]:
    """As whom a Kubernetes service account reaches Google Cloud: itself, and whom it stands for."""
    project = view.cloud.project
    pool = f"{project.id}.svc.id.goog"
    found = [
        f"principal://iam.googleapis.com/projects/{project.number}/locations/global/"
        f"workloadIdentityPools/{pool}/subject/ns/{namespace}/sa/{account}",
        f"serviceAccount:{pool}[{namespace}/{account}]",
    ]
    google: Any = annotations_of(kept).get(_GSA)
    return [*found, f"serviceAccount:{google}"] if google else found


def _may(view: View, members: list[str], permission: str, resource: str) -> bool:
    policies, project = iam_state(view.cloud).policies, f"projects/{view.cloud.project.id}"
    return any(policies.allows(m, permission, resource, project) for m in members)


def _about(claim: Obj) -> str:
    return f"For PVC {name_of(claim)} in namespace {namespace_of(claim)}"


def _request(claim: Obj) -> str:
    return f"populator-job-{made_up('populator', uid_of(claim))}"


def _report(view: View, claim: Obj, zone: str, started: float, copied: float, over: float) -> None:
    if view.now < copied:
        view.wake(copied)
        text = (
            f"populateCompleteFn: {_about(claim)}, transfer job with request ID "
            f"{_request(claim)} in zone {zone} waiting for pod to get created"
        )
        view.once(claim, _NAME, "TransferInProgress", text)
        return
    text = (
        f"populateCompleteFn: {_about(claim)}, transfer job in zone {zone} with request ID "
        f"{_request(claim)} is still active with pod status as - Phase: Running"
    )
    step, notes = view.wall_s(REPORT_S), view.state_notes("population", uid_of(claim))
    number = int((view.now - copied) / step)
    if notes.get("told") != number:
        notes["told"] = number
        view.event(claim, _NAME, "TransferInProgress", text)
    view.wake(min(over, copied + step * (number + 1)))


def _finish(view: View, claim: Obj, zone: str) -> None:
    head = f"populateCompleteFn: {_about(claim)}"
    for reason, text in (
        ("TransferJobCompleted",
         f"{head}, job with request ID {_request(claim)} for zone {zone} completed successfully"),
        ("TransferJobCompleted", f"{head}, transfer job for all zones have completed successfully"),
        ("PopulateOperationFinished", "Populate operation finished"),
        ("PopulatorFinished", "Populator finished"),
    ):  # fmt: skip
        view.event(claim, _NAME, reason, text)
