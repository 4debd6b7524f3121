"""The pod template of a tier's servers: pointing it at other weights, telling two apart.

Plain JSON as Kubernetes has it, of a Deployment or a LeaderWorkerSet. Planning a roll-out is
`core/actions/deploy_model.py`'s and `roll_back.py`'s, writing it `control/appliers/rollouts.py`'s.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from core.errors import PlanError

Json = Mapping[str, Any]

REVISION: Final = "heartwood/revision"  # annotation of a template that was rolled out from here
MOUNT: Final = "/models"  # where the weights' volume is seen by the server
_VOLUME: Final = "weights"
_FIELDS: Final = ("command", "args")
_SERVE: Final = "serve"  # vllm serve MODEL
_MODEL: Final = "--model"
_SERVED: Final = "--served-model-name"


def template_of(workload: Json) -> Json:
    """The pod template of a Deployment, or of a LeaderWorkerSet without one for its leaders alone.

    Raises:
        PlanError: it is another kind of object.
    """
    kind, spec = str(workload.get("kind", "")), cast(Json, workload.get("spec") or {})
    if kind == "Deployment":
        return cast(Json, spec["template"])
    groups = cast(Json, spec.get("leaderWorkerTemplate") or {})
    if kind == "LeaderWorkerSet" and not groups.get("leaderTemplate"):
        return cast(Json, groups["workerTemplate"])
    raise PlanError(
        f"The template of this {kind or 'object'} cannot be changed from here.",
        hint="A Deployment, or a LeaderWorkerSet with one template for all of a group",
    )


def patch_of(kind: str, before: Json, after: Json) -> Json:
    """A merge patch of the workload after which its template is `after`."""
    change = merge_patch(before, after)
    if kind == "Deployment":
        return {"spec": {"template": change}}
    return {"spec": {"leaderWorkerTemplate": {"workerTemplate": change}}}


def merge_patch(before: Json, after: Json) -> Json:
    """What turns one into the other by RFC 7396: null for what goes, lists as a whole."""
    found: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            inner = merge_patch(cast(Json, old), cast(Json, value))
            if inner:
                found[key] = inner
        elif key not in before or old != value:
            found[key] = value
    return found


def replicas_of(workload: Json) -> tuple[int, int]:
    """(replicas, pods of each)."""
    spec = cast(Json, workload.get("spec") or {})
    groups = cast(Json, spec.get("leaderWorkerTemplate") or {})
    return int(spec.get("replicas", 1)), int(groups.get("size", 1))


def fingerprint(template: Json) -> str:
    """The same for the same content, whatever order its keys have."""
    text = json.dumps(template, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def revision_of(template: Json) -> str:
    """Which roll-out made it; "" when none from here did."""
    meta = cast(Json, template.get("metadata") or {})
    return str((meta.get("annotations") or {}).get(REVISION, ""))


def marked(template: Json, revision: str) -> Json:
    """The same template, told from every other roll-out."""
    found = copy.deepcopy(dict(template))
    found.setdefault("metadata", {}).setdefault("annotations", {})[REVISION] = revision
    return found


def without_mark(template: Json) -> Json:
    """The same template without the word which roll-out made it."""
    found = copy.deepcopy(dict(template))
    meta = found.get("metadata") or {}
    (meta.get("annotations") or {}).pop(REVISION, None)
    if not meta.get("annotations"):
        meta.pop("annotations", None)
    return found


def serving(template: Json, claim: str, model: str, image: str) -> Json:
    """The same servers with the claim's weights under that name, and that image ("": the same).

    Raises:
        PlanError: no container, or more than one, could be the server.
    """
    found = copy.deepcopy(dict(template))
    pod = found["spec"]
    places = [
        (c, field) for c in pod.get("containers", ()) for field in _FIELDS if _model(c, field)
    ]
    if len(places) != 1:
        raise PlanError(
            f"{len(places)} commands of the template start a server of a model.",
            hint="One in each pod: vllm serve MODEL, or with --model MODEL",
        )
    server, field = places[0]
    server[field] = _pointed(server[field], model)
    if image:
        server["image"] = image
    mounts = [m for m in server.get("volumeMounts", ()) if m["name"] != _VOLUME]
    server["volumeMounts"] = [*mounts, {"name": _VOLUME, "mountPath": MOUNT, "readOnly": True}]
    volumes = [v for v in pod.get("volumes", ()) if v["name"] != _VOLUME]
    source = {"persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
    pod["volumes"] = [*volumes, {"name": _VOLUME, **source}]
    return found


def model_of(template: Json) -> str:
    """What its server calls its model; "" when that cannot be told."""
    for container in cast(Json, template.get("spec") or {}).get("containers", ()):
        for field in _FIELDS:
            found = _model(container, field)
            if found:
                words = [str(word) for word in container[field]]
                return _value(words, _SERVED) or found
    return ""


def _model(container: Json, field: str) -> str:
    """The model that this command serves; "" when it is no such command."""
    words = [str(word) for word in container.get(field) or ()]
    if _SERVE in words[:-1]:
        return words[words.index(_SERVE) + 1]
    return _value(words, _MODEL)


def _value(words: Sequence[str], flag: str) -> str:
    """What follows a flag, or stands behind its sign; "" where it is not there."""
    for index, word in enumerate(words):
        name, sign, value = word.partition("=")
        if name == flag:
            return value if sign else (words[index + 1] if index + 1 < len(words) else "")
    return ""


def _pointed(words: Sequence[str], model: str) -> list[str]:
    """The command with the mounted weights as its model, under that name."""
    kept: list[str] = []
    skip = False
    for word in words:
        name, sign, _ = str(word).partition("=")
        if skip:
            skip = False
        elif name in (_MODEL, _SERVED):
            skip = not sign
        else:
            kept.append(str(word))
    if _SERVE in kept:
        kept[kept.index(_SERVE) + 1] = MOUNT
        return [*kept, _SERVED, model]
    return [*kept, _MODEL, MOUNT, _SERVED, model]
