"""What the API server fills in where a caller says nothing.

Pods, alone and in templates, are defaults_pods.py's.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from emulator.apis.kubernetes import structure
from emulator.apis.kubernetes.defaults_pods import fill_pod, fill_pod_spec
from emulator.apis.kubernetes.garbage import CLAIM_PROTECTION, VOLUME_PROTECTION
from emulator.apis.kubernetes.kind_schemas import is_custom, schema_of
from emulator.apis.kubernetes.resources import (
    AUTOSCALERS,
    CLAIMS,
    DEFINITIONS,
    DEPLOYMENTS,
    JOBS,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    SECRETS,
    SERVICES,
    STATEFUL_SETS,
    STORAGE_CLASSES,
    VOLUMES,
    Kind,
)
from emulator.clock import rfc3339

if TYPE_CHECKING:
    from emulator.apis.kubernetes.cluster_state import ClusterState

Obj = dict[str, Any]
DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"


def fill(state: ClusterState, kind: Kind, body: Obj, old: Obj | None) -> None:
    """Put the kind's defaults into the object; `old` is what it replaces."""
    if is_custom(kind):
        structure.fill(schema_of(kind), body)
        return
    test = _DEFAULTS.get(kind)
    if test is not None:
        test(state, body, old)


def with_uid(kind: Kind, body: Obj) -> None:
    """What needs the object's uid: a Job's selector, which no other Job's pods fit."""
    spec = body.get("spec") or {}
    if kind is not JOBS or spec.get("manualSelector") or spec.get("selector"):
        return
    meta = body["metadata"]
    labels = {
        "batch.kubernetes.io/controller-uid": meta["uid"],
        "batch.kubernetes.io/job-name": meta["name"],
        "controller-uid": meta["uid"],
        "job-name": meta["name"],
    }
    key = "batch.kubernetes.io/controller-uid"
    spec["selector"] = {"matchLabels": {key: meta["uid"]}}
    template = spec.setdefault("template", {}).setdefault("metadata", {})
    template["labels"] = {**(template.get("labels") or {}), **labels}


def _put(target: Obj, **values: Any) -> None:
    for key, value in values.items():
        target.setdefault(key, value)


def _template(body: Obj) -> Obj:
    spec: Obj = body.setdefault("spec", {})
    template = spec.get("template")
    if isinstance(template, dict) and isinstance(template.get("spec"), dict):
        fill_pod_spec(template["spec"])
    return spec


def _namespace(state: ClusterState, body: Obj, old: Obj | None) -> None:
    meta = body["metadata"]
    meta["labels"] = {**(meta.get("labels") or {}), "kubernetes.io/metadata.name": meta["name"]}
    body["spec"] = (old or {}).get("spec") or {"finalizers": ["kubernetes"]}
    _put(body, status={"phase": "Active"})


def _pod(state: ClusterState, body: Obj, old: Obj | None) -> None:
    fill_pod(body, old)


