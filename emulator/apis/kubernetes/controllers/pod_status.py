"""A pod's status at a time, from what the kubelet remembers of it; pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from emulator.apis.kubernetes.controllers.contract import Obj
from emulator.apis.kubernetes.controllers.courses import (
    INIT_S,
    Course,
    Moment,
    WallS,
    course_of,
    moment,
    readiness_s,
)
from emulator.apis.kubernetes.controllers.objects import (
    condition,
    conditions_of,
    uid_of,
    with_conditions,
)
from emulator.apis.kubernetes.controllers.view import Life
from emulator.clock import rfc3339

_IMAGE: Final = re.compile(r"[a-z0-9][a-zA-Z0-9._:/@-]*")


@dataclass(slots=True)
class Stage:
    """A pod's status in the making.

    Attributes:
        next_at: when it goes on by itself. events: (mark, reason, message, warning) since when.
    """

    phase: str = "Pending"
    initialised: bool = False
    ready: bool = False
    started: bool = False
    inits: list[Obj] = field(default_factory=list)
    containers: list[Obj] = field(default_factory=list)
    next_at: float | None = None
    events: list[tuple[str, str, str, bool]] = field(default_factory=list)

    def wake(self, at: float | None) -> None:
        """Go on no later than then."""
        if at is not None and (self.next_at is None or at < self.next_at):
            self.next_at = at


def stage_of(pod: Obj, life: Life, now: float, wall_s: WallS, blocked: tuple[str, str]) -> Stage:
    """Where a pod on its node stands.

    Args:
        blocked: reason and message why its containers cannot be made; both "" when nothing is
            in the way.
    """
    spec, stage = pod["spec"], Stage()
    inits: Sequence[Obj] = spec.get("initContainers") or ()
    if life.mounted_at is None or blocked[0]:
        _wait(stage, spec, blocked[0] or "ContainerCreating", blocked[1])
        return stage
    began = _initialise(stage, pod, inits, life, now, wall_s)
    if began is None:
        for container in spec["containers"]:
            stage.containers.append(waiting(container, "PodInitializing", ""))
        return stage
    stage.initialised = True
    _run(stage, pod, life, began, now, wall_s)
    return stage


def bad_image(container: Mapping[str, Any]) -> bool:
    """Whether its image is no reference at all."""
    return not _IMAGE.fullmatch(str(container.get("image", "")))


def _wait(stage: Stage, spec: Mapping[str, Any], reason: str, message: str) -> None:
    stage.initialised = not spec.get("initContainers")
    stage.inits = [waiting(c, reason, message) for c in spec.get("initContainers") or ()]
    reason, message = ("PodInitializing", "") if stage.inits else (reason, message)
    stage.containers = [waiting(c, reason, message) for c in spec["containers"]]


def _initialise(
    stage: Stage, pod: Obj, inits: Sequence[Obj], life: Life, now: float, wall_s: WallS
) -> float | None:
    """Run the init containers one after the other; when the others begin, None before that."""
    cursor = life.mounted_at or 0.0
    policy = pod["spec"].get("restartPolicy", "Always")
    for index, container in enumerate(inits):
        cursor = max(cursor, life.pulled_at.get(container["image"], cursor))
        if now < cursor:
            stage.wake(cursor)
            stage.inits += [waiting(c, "PodInitializing", "") for c in inits[index:]]
            return None
        sidecar = container.get("restartPolicy") == "Always"
        course = course_of(container, ends=not sidecar)
        if course == course_of({}, ends=True):
            course = Course(INIT_S)
        at = moment(cursor, course, "Never" if policy == "Never" else "OnFailure", now, wall_s)
        stage.wake(at.next_at)
        done = at.state == "running" if sidecar else at.for_good and not course.code
        stage.inits.append(shown(pod, container, at, course, done))
        if sidecar:
            continue
        if not at.for_good or course.code:
            stage.inits += [waiting(c, "PodInitializing", "") for c in inits[index + 1 :]]
            if at.for_good:
                stage.phase = "Failed"
            return None
        cursor = at.since
    return cursor


def _run(stage: Stage, pod: Obj, life: Life, began: float, now: float, wall_s: WallS) -> None:
    spec = pod["spec"]
    policy = spec.get("restartPolicy", "Always")
    moments: list[tuple[Moment, Course]] = []
    ready = True
    for container in spec["containers"]:
        start = max(began, life.pulled_at.get(container["image"], began))
        if now < start:
            stage.wake(start)
            stage.containers.append(waiting(container, "ContainerCreating", ""))
            ready = False
            continue
        course = course_of(container, ends=policy != "Always")
        at = moment(start, course, policy, now, wall_s)
        stage.wake(at.next_at)
        moments.append((at, course))
        serves = at.started_at + wall_s(readiness_s(container, spec))
        up = at.state == "running" and now >= serves
        if at.state == "running" and not up:
            stage.wake(serves)
            text = "Readiness probe failed: HTTP probe failed with statuscode: 503"
            if container.get("readinessProbe"):
                stage.events.append((f"unready/{container['name']}", "Unhealthy", text, True))
        ready = ready and up
        stage.containers.append(shown(pod, container, at, course, up))
        _report(stage, container, at)
    stage.started = bool(moments)
    stage.ready = ready
    if len(moments) < len(spec["containers"]):
        return
    stage.phase = "Running"
    if all(at.for_good for at, _ in moments):
        stage.phase = "Failed" if any(course.code for _, course in moments) else "Succeeded"


def _report(stage: Stage, container: Obj, at: Moment) -> None:
    name = container["name"]
    stage.events.append((f"made/{name}/{at.restarts}", "Created", f"Created container: {name}",
                         False))  # fmt: skip
    stage.events.append((f"began/{name}/{at.restarts}", "Started", f"Started container {name}",
                         False))  # fmt: skip
    if at.state == "waiting":
        text = f"Back-off restarting failed container {name}"
        stage.events.append((f"backoff/{name}/{at.restarts}", "BackOff", text, True))


def waiting(container: Obj, reason: str, message: str) -> Obj:
    """The status of a container that has not begun."""
    told = {"reason": reason} | ({"message": message} if message else {})
    return {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": "",
        "ready": False,
        "started": False,
        "restartCount": 0,
        "state": {"waiting": told},
        "lastState": {},
    }


def shown(pod: Obj, container: Obj, at: Moment, course: Course, ready: bool) -> Obj:
    """The status of a container that has begun."""
    identity = hashlib.sha256(f"{uid_of(pod)}/{container['name']}/{at.restarts}".encode())
    identifier = f"containerd://{identity.hexdigest()}"
    ended: Obj | None = None
    if at.ended_at is not None:
        ended = {
            "exitCode": course.code,
            "reason": "Error" if course.code else "Completed",
            "startedAt": rfc3339(at.started_at),
            "finishedAt": rfc3339(at.ended_at),
            "containerID": identifier,
        }
    last: Obj = {"terminated": ended} if ended and at.state != "terminated" else {}
    state: Obj = {"running": {"startedAt": rfc3339(at.started_at)}}
    if at.state == "waiting":
        text = f"back-off restarting failed container={container['name']}"
        state = {"waiting": {"reason": "CrashLoopBackOff", "message": text}}
    elif at.state == "terminated":
        state = {"terminated": ended}
    return {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": "",
        "containerID": identifier,
        "ready": ready and at.state != "waiting",
        "started": at.state == "running",
        "restartCount": at.restarts,
        "state": state,
        "lastState": last,
    }


def status_of(
    pod: Obj, stage: Stage, life: Life, addresses: tuple[str, str], node_ready: bool, at: str
) -> Obj:
    """The status object; `addresses` are the host's and the pod's ("" before it has one)."""
    before: Mapping[str, Any] = pod.get("status") or {}
    host, own = addresses
    done = stage.phase in ("Succeeded", "Failed")
    unready = [c["name"] for c in stage.containers if not c["ready"]]
    reason = "PodCompleted" if stage.phase == "Succeeded" else "ContainersNotReady"
    message = "" if done or not unready else f"containers with unready status: {_list(unready)}"
    up = stage.ready and not done
    told = ("", "") if up else (reason, message)
    conditions = [
        condition("PodReadyToStartContainers", life.mounted_at is not None and not done),
        condition("Initialized", stage.initialised, *_uninitialised(stage)),
        condition("Ready", up and node_ready, *told),
        condition("ContainersReady", up, *told),
        condition("PodScheduled", True),
    ]
    made: Obj = {
        "phase": stage.phase,
        "conditions": with_conditions(conditions_of(pod), conditions, at),
        "hostIP": host,
        "hostIPs": [{"ip": host}],
        "startTime": before.get("startTime") or rfc3339(life.bound_at),
        "containerStatuses": stage.containers,
        "qosClass": before.get("qosClass") or qos_of(pod["spec"]),
    }
    if own:
        made |= {"podIP": own, "podIPs": [{"ip": own}]}
    if stage.inits:
        made["initContainerStatuses"] = stage.inits
    return made


def _uninitialised(stage: Stage) -> tuple[str, str]:
    if stage.initialised:
        return "", ""
    names = [c["name"] for c in stage.inits if "terminated" not in c["state"]]
    return "ContainersNotInitialized", f"containers with incomplete status: {_list(names)}"


def _list(names: Sequence[str]) -> str:
    return f"[{' '.join(names)}]"


def qos_of(spec: Mapping[str, Any]) -> str:
    """The class of service that follows from requests and limits of processors and memory."""
    asked, guaranteed = False, True
    for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
        resources = container.get("resources") or {}
        limits = resources.get("limits") or {}
        requests = {**limits, **(resources.get("requests") or {})}
        for resource in ("cpu", "memory"):
            asked = asked or resource in requests
            same = resource in limits and requests.get(resource) == limits[resource]
            guaranteed = guaranteed and same
    return "Guaranteed" if asked and guaranteed else "Burstable" if asked else "BestEffort"
