"""The nodes' kubelets: pods' volumes, images and containers, their end, and loss of a node.

Where a pod stands follows from courses.py and pod_status.py. Nodes that somebody else made have a
kubelet of their own, or none: their pods are left alone as long as the node is ready.
"""

from __future__ import annotations

from typing import Final

from emulator.apis.gke.repair import GONE_S
from emulator.apis.kubernetes.controllers.claims import claim_names, unconfigured, unmounted
from emulator.apis.kubernetes.controllers.contract import Obj
from emulator.apis.kubernetes.controllers.objects import (
    condition,
    conditions_of,
    copy_of,
    going,
    holds,
    name_of,
    namespace_of,
    uid_of,
    with_conditions,
)
from emulator.apis.kubernetes.controllers.pod_status import bad_image, stage_of, status_of
from emulator.apis.kubernetes.controllers.view import Life, View
from emulator.apis.kubernetes.pods import PULL_S
from emulator.clock import rfc3339

# Simulated seconds: a disk to be attached, an image that is there already, a node that is lost.
ATTACH_S: Final = 10.0
START_S: Final = 1.0
EVICT_S: Final = 300.0
GRACE_S: Final = 30
_TOLD: Final = 200
_NAME: Final = "kubelet"


def run(view: View) -> None:
    """Bring every pod on a node to where it stands now."""
    nodes = {name_of(node): node for node in view.all("Node")}
    others = {name_of(node): holds(node, "Ready") for node in view.mine("Node")}
    leaving = {n.name for p in view.cluster.pools.values() for n in p.nodes.values() if n.deleting}
    pods = view.mine("Pod")
    for mark in [m for m in view.notes.times if m.startswith("gone/") and m[5:] in nodes]:
        view.forget(mark)
    for pod in pods:
        name = pod["spec"].get("nodeName")
        if not name:
            if going(pod):
                view.remove(pod)
        elif name not in nodes:
            _lose(view, pod, name)
        elif others.get(name):
            continue
        else:
            _tend(view, pod, nodes[name], name in leaving)
    lives = view.notes.lives
    if len(lives) > 2 * len(pods) + 16:
        there = {uid_of(pod) for pod in pods}
        for uid in [u for u in lives if u not in there]:
            del lives[uid]
            view.notes.addresses.pop(uid, None)


def stop(view: View, pod: Obj, grace_s: int | None = None) -> None:
    """Have a pod end: at once if it runs nowhere, else after its grace."""
    if going(pod):
        return
    done = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    if done or not pod["spec"].get("nodeName"):
        view.remove(pod)
        return
    if grace_s is None:
        grace_s = int(pod["spec"].get("terminationGracePeriodSeconds", GRACE_S))
    made = copy_of(pod)
    made["metadata"]["deletionTimestamp"] = rfc3339(view.now + grace_s)
    made["metadata"]["deletionGracePeriodSeconds"] = grace_s
    view.put(made)


def _lose(view: View, pod: Obj, node: str) -> None:
    """PodGC ends what was on a node that is gone; whoever made the pod makes another."""
    over = view.since(f"gone/{node}") + view.wall_s(GONE_S)
    if view.now < over:
        view.wake(over)
        return
    why = condition("DisruptionTarget", True, "DeletionByPodGC", "PodGC: node no longer exists")
    status = {**(pod.get("status") or {}), "phase": "Failed"}
    status["conditions"] = with_conditions(conditions_of(pod), [why], view.at)
    view.remove(view.put_status(pod, status))


def _tend(view: View, pod: Obj, node: Obj, leaving: bool) -> None:
    life = view.notes.lives.setdefault(uid_of(pod), Life(view.now))
    if going(pod):
        _kill(view, pod, life)
        return
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return
    if leaving:
        _told(view, pod, life, "drain", "Evicted", "Node is being removed from its pool")
        stop(view, pod)
        return
    if life.rests == _versions(pod, node) and (life.next_at is None or view.now < life.next_at):
        if life.next_at is not None:
            view.wake(life.next_at)
        return
    life.rests = None
    node_ready = holds(node, "Ready")
    if _evicted(view, pod, life, node_ready):
        return
    _live(view, pod, node, life, node_ready)


def _live(view: View, pod: Obj, node: Obj, life: Life, node_ready: bool) -> None:
    _mount(view, pod, node, life)
    blocked = ("", "")
    if life.mounted_at is not None:
        blocked = _blocked(view, pod)
        if blocked[0]:
            view.once(pod, _NAME, "Failed", f"Error: {blocked[1]}", warning=True)
        elif not blocked[0]:
            _pull(view, pod, node, life)
    stage = stage_of(pod, life, view.now, view.wall_s, blocked)
    pulled = [at for at in life.pulled_at.values() if at > view.now]
    life.next_at = min([*pulled, *([stage.next_at] if stage.next_at else [])], default=None)
    if stage.next_at is not None:
        view.wake(stage.next_at)
    for mark, reason, message, warning in stage.events:
        _told(view, pod, life, mark, reason, message, warning=warning)
    if len(life.told) > _TOLD:  # a container that crashes for ever
        again = ("made/", "began/", "backoff/")
        life.told = {m for m in life.told if not m.startswith(again)} | {e[0] for e in stage.events}
    host = _host_address(node)
    own = ""
    if life.mounted_at is not None:
        own = host if pod["spec"].get("hostNetwork") else _address(view, pod, node)
    made = view.put_status(pod, status_of(pod, stage, life, (host, own), node_ready, view.at))
    free = life.mounted_at is not None and not blocked[0]
    life.rests = _versions(made, node) if free else None


