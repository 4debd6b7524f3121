"""Claims and volumes: binding, provisioning, reclaiming. Population from a bucket: population.py.

What a claim needs of its pod stands in claims.py; protection of claims in use is the API server's.
"""

from __future__ import annotations

from typing import Final

from emulator.apis.kubernetes.controllers import population
from emulator.apis.kubernetes.controllers.claims import (
    SELECTED_NODE,
    WAIT,
    allowed_zones,
    bound,
    class_name,
    storage_class,
)
from emulator.apis.kubernetes.controllers.contract import Obj
from emulator.apis.kubernetes.controllers.fitting import ZONES
from emulator.apis.kubernetes.controllers.objects import (
    annotated,
    annotations_of,
    copy_of,
    going,
    labels_of,
    milli,
    name_of,
    namespace_of,
    uid_of,
)
from emulator.apis.kubernetes.controllers.view import View

# Simulated seconds that provisioners take; no promise. What is not here is nobody's.
PROVISION_S: Final = {
    "pd.csi.storage.gke.io": 10.0,
    "kubernetes.io/gce-pd": 10.0,
    "filestore.csi.storage.gke.io": 240.0,
    "parallelstore.csi.storage.gke.io": 600.0,
    "lustre.csi.storage.gke.io": 600.0,
}
_NAME: Final = "persistentvolume-controller"
_PROVISIONERS: Final = (
    "volume.beta.kubernetes.io/storage-provisioner",
    "volume.kubernetes.io/storage-provisioner",
)


def run(view: View) -> None:
    """Every claim, then every volume."""
    for claim in view.mine("PersistentVolumeClaim"):
        if not going(claim) and not bound(claim):
            _serve(view, claim)
    for volume in view.mine("PersistentVolume"):
        if not going(volume):
            _keep(view, volume)


def _serve(view: View, claim: Obj) -> None:
    spec = claim["spec"]
    name = class_name(view, claim)
    if spec.get("storageClassName") is None and name:
        claim = copy_of(claim)
        claim["spec"]["storageClassName"] = name
        claim = view.put(claim)
    volume = _existing(view, claim, name)
    if volume is not None:
        _bind(view, claim, volume)
        return
    if spec.get("volumeName"):
        return
    found = storage_class(view, claim)
    if found is None:
        reason, text = (
            "FailedBinding",
            ("no persistent volumes available for this claim and no storage class is set"),
        )
        if name:
            reason, text = "ProvisioningFailed", (f'storageclass.storage.k8s.io "{name}" not found')
        view.once(claim, _NAME, reason, text, warning=bool(name))
        return
    if found.get("volumeBindingMode") == WAIT and SELECTED_NODE not in annotations_of(claim):
        text = "waiting for first consumer to be created before binding"
        view.once(claim, _NAME, WAIT, text)
        return
    _provision(view, claim, found)


def _existing(view: View, claim: Obj, name: str) -> Obj | None:
    """The smallest volume that is free and does, or the one that the claim names."""
    wanted, modes = _size(claim), set(claim["spec"].get("accessModes") or ())
    fitting: list[tuple[int, str, Obj]] = []
    for volume in view.mine("PersistentVolume"):
        spec = volume["spec"]
        reference = spec.get("claimRef") or {}
        place = (reference.get("namespace"), reference.get("name"))
        reserved = place == (namespace_of(claim), name_of(claim))
        if going(volume) or (reference and not reserved):
            continue
        if reference.get("uid") not in (None, "", uid_of(claim)):
            continue
        named = claim["spec"].get("volumeName")
        if named and named != name_of(volume):
            continue
        size = milli((spec.get("capacity") or {}).get("storage", "0"))
        same = (spec.get("storageClassName") or "") == name
        if same and size >= wanted and modes <= set(spec.get("accessModes") or ()):
            fitting.append((0 if reserved else size, name_of(volume), volume))
    return min(fitting, key=lambda f: f[:2])[2] if fitting else None


def _size(claim: Obj) -> int:
    requests = (claim["spec"].get("resources") or {}).get("requests") or {}
    return milli(requests.get("storage", "0"))


