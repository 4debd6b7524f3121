"""Schemas of the two custom resources that every cluster serves from the start.

LeaderWorkerSet as its project's v1, GCPDataSource as GKE's volume populator has it.
"""

from __future__ import annotations

from typing import Any, Final

from emulator.apis.kubernetes.schema import INT_OR_STRING, REF

_TEXT: Final = {"type": "string"}
_COUNT: Final = {"type": "integer", "format": "int32"}
_CONDITIONS: Final = {
    "type": "array",
    "items": {"$ref": REF + "V1Condition"},
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["type"],
}


def _object(required: tuple[str, ...] = (), /, **properties: Any) -> dict[str, Any]:
    built: dict[str, Any] = {"type": "object", "properties": properties}
    return built | {"required": list(required)} if required else built


_ROLLING: Final = _object(
    partition=_COUNT | {"minimum": 0, "default": 0},
    maxUnavailable=INT_OR_STRING | {"default": 1},
    maxSurge=INT_OR_STRING | {"default": 0},
)
_TEMPLATE: Final = _object(
    ("workerTemplate",),
    leaderTemplate={"$ref": REF + "V1PodTemplateSpec"},
    workerTemplate={"$ref": REF + "V1PodTemplateSpec"},
    size=_COUNT | {"minimum": 1, "default": 1},
    restartPolicy=_TEXT | {
        "enum": ["Default", "RecreateGroupOnPodRestart", "None"],
        "default": "RecreateGroupOnPodRestart",
    },
    subGroupPolicy=_object(subGroupSize=_COUNT | {"minimum": 1}, subGroupPolicyType=_TEXT),
    volumeClaimTemplates={
        "type": "array", "items": {"$ref": REF + "V1PersistentVolumeClaim"},
        "x-kubernetes-list-type": "atomic",
    },
    persistentVolumeClaimRetentionPolicy=_object(whenDeleted=_TEXT, whenScaled=_TEXT),
)  # fmt: skip
LEADER_WORKER_SET: Final = _object(
    spec=_object(
        ("leaderWorkerTemplate",),
        replicas=_COUNT | {"minimum": 0, "default": 1},
        leaderWorkerTemplate=_TEMPLATE,
        rolloutStrategy=_object(
            type=_TEXT | {"enum": ["RollingUpdate"], "default": "RollingUpdate"},
            rollingUpdateConfiguration=_ROLLING,
        ) | {"default": {}},
        startupPolicy=_TEXT | {
            "enum": ["LeaderCreated", "LeaderReady"], "default": "LeaderCreated"
        },
        networkConfig=_object(
            subdomainPolicy=_TEXT | {"enum": ["Shared", "UniquePerReplica"], "default": "Shared"}
        ) | {"default": {}},
    ),
    status=_object(
        conditions=_CONDITIONS,
        readyReplicas=_COUNT,
        updatedReplicas=_COUNT,
        replicas=_COUNT,
        hpaPodSelector=_TEXT,
        observedGeneration={"type": "integer", "format": "int64"},
    ),
)  # fmt: skip
DATA_SOURCE: Final = _object(
    spec=_object(
        cloudStorage=_object(("uri",), serviceAccountName=_TEXT, uri=_TEXT | {"minLength": 1}),
    ),
    status={
        "type": "object",
        "properties": {"error": _TEXT, "instanceHandle": _TEXT},
        "x-kubernetes-preserve-unknown-fields": True,
    },
)
