"""The pod template of a tier's servers: pointing it at other weights, telling two apart.

Plain JSON as Kubernetes has it, of a Deployment or a LeaderWorkerSet; of one whose leaders have a
template of their own it is the pair of both, under Kubernetes' names for them. Planning a roll-out
is `core/actions/deploy_model.py`'s and `roll_back.py`'s, writing it
`control/appliers/rollouts.py`'s.
"""

from __future__ import annotations

import copy
import hashlib
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
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
_LEADER: Final = "leaderTemplate"
_WORKER: Final = "workerTemplate"
_SHELL: Final = frozenset({"&&", "||", ";", "|", "&"})  # what joins commands
_EXEC: Final = "exec "  # what a shell's last command begins with


def template_of(workload: Json) -> Json:
    """The pod template of a Deployment or a LeaderWorkerSet, or the pair of leaders and workers.

    Raises:
        PlanError: it is another kind of object.
    """
    kind, spec = str(workload.get("kind", "")), cast(Json, workload.get("spec") or {})
    if kind == "Deployment":
        return cast(Json, spec["template"])
    groups = cast(Json, spec.get("leaderWorkerTemplate") or {})
    if kind == "LeaderWorkerSet" and groups.get(_LEADER):
        return {name: groups[name] for name in (_LEADER, _WORKER)}
    if kind == "LeaderWorkerSet":
        return cast(Json, groups[_WORKER])
    raise PlanError(
        f"The template of this {kind or 'object'} cannot be changed from here.",
        hint="That of a Deployment or a LeaderWorkerSet can",
    )


def _pods(template: Json) -> tuple[Json, ...]:
    """The templates of pods in it, that of the server first."""
    if _LEADER in template:
        return cast(Json, template[_LEADER]), cast(Json, template[_WORKER])
    return (template,)


def _each(template: Json, change: Callable[[dict[str, Any]], None]) -> Json:
    """A copy in which each template of pods was changed."""
    found = copy.deepcopy(dict(template))
    for pod in _pods(found):
        change(cast(dict[str, Any], pod))
    return found


def labels_of(template: Json) -> Mapping[str, str]:
    """The labels that all of its pods have."""
    first, *others = (
        dict(cast(Json, pod.get("metadata") or {}).get("labels") or {}) for pod in _pods(template)
    )
    return {k: v for k, v in first.items() if all(o.get(k) == v for o in others)}


def patch_of(kind: str, before: Json, after: Json) -> Json:
    """A merge patch of the workload after which its template is `after`."""
    change = merge_patch(before, after)
    if kind == "Deployment":
        return {"spec": {"template": change}}
    groups = change if _LEADER in before else {_WORKER: change}
    return {"spec": {"leaderWorkerTemplate": groups}}


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
    """Which roll-out made it, or a pod of it; "" when none from here did, or not all of it."""
    found = {_revision(pod) for pod in _pods(template)}
    return found.pop() if len(found) == 1 else ""


def _revision(pod: Json) -> str:
    meta = cast(Json, pod.get("metadata") or {})
    return str((meta.get("annotations") or {}).get(REVISION, ""))


def marked(template: Json, revision: str) -> Json:
    """The same template, told from every other roll-out."""

    def mark(pod: dict[str, Any]) -> None:
        pod.setdefault("metadata", {}).setdefault("annotations", {})[REVISION] = revision

    return _each(template, mark)


def without_mark(template: Json) -> Json:
    """The same template without the word which roll-out made it."""

    def clear(pod: dict[str, Any]) -> None:
        meta = pod.get("metadata") or {}
        (meta.get("annotations") or {}).pop(REVISION, None)
        if not meta.get("annotations"):
            meta.pop("annotations", None)

    return _each(template, clear)


def serving(template: Json, claim: str, model: str, image: str) -> Json:
    """The same servers with the claim's weights under that name, and that image ("": the same).

    Hosts that follow a leader get volume and image, too: they load their part of the weights.

    Raises:
        PlanError: no container, or more than one, could be the server.
    """
    name = str(_server(_pods(template)[0])[0].get("name", ""))

    def change(pod: dict[str, Any]) -> None:
        spec = pod["spec"]
        containers = [c for c in spec.get("containers", ()) if c.get("name", "") == name]
        for container in containers or spec.get("containers", ())[:1]:
            _point(container, model, image)
        volumes = [v for v in spec.get("volumes", ()) if v["name"] != _VOLUME]
        source = {"persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
        spec["volumes"] = [*volumes, {"name": _VOLUME, **source}]

    return _each(template, change)


def _server(pod: Json) -> tuple[Json, str]:
    """The container that serves a model, and the field with the command that does."""
    containers = cast(Json, pod.get("spec") or {}).get("containers", ())
    places = [(c, field) for c in containers for field in _FIELDS if _model(c, field)]
    if len(places) != 1:
        raise PlanError(
            f"{len(places)} commands of the template start a server of a model.",
            hint="One in each pod: vllm serve MODEL, or with --model MODEL",
        )
    return places[0]


def _point(container: dict[str, Any], model: str, image: str) -> None:
    """Give a container the weights; where it serves a model itself, under that name."""
    for field in _FIELDS:
        if _model(container, field):
            container[field] = _pointed(container[field], model)
    if image:
        container["image"] = image
    mounts = [m for m in container.get("volumeMounts", ()) if m["name"] != _VOLUME]
    weights = {"name": _VOLUME, "mountPath": MOUNT, "readOnly": True}
    container["volumeMounts"] = [*mounts, weights]


def model_of(template: Json) -> str:
    """What its server calls its model; "" when that cannot be told."""
    for container in cast(Json, _pods(template)[0].get("spec") or {}).get("containers", ()):
        for field in _FIELDS:
            found = _model(container, field)
            if found:
                words = _words(container[field])[1]
                return _value(words, _SERVED) or found
    return ""


def _words(command: Sequence[object] | None) -> tuple[str, list[str]]:
    """What stands before the server's words, and those; of `sh -c "… exec SERVER …"` the last."""
    words = [str(word) for word in command or ()]
    if len(words) == 3 and words[1] == "-c":
        before, sign, text = words[2].rpartition(_EXEC)
        try:
            found = shlex.split(text)
        except ValueError:
            return "", words  # no command that a shell would take either
        if _SHELL.isdisjoint(found):
            return before + sign, found
    return "", words


def _model(container: Json, field: str) -> str:
    """The model that this command serves; "" when it is no such command."""
    _, words = _words(container.get(field))
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
    before, found = _words(words)
    kept: list[str] = []
    skip = False
    for word in found:
        name, sign, _ = word.partition("=")
        if skip:
            skip = False
        elif name in (_MODEL, _SERVED):
            skip = not sign
        else:
            kept.append(word)
    if _SERVE in kept:
        kept[kept.index(_SERVE) + 1] = MOUNT
    else:
        kept += [_MODEL, MOUNT]
    kept += [_SERVED, model]
    if found != [str(word) for word in words]:  # they were in a shell's text
        return [*words[:2], before + shlex.join(kept)]
    return kept