def _provision(view: View, claim: Obj, found: Obj) -> None:
    provisioner = str(found.get("provisioner", ""))
    if annotations_of(claim).get(_PROVISIONERS[1]) != provisioner:
        claim = view.put(annotated(claim, dict.fromkeys(_PROVISIONERS, provisioner)))
    text = (
        f"Waiting for a volume to be created either by the external provisioner '{provisioner}' "
        "or manually by the system administrator. If volume creation is delayed, please verify "
        "that the provisioner is running and correctly registered."
    )
    view.once(claim, _NAME, "ExternalProvisioning", text)
    if provisioner not in PROVISION_S:
        return
    place = f"{namespace_of(claim)}/{name_of(claim)}"
    view.once(
        claim, provisioner, "Provisioning",
        f'External provisioner is provisioning volume for claim "{place}"',
    )  # fmt: skip
    zone = _zone(view, claim, found)
    mark = f"volume/{uid_of(claim)}"
    over = view.since(mark) + view.wall_s(PROVISION_S[provisioner])
    if view.now < over:
        view.wake(over)
        return
    if population.source_of(claim) and not population.populated(view, claim, found, zone, over):
        return
    view.forget(mark)
    volume = view.create(_volume(view, claim, found, zone))
    _bind(view, claim, volume)
    text = f"Successfully provisioned volume {name_of(volume)}"
    view.event(claim, provisioner, "ProvisioningSucceeded", text)


def _zone(view: View, claim: Obj, found: Obj) -> str:
    """The zone of the pod's node, else the first that the class allows, else the first there is."""
    nodes = view.all("Node")
    chosen = annotations_of(claim).get(SELECTED_NODE)
    allowed = allowed_zones(found)
    here = [n for n in nodes if name_of(n) == chosen] or ([] if allowed else nodes)
    zones = [labels_of(n)[z] for n in here for z in ZONES if z in labels_of(n)]
    return min(zones) if zones else (allowed[0] if allowed else "")


def _volume(view: View, claim: Obj, found: Obj, zone: str) -> Obj:
    provisioner, project = str(found["provisioner"]), view.cloud.project.id
    name = f"pvc-{uid_of(claim)}"
    handle = f"projects/{project}/zones/{zone}/disks/{name}"
    requests = (claim["spec"].get("resources") or {}).get("requests") or {}
    term = {"matchExpressions": [{"key": ZONES[0], "operator": "In", "values": [zone]}]}
    made: Obj = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": name,
            "annotations": {"pv.kubernetes.io/provisioned-by": provisioner},
        },
        "spec": {
            "accessModes": list(claim["spec"].get("accessModes") or ()),
            "capacity": {"storage": requests.get("storage", "0")},
            "claimRef": _reference(claim),
            "csi": {"driver": provisioner, "volumeHandle": handle, "fsType": "ext4"},
            "persistentVolumeReclaimPolicy": found.get("reclaimPolicy") or "Delete",
            "storageClassName": name_of(found),
            "volumeMode": claim["spec"].get("volumeMode", "Filesystem"),
        },
        "status": {"phase": "Available"},
    }
    if zone:
        made["spec"]["nodeAffinity"] = {"required": {"nodeSelectorTerms": [term]}}
    return made


def _reference(claim: Obj) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": namespace_of(claim),
        "name": name_of(claim),
        "uid": uid_of(claim),
    }


def _bind(view: View, claim: Obj, volume: Obj) -> None:
    made = copy_of(volume)
    made["spec"]["claimRef"] = _reference(claim)
    made["status"] = {"phase": "Bound", "lastPhaseTransitionTime": view.at}
    view.put(made)
    told = {f"pv.kubernetes.io/{k}": "yes" for k in ("bind-completed", "bound-by-controller")}
    kept = annotated(claim, told)
    kept["spec"]["volumeName"] = name_of(volume)
    kept["status"] = {
        "phase": "Bound",
        "accessModes": list(volume["spec"].get("accessModes") or ()),
        "capacity": dict(volume["spec"].get("capacity") or {}),
    }
    view.put(kept)


def _keep(view: View, volume: Obj) -> None:
    """A volume whose claim is gone is removed or released, as its policy says."""
    reference = volume["spec"].get("claimRef") or {}
    phase = (volume.get("status") or {}).get("phase")
    if not reference.get("uid"):
        if phase != "Available":
            view.put_status(volume, {"phase": "Available"})
        return
    claim = view.get("PersistentVolumeClaim", reference["namespace"], reference["name"])
    if claim is not None and uid_of(claim) == reference["uid"]:
        return
    if volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
        view.remove(volume)
    elif phase != "Released":
        view.put_status(volume, {"phase": "Released", "lastPhaseTransitionTime": view.at})