def _versions(pod: Obj, node: Obj) -> tuple[str, str]:
    pair = (o["metadata"].get("resourceVersion", "") for o in (pod, node))
    return next(pair), next(pair)


def _blocked(view: View, pod: Obj) -> tuple[str, str]:
    for container in (*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]):
        if bad_image(container):
            image = container.get("image", "")
            text = f'Failed to apply default image tag "{image}": couldn\'t parse image name'
            return "InvalidImageName", text
    return unconfigured(view, pod)


def _mount(view: View, pod: Obj, node: Obj, life: Life) -> None:
    """Note when the volumes are all there; say what is missing."""
    if life.mounted_at is not None:
        return
    reason, message, waits = unmounted(view, pod)
    if reason:
        view.once(pod, _NAME, reason, message, warning=True)
    if waits:
        return
    claims = claim_names(pod["spec"], name_of(pod))
    attached = view.since(f"attach/{uid_of(pod)}") + (view.wall_s(ATTACH_S) if claims else 0.0)
    if view.now < attached:
        view.wake(attached)
        return
    for claim in claims:
        found = view.get("PersistentVolumeClaim", namespace_of(pod), claim)
        volume = (found or {"spec": {}})["spec"].get("volumeName", "")
        text = f'AttachVolume.Attach succeeded for volume "{volume}"'
        _told(view, pod, life, f"attach/{claim}", "SuccessfulAttachVolume", text,
              source="attachdetach-controller")  # fmt: skip
    view.forget(f"attach/{uid_of(pod)}")
    life.mounted_at = attached


def _pull(view: View, pod: Obj, node: Obj, life: Life) -> None:
    """Begin to pull images, one after the other as a kubelet does; note when each is there."""
    cursor = life.mounted_at or view.now
    for container in (*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]):
        image, where = container["image"], (name_of(node), container["image"])
        if image not in life.pulled_at:
            there = view.notes.images.get(where)
            if there is None or container.get("imagePullPolicy") == "Always":
                text = f'Pulling image "{image}"'
                _told(view, pod, life, f"pulling/{image}", "Pulling", text)
                life.pulled_at[image] = cursor + view.wall_s(PULL_S)
                view.notes.images.setdefault(where, life.pulled_at[image])
            else:
                life.pulled_at[image] = max(cursor, there) + view.wall_s(START_S)
                text = f'Container image "{image}" already present on machine'
                _told(view, pod, life, f"pulled/{image}", "Pulled", text)
        cursor = max(cursor, life.pulled_at[image])
        if view.now >= life.pulled_at[image]:
            text = f'Successfully pulled image "{image}"'
            _told(view, pod, life, f"pulled/{image}", "Pulled", text)
        else:
            view.wake(life.pulled_at[image])


def _kill(view: View, pod: Obj, life: Life) -> None:
    if life.killed_at is None:
        life.killed_at = view.now
        for container in pod["spec"]["containers"]:
            name = container["name"]
            _told(view, pod, life, f"kill/{name}", "Killing", f"Stopping container {name}")
    grace = pod["metadata"].get("deletionGracePeriodSeconds", GRACE_S)
    over = life.killed_at + view.wall_s(float(grace))
    done = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    if done or view.now >= over:
        view.remove(pod)
        view.notes.lives.pop(uid_of(pod), None)
        view.notes.addresses.pop(uid_of(pod), None)
    else:
        view.wake(over)


def _evicted(view: View, pod: Obj, life: Life, node_ready: bool) -> bool:
    """A node that stays away loses its pods; until then they are unready."""
    if node_ready:
        life.unready_at = None
        return False
    if life.unready_at is None:
        life.unready_at = view.now
    over = life.unready_at + view.wall_s(EVICT_S)
    if view.now < over:
        view.wake(over)
        news = [condition("Ready", False)]
        status = {**(pod.get("status") or {})}
        status["conditions"] = with_conditions(conditions_of(pod), news, view.at)
        view.put_status(pod, status)
        return True
    text = f"Marking for deletion Pod {namespace_of(pod)}/{name_of(pod)}"
    view.event(pod, "taint-eviction-controller", "TaintManagerEviction", text)
    stop(view, pod)
    return True


def _told(
    view: View, pod: Obj, life: Life, mark: str, reason: str, message: str, *,
    warning: bool = False, source: str = _NAME,
) -> None:  # fmt: skip
    if mark not in life.told:
        life.told.add(mark)
        view.event(pod, source, reason, message, warning=warning)


def _host_address(node: Obj) -> str:
    addresses = (node.get("status") or {}).get("addresses") or ()
    return next((str(a["address"]) for a in addresses if a["type"] == "InternalIP"), "")


def _address(view: View, pod: Obj, node: Obj) -> str:
    """A pod's own address: its node has a block of 256 in 10.64.0.0/10."""
    notes, uid = view.notes, uid_of(pod)
    if uid not in notes.addresses:
        block = notes.blocks.setdefault(name_of(node), len(notes.blocks))
        prefix = f"10.{64 + (block >> 8) % 64}.{block & 255}."
        taken = {a for a in notes.addresses.values() if a.startswith(prefix)}
        number = next(n for n in range(2, 255) if f"{prefix}{n}" not in taken)
        notes.addresses[uid] = f"{prefix}{number}"
    return notes.addresses[uid]