def _deployment(state: ClusterState, body: Obj, old: Obj | None) -> None:
    spec = _template(body)
    _put(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    strategy = spec.setdefault("strategy", {})
    _put(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _put(strategy.setdefault("rollingUpdate", {}), maxSurge="25%", maxUnavailable="25%")
    _put(body, status={})


def _replica_set(state: ClusterState, body: Obj, old: Obj | None) -> None:
    _put(_template(body), replicas=1)
    _put(body, status={"replicas": 0})


def _stateful_set(state: ClusterState, body: Obj, old: Obj | None) -> None:
    spec = _template(body)
    _put(spec, replicas=1, revisionHistoryLimit=10, podManagementPolicy="OrderedReady")
    update = spec.setdefault("updateStrategy", {})
    _put(update, type="RollingUpdate")
    if update["type"] == "RollingUpdate":
        _put(update.setdefault("rollingUpdate", {}), partition=0)
    retention = {"whenDeleted": "Retain", "whenScaled": "Retain"}
    _put(spec, persistentVolumeClaimRetentionPolicy=retention)
    for claim in spec.get("volumeClaimTemplates") or ():
        _put(claim, apiVersion="v1", kind="PersistentVolumeClaim", status={"phase": "Pending"})
        _put(claim.setdefault("spec", {}), volumeMode="Filesystem")
    _put(body, status={"availableReplicas": 0, "replicas": 0})


def _job(state: ClusterState, body: Obj, old: Obj | None) -> None:
    spec = _template(body)
    if "parallelism" not in spec and "completions" not in spec:
        _put(spec, completions=1)
    _put(spec, parallelism=1, backoffLimit=6, completionMode="NonIndexed", suspend=False)
    _put(spec, podReplacementPolicy="TerminatingOrFailed")
    if old is not None:
        _put(spec, selector=old["spec"].get("selector"))
        labels = ((old["spec"].get("template") or {}).get("metadata") or {}).get("labels") or {}
        meta = spec.setdefault("template", {}).setdefault("metadata", {})
        meta["labels"] = {**labels, **(meta.get("labels") or {})}
    _put(body, status={})


def _service(state: ClusterState, body: Obj, old: Obj | None) -> None:
    spec = body.setdefault("spec", {})
    _put(spec, type="ClusterIP", sessionAffinity="None")
    for port in spec.get("ports") or ():
        if isinstance(port.get("port"), int):
            _put(port, protocol="TCP", targetPort=port["port"])
    if spec["type"] != "ExternalName":
        _put(spec, internalTrafficPolicy="Cluster", ipFamilies=["IPv4"])
        _put(spec, ipFamilyPolicy="SingleStack")
        before = (old or {}).get("spec", {}).get("clusterIP")
        _put(spec, clusterIP=before or _free_address(state, body["metadata"]))
        spec["clusterIPs"] = [spec["clusterIP"]]
    if spec["type"] in ("LoadBalancer", "NodePort"):
        _put(spec, externalTrafficPolicy="Cluster")
        for index, port in enumerate(spec.get("ports") or ()):
            _put(port, nodePort=30000 + _number(body["metadata"], f"port{index}") % 2768)
    if spec["type"] == "LoadBalancer":
        _put(spec, allocateLoadBalancerNodePorts=True)
    _put(body, status={"loadBalancer": {}})


def _number(meta: Obj, salt: str) -> int:
    text = f"{meta.get('namespace')}/{meta.get('name')}/{salt}"
    return int.from_bytes(hashlib.blake2s(text.encode(), digest_size=4).digest())


def _free_address(state: ClusterState, meta: Obj) -> str:
    """A cluster IP of 10.32.16.0/20 that no service has."""
    taken = {s.body.get("spec", {}).get("clusterIP") for s in state.store.peek(SERVICES).values()}
    start = _number(meta, "address")
    for step in range(4096):
        offset = (start + step) % 4096
        address = f"10.32.{16 + offset // 256}.{offset % 256}"
        if offset % 256 not in (0, 255) and address not in taken:
            return address
    return "None"


def _claim(state: ClusterState, body: Obj, old: Obj | None) -> None:
    spec, meta = body.setdefault("spec", {}), body["metadata"]
    _put(spec, volumeMode="Filesystem")
    if old is None:
        finalizers = meta.setdefault("finalizers", [])
        if CLAIM_PROTECTION not in finalizers:
            finalizers.append(CLAIM_PROTECTION)
        if "storageClassName" not in spec and (found := _default_class(state)):
            spec["storageClassName"] = found
    elif "storageClassName" in old["spec"]:
        _put(spec, storageClassName=old["spec"]["storageClassName"])
    # The two name the same thing; either fills the other.
    if "dataSource" in spec:
        _put(spec, dataSourceRef=dict(spec["dataSource"]))
    elif "dataSourceRef" in spec and "namespace" not in spec["dataSourceRef"]:
        _put(spec, dataSource=dict(spec["dataSourceRef"]))
    _put(body, status={"phase": "Pending"})


def _default_class(state: ClusterState) -> str | None:
    for item in state.store.peek(STORAGE_CLASSES).values():
        annotations = item.body["metadata"].get("annotations") or {}
        if annotations.get(DEFAULT_CLASS) == "true":
            return item.name
    return None


def _volume(state: ClusterState, body: Obj, old: Obj | None) -> None:
    meta = body["metadata"]
    _put(body.setdefault("spec", {}), volumeMode="Filesystem")
    _put(body["spec"], persistentVolumeReclaimPolicy="Retain")
    finalizers = meta.setdefault("finalizers", [])
    if old is None and VOLUME_PROTECTION not in finalizers:
        finalizers.append(VOLUME_PROTECTION)
    if not finalizers:
        del meta["finalizers"]
    _put(body, status={"phase": "Pending"})


def _storage_class(state: ClusterState, body: Obj, old: Obj | None) -> None:
    _put(body, reclaimPolicy="Delete", volumeBindingMode="Immediate")


def _secret(state: ClusterState, body: Obj, old: Obj | None) -> None:
    _put(body, type="Opaque")
    plain = body.pop("stringData", None)
    if plain:
        data = body.setdefault("data", {})
        for key, value in plain.items():
            data[key] = base64.b64encode(value.encode()).decode()


def _autoscaler(state: ClusterState, body: Obj, old: Obj | None) -> None:
    spec = body.setdefault("spec", {})
    _put(spec, minReplicas=1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    _put(body, status={"currentMetrics": None, "desiredReplicas": 0})


def _definition(state: ClusterState, body: Obj, old: Obj | None) -> None:
    spec = body.setdefault("spec", {})
    names = spec.get("names")
    if not isinstance(names, dict) or not isinstance(names.get("kind"), str):
        return
    _put(names, singular=names["kind"].lower(), listKind=f"{names['kind']}List")
    _put(spec, conversion={"strategy": "None"})
    if old is not None:
        return
    at = rfc3339(state.now())
    stored = [v["name"] for v in spec.get("versions") or () if v.get("storage")]
    conditions = [
        {"type": "NamesAccepted", "status": "True", "lastTransitionTime": at,
         "reason": "NoConflicts", "message": "no conflicts found"},
        {"type": "Established", "status": "True", "lastTransitionTime": at,
         "reason": "InitialNamesAccepted", "message": "the initial names have been accepted"},
    ]  # fmt: skip
    body["status"] = {"conditions": conditions, "acceptedNames": names, "storedVersions": stored}


_DEFAULTS: Final[Mapping[Kind, Callable[[Any, Obj, Obj | None], None]]] = {
    NAMESPACES: _namespace,
    PODS: _pod,
    DEPLOYMENTS: _deployment,
    REPLICA_SETS: _replica_set,
    STATEFUL_SETS: _stateful_set,
    JOBS: _job,
    SERVICES: _service,
    CLAIMS: _claim,
    VOLUMES: _volume,
    STORAGE_CLASSES: _storage_class,
    SECRETS: _secret,
    AUTOSCALERS: _autoscaler,
    DEFINITIONS: _definition,
}
