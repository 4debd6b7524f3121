"""What of an object may not change once it is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from emulator.apis.kubernetes.causes import Causes
from emulator.apis.kubernetes.resources import (
    CLAIMS,
    CONFIG_MAPS,
    DEFINITIONS,
    DEPLOYMENTS,
    JOBS,
    LEADER_WORKER_SETS,
    PODS,
    REPLICA_SETS,
    SECRETS,
    SERVICES,
    STATEFUL_SETS,
    STORAGE_CLASSES,
    Kind,
)
from emulator.apis.kubernetes.rules_pods import amount

Obj = dict[str, Any]
_IMMUTABLE: Final = "field is immutable"
# Kind → paths that stay as they are.
_FIXED: Final[Mapping[Kind, tuple[str, ...]]] = {
    DEPLOYMENTS: ("spec.selector",),
    REPLICA_SETS: ("spec.selector",),
    JOBS: ("spec.selector", "spec.completionMode", "spec.template"),
    STORAGE_CLASSES: ("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"),
    SECRETS: ("type",),
    DEFINITIONS: ("spec.group", "spec.scope", "spec.names.kind", "spec.names.plural"),
    LEADER_WORKER_SETS: ("spec.leaderWorkerTemplate.size",),
}
_SET_MAY: Final = frozenset(
    {
        "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
    }
)  # fmt: skip
_POD_MAY: Final = frozenset(
    {
        "activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "nodeName",
        "schedulingGates",
    }
)  # fmt: skip


def check(kind: Kind, body: Obj, old: Obj, causes: Causes) -> None:
    """Note each part that differs and must not."""
    for path in _FIXED.get(kind, ()):
        before, after = _at(old, path), _at(body, path)
        if before is not None and before != after:
            causes.invalid(path, after, _IMMUTABLE)
    if kind in (CONFIG_MAPS, SECRETS) and old.get("immutable"):
        if not body.get("immutable"):
            causes.forbidden("immutable", "field is immutable when `immutable` is set")
        elif any(old.get(part) != body.get(part) for part in ("data", "binaryData")):
            causes.forbidden("data", "field is immutable when `immutable` is set")
    match kind:
        case _ if kind is STATEFUL_SETS:
            _stateful_set(body, old, causes)
        case _ if kind is PODS:
            _pod(body, old, causes)
        case _ if kind is CLAIMS:
            _claim(body, old, causes)
        case _ if kind is SERVICES:
            before, after = _at(old, "spec.clusterIP"), _at(body, "spec.clusterIP")
            if before and after != before and _at(body, "spec.type") != "ExternalName":
                causes.invalid("spec.clusterIPs[0]", after, "may not change once set")
        case _:
            pass


def _at(body: Any, path: str) -> Any:
    for key in path.split("."):
        body = body.get(key) if isinstance(body, dict) else None
    return body


def _stateful_set(body: Obj, old: Obj, causes: Causes) -> None:
    before, after = old["spec"], body["spec"]
    if any(before.get(k) != after.get(k) for k in {*before, *after} - _SET_MAY):
        causes.forbidden(
            "spec",
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
            "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and "
            "'minReadySeconds' are forbidden",
        )


def _pod(body: Obj, old: Obj, causes: Causes) -> None:
    if _fixed_of(body["spec"]) != _fixed_of(old["spec"]):
        causes.forbidden(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,"
            "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
            "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to "
            "be set to 1 if it was previously negative)",
        )


def _fixed_of(spec: Obj) -> Obj:
    kept = {key: value for key, value in spec.items() if key not in _POD_MAY}
    for part in ("containers", "initContainers"):
        kept[part] = [
            {k: v for k, v in one.items() if k not in ("image", "resources")}
            for one in spec.get(part) or ()
        ]
    return kept


def _claim(body: Obj, old: Obj, causes: Causes) -> None:
    before, after = dict(old["spec"]), dict(body["spec"])
    was, wanted = before.pop("resources", {}), after.pop("resources", {})
    if not before.get("volumeName"):
        after.pop("volumeName", None)
        before.pop("volumeName", None)
    if before != after:
        text = (
            "spec is immutable after creation except resources.requests and "
            "volumeAttributesClassName for bound claims"
        )
        causes.forbidden("spec", text)
    size, asked = (((r or {}).get("requests") or {}).get("storage", 0) for r in (was, wanted))
    if amount(asked) < amount(size):
        text = "field can not be less than previous value"
        causes.forbidden("spec.resources.requests.storage", text)
