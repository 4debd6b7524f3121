"""LeaderWorkerSets: groups of pods that come, roll and go together.

As upstream: names, labels, annotations, environment, status, the headless Service, restart of whole
groups, rolling update by groups with maxUnavailable, maxSurge and partition. Not as upstream: the
set owns its pods itself, where upstream puts StatefulSets between; subgroups are not told apart;
the wording of its events is not checked against upstream's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from emulator.apis.kubernetes.controllers.contract import Obj
from emulator.apis.kubernetes.controllers.courses import pause_s
from emulator.apis.kubernetes.controllers.fitting import TPU, requests_of
from emulator.apis.kubernetes.controllers.kubelet import stop
from emulator.apis.kubernetes.controllers.objects import (
    annotations_of,
    condition,
    conditions_of,
    generation_of,
    going,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    scaled,
    template_digest,
    uid_of,
    with_conditions,
)
from emulator.apis.kubernetes.controllers.scheduler import LWS
from emulator.apis.kubernetes.controllers.templates import is_ready, make, phase_of, pod_from
from emulator.apis.kubernetes.controllers.view import View, refusal

HASH: Final = f"{LWS}/template-revision-hash"
EXCLUSIVE: Final = f"{LWS}/exclusive-topology"
_NAME: Final = "leaderworkerset"
_WELL_S: Final = 600.0  # after which a kubelet forgets that a container crashed
Group = dict[int, Obj]


def run(view: View) -> None:
    """Every LeaderWorkerSet."""
    for workers in view.mine("LeaderWorkerSet"):
        if not going(workers):
            _reconcile(view, workers)


def groups_of(view: View, workers: Obj) -> dict[int, Group]:
    """Pods by group and number in it, those on their way out too."""
    found: dict[int, Group] = {}
    for pod in view.owned(workers, "Pod"):
        labels = labels_of(pod)
        group = int(labels.get(f"{LWS}/group-index", -1))
        found.setdefault(group, {})[int(labels.get(f"{LWS}/worker-index", -1))] = pod
    return found


def _size(workers: Obj) -> int:
    return int(workers["spec"]["leaderWorkerTemplate"].get("size") or 1)


def _replicas(workers: Obj) -> int:
    asked = workers["spec"].get("replicas")
    return 1 if asked is None else int(asked)


def _complete(group: Group, size: int) -> bool:
    return len(group) >= size and all(is_ready(p) and not going(p) for p in group.values())


def _current(group: Group, digest: str) -> bool:
    return bool(group) and all(labels_of(p).get(HASH) == digest for p in group.values())


def _reconcile(view: View, workers: Obj) -> None:
    _service(view, workers)
    size, wanted = _size(workers), _replicas(workers)
    digest = template_digest(workers["spec"]["leaderWorkerTemplate"])
    groups = groups_of(view, workers)
    rolling = (workers["spec"].get("rolloutStrategy") or {}).get("rollingUpdateConfiguration") or {}
    partition = int(rolling.get("partition") or 0)
    outdated = [
        i for i in range(partition, wanted) if groups.get(i) and not _current(groups[i], digest)
    ]
    surge = scaled(rolling.get("maxSurge", 0), wanted, up=True) if outdated else 0
    for index in sorted(groups, reverse=True):
        if index >= wanted + surge:
            _stop(view, groups[index])
    _roll(view, groups, outdated, size, _budget(rolling, groups, wanted, surge, size))
    for index in range(wanted + surge):
        _fill(view, workers, index, groups_of(view, workers).get(index, {}), digest)
    _tell(view, workers, digest, bool(outdated))


def _budget(
    rolling: Mapping[str, Any], groups: Mapping[int, Group], wanted: int, surge: int, size: int
) -> int:
    """Groups that may still be taken out of service."""
    allowed = scaled(rolling.get("maxUnavailable", 1), wanted, up=False)
    extra = sum(_complete(groups.get(i, {}), size) for i in range(wanted, wanted + surge))
    if not surge and allowed == 0:
        allowed = 1
    away = sum(not _complete(groups.get(i, {}), size) for i in range(wanted))
    return allowed + extra - away


def _roll(
    view: View, groups: Mapping[int, Group], outdated: Sequence[int], size: int, budget: int
) -> None:
    """Replace groups of an older template, from the highest down."""
    for index in reversed(outdated):
        if _complete(groups[index], size):
            if budget <= 0:
                continue
            budget -= 1
        _stop(view, groups[index])


def _stop(view: View, group: Group) -> None:
    for pod in group.values():
        stop(view, pod)


def _fill(view: View, workers: Obj, index: int, group: Group, digest: str) -> None:
    """Make what a group lacks; start it anew when a part of it was lost."""
    size, template = _size(workers), workers["spec"]["leaderWorkerTemplate"]
    made = view.state_notes("groups", uid_of(workers))
    if group and made.get(str(index)) and _broken(template, group, size):
        if any(not going(p) for p in group.values()):
            text = f"A pod of group {index} was lost: its pods are made anew"
            view.event(workers, _NAME, "RecreateGroup", text)
            _put_off(view, made, index)
        _stop(view, group)
    if any(going(p) for p in group.values()) and _whole(template):
        return
    if not group:
        made[str(index)] = False
        if view.now < made.get(f"{index}/from", 0.0):
            view.wake(made[f"{index}/from"])
            return
    elif _complete(group, size):
        made.setdefault(f"{index}/ready", view.now)
    later = workers["spec"].get("startupPolicy") == "LeaderReady"
    for rank in range(size):
        if rank and later and not (0 in group and is_ready(group[0])):
            return
        if rank not in group and make(view, workers, _pod(workers, index, rank, digest), _NAME):
            return
    made[str(index)] = True


def _put_off(view: View, made: dict[str, Any], index: int) -> None:
    """Let a group that is lost again and again wait as a container that crashes does.

    Upstream makes it anew at once for ever; here that would be all that the emulator does. The
    first time is at once, and so is the next after ten minutes of being ready.
    """
    ready_at = made.pop(f"{index}/ready", None)
    if ready_at is not None and view.now - ready_at >= view.wall_s(_WELL_S):
        made[f"{index}/lost"] = 0
    lost = made[f"{index}/lost"] = made.get(f"{index}/lost", 0) + 1
    made[f"{index}/from"] = view.now + (pause_s(lost - 2, view.wall_s) if lost > 1 else 0.0)


def _whole(template: Mapping[str, Any]) -> bool:
    """Whether the loss of one pod means the loss of its group."""
    policy = template.get("restartPolicy", "RecreateGroupOnPodRestart")
    return policy in ("RecreateGroupOnPodRestart", "RecreateGroupAfterStart")


def _broken(template: Mapping[str, Any], group: Group, size: int) -> bool:
    if not _whole(template):
        return False
    if len(group) < size or any(going(p) or phase_of(p) == "Failed" for p in group.values()):
        return True
    return any(
        int(c.get("restartCount", 0))
        for p in group.values()
        for c in (p.get("status") or {}).get("containerStatuses") or ()
    )


def _pod(workers: Obj, index: int, rank: int, digest: str) -> Obj:
    template = workers["spec"]["leaderWorkerTemplate"]
    size, name, namespace = _size(workers), name_of(workers), namespace_of(workers)
    leader = f"{name}-{index}"
    source = template["workerTemplate"]
    if rank == 0 and template.get("leaderTemplate"):
        source = template["leaderTemplate"]
    key = hashlib.sha1(f"{namespace}/{leader}".encode(), usedforsecurity=False).hexdigest()
    labels = {
        f"{LWS}/name": name,
        HASH: digest,
        f"{LWS}/group-index": str(index),
        f"{LWS}/group-key": key,
        f"{LWS}/worker-index": str(rank),
    }
    annotations = {f"{LWS}/size": str(size)}
    if rank:
        annotations[f"{LWS}/leader-name"] = leader
    if topology := annotations_of(workers).get(EXCLUSIVE):
        annotations[EXCLUSIVE] = topology
    called = leader if rank == 0 else f"{leader}-{rank}"
    pod = pod_from(source, workers, called, labels, annotations)
    pod["spec"]["hostname"], pod["spec"]["subdomain"] = called, name
    led = template.get("leaderTemplate") or template["workerTemplate"]
    chips_in_leader = TPU in requests_of(led.get("spec") or {})
    _environment(pod, _variables(leader, name, namespace, size, rank, chips_in_leader))
    return pod


def _variables(
    leader: str, name: str, namespace: str, size: int, rank: int, chips_in_leader: bool
) -> tuple[dict[str, str], dict[str, str]]:
    """For every container, and for those with chips besides."""
    told = {
        "LWS_LEADER_ADDRESS": f"{leader}.{name}.{namespace}",
        "LWS_GROUP_SIZE": str(size),
        "LWS_WORKER_INDEX": str(rank),
    }
    hosts = [f"{leader}-{i}.{name}" for i in range(1, size)]
    if chips_in_leader:
        hosts.insert(0, f"{leader}.{name}")
    return told, {
        "TPU_WORKER_HOSTNAMES": ",".join(hosts),
        "TPU_WORKER_ID": str(rank if chips_in_leader else max(rank - 1, 0)),
        "TPU_NAME": leader,
    }


def _environment(pod: Obj, variables: tuple[dict[str, str], dict[str, str]]) -> None:
    for container in pod["spec"]["containers"]:
        chips = TPU in requests_of({"containers": [container]})
        told = {**variables[0], **(variables[1] if chips else {})}
        kept: list[Obj] = list(container.get("env") or ())
        there = {e["name"] for e in kept}
        kept += [{"name": k, "value": v} for k, v in told.items() if k not in there]
        container["env"] = kept


def _service(view: View, workers: Obj) -> None:
    """The headless Service by which the pods of a set find each other."""
    name, namespace = name_of(workers), namespace_of(workers)
    if view.get("Service", namespace, name) is not None:
        return
    selector = {f"{LWS}/name": name}
    made: Obj = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": selector,
            "ownerReferences": [owner_reference(workers)],
        },
        "spec": {
            "clusterIP": "None",
            "clusterIPs": ["None"],
            "internalTrafficPolicy": "Cluster",
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "publishNotReadyAddresses": True,
            "selector": selector,
            "sessionAffinity": "None",
            "type": "ClusterIP",
        },
        "status": {"loadBalancer": {}},
    }
    why = refusal(lambda: view.create(made))
    if why:
        view.once(workers, _NAME, "FailedCreate", f"Error creating: {why}", warning=True)


def _tell(view: View, workers: Obj, digest: str, rolling: bool) -> None:
    size, wanted = _size(workers), _replicas(workers)
    groups = {i: g for i, g in groups_of(view, workers).items() if 0 in g and not going(g[0])}
    ready = [i for i, g in groups.items() if _complete(g, size)]
    updated = [i for i, g in groups.items() if _current(g, digest)]
    done = len([i for i in ready if i < wanted and i in updated]) >= wanted
    news = [
        condition("Progressing", not done, "GroupsProgressing", "Replicas are progressing"),
        condition("Available", done, "AllGroupsReady", "All replicas are ready"),
    ]
    if rolling or any(c["type"] == "UpdateInProgress" for c in conditions_of(workers)):
        news.append(condition("UpdateInProgress", rolling, "GroupsUpdating",
                              "Rolling Upgrade is in progress"))  # fmt: skip
    before = {c["type"]: c["status"] for c in conditions_of(workers)}
    for new in news:
        if new["status"] == "True" and before.get(new["type"]) != "True":
            text = f"{new['message']}, with {len(ready)} groups ready of total {wanted} groups"
            view.event(workers, _NAME, new["reason"], text)
    status: Obj = {
        "observedGeneration": generation_of(workers),
        "replicas": len(groups),
        "readyReplicas": len(ready),
        "updatedReplicas": len(updated),
        "hpaPodSelector": f"{LWS}/name={name_of(workers)},{LWS}/worker-index=0",
        "conditions": with_conditions(conditions_of(workers), news, view.at),
    }
    view.put_status(workers, status)
