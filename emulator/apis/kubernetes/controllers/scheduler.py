"""kube-scheduler: assigns waiting pods to nodes; what fits stands in fitting.py and placing.py."""

from __future__ import annotations

from typing import Final

from emulator.apis.kubernetes.controllers.claims import (
    SELECTED_NODE,
    bound,
    claim_names,
    reach_of,
)
from emulator.apis.kubernetes.controllers.contract import Obj
from emulator.apis.kubernetes.controllers.fitting import (
    Ask,
    Host,
    Room,
    host_of,
    key_of_spec,
    ports_of,
    requests_of,
    room_of,
)
from emulator.apis.kubernetes.controllers.objects import (
    annotated,
    annotations_of,
    condition,
    conditions_of,
    copy_of,
    going,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
    with_conditions,
)
from emulator.apis.kubernetes.controllers.placing import Plan, PodKey, plan
from emulator.apis.kubernetes.controllers.pod_status import qos_of
from emulator.apis.kubernetes.controllers.view import Life, View

LWS: Final = "leaderworkerset.sigs.k8s.io"
_NAME: Final = "default-scheduler"


def run(view: View) -> None:
    """Place every pod that waits for a node."""
    waiting = sorted((p for p in view.mine("Pod") if _waits(p)), key=_age)
    if not waiting:
        return
    nodes = view.all("Node")
    bound = [p for p in view.all("Pod") if takes_room(p)]
    # Whom nothing new was offered since the last time need not be asked again.
    mark = _mark(waiting, nodes, bound)
    notes = view.state_notes(_NAME, "last")
    if mark and notes.get("mark") == mark:
        return
    notes["mark"] = mark
    hosts = [_host(view, node) for node in nodes]
    on: dict[str, list[Obj]] = {host.name: [] for host in hosts}
    pools: dict[str, str] = {}
    pool_of = {host.name: host.pool for host in hosts}
    for pod in bound:
        node = pod["spec"]["nodeName"]
        if node in on:
            on[node].append(pod)
            if group := group_of(pod):
                pools[group] = pool_of[node]
    rooms = {host.name: room_of(host, on[host.name]) for host in hosts}
    result = _planned(view, waiting, hosts, rooms, pools)
    for pod in waiting:
        place = result.placed.get(key_of(pod))
        if place:
            _bind(view, pod, place)
        else:
            _refuse(view, pod, result.refused[key_of(pod)])


def takes_room(pod: Obj) -> bool:
    """Whether a pod takes room on a node."""
    done = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return bool(pod["spec"].get("nodeName")) and not done


def _mark(waiting: list[Obj], nodes: list[Obj], bound: list[Obj]) -> object:
    """Equal as long as a plan would say the same; None where claims have a say, too."""
    if any(claim_names(p["spec"], name_of(p)) for p in waiting):
        return None
    return (
        tuple(uid_of(p) for p in waiting),
        tuple((name_of(n), n["metadata"].get("resourceVersion")) for n in nodes),
        frozenset(uid_of(p) for p in bound),
    )


def _host(view: View, node: Obj) -> Host:
    """Of a Node, read again only when it changed."""
    notes = view.state_notes(_NAME, "hosts")
    version, name = node["metadata"].get("resourceVersion"), name_of(node)
    if notes.get(name, (None,))[0] != version:
        notes[name] = (version, host_of(node))
    found: Host = notes[name][1]
    return found


def _planned(
    view: View,
    waiting: list[Obj],
    hosts: list[Host],
    rooms: dict[str, Room],
    pools: dict[str, str],
) -> Plan:
    asks: list[Ask] = []
    hopeless: dict[PodKey, str] = {}
    for pod in waiting:
        reach = reach_of(view, pod)
        if reach.problem:
            head = f"0/{len(hosts)} nodes are available: "
            after = f"{len(hosts)} Preemption is not helpful for scheduling"
            hopeless[key_of(pod)] = f"{head}{reach.problem}. preemption: {head}{after}."
        else:
            asks.append(ask_of(pod, reach.zones))
    found = plan(asks, hosts, rooms, pools)
    found.refused |= hopeless
    return found


def group_of(pod: Obj) -> str:
    """The LeaderWorkerSet's group that a pod is of, in its namespace; "" for none."""
    key = labels_of(pod).get(f"{LWS}/group-key")
    return f"{namespace_of(pod)}/{key}" if key else ""


def ask_of(pod: Obj, zones: frozenset[str] = frozenset()) -> Ask:
    """A pod as a plan sees it."""
    spec = pod["spec"]
    rank = labels_of(pod).get(f"{LWS}/worker-index", "0")
    size = annotations_of(pod).get(f"{LWS}/size", "1")
    return Ask(
        namespace_of(pod), name_of(pod), key_of_spec(spec, zones), spec, requests_of(spec),
        ports_of(spec), zones, group_of(pod), int(size) if size.isdecimal() else 1,
        int(rank) if rank.isdecimal() else 0,
    )  # fmt: skip


def _waits(pod: Obj) -> bool:
    spec = pod["spec"]
    if spec.get("nodeName") or going(pod) or spec.get("schedulingGates"):
        return False
    done = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return not done and spec.get("schedulerName", _NAME) == _NAME


def _age(pod: Obj) -> tuple[str, str, str]:
    return str(pod["metadata"].get("creationTimestamp", "")), *key_of(pod)


def _bind(view: View, pod: Obj, node: str) -> None:
    made = copy_of(pod)
    made["spec"]["nodeName"] = node
    status = made.setdefault("status", {"phase": "Pending"})
    scheduled = with_conditions(conditions_of(pod), [condition("PodScheduled", True)], view.at)
    status["conditions"] = scheduled
    status.setdefault("qosClass", qos_of(made["spec"]))
    view.put(made)
    view.notes.lives[uid_of(pod)] = Life(view.now)
    text = f"Successfully assigned {namespace_of(pod)}/{name_of(pod)} to {node}"
    view.event(pod, _NAME, "Scheduled", text)
    for name in claim_names(pod["spec"], name_of(pod)):
        claim = view.get("PersistentVolumeClaim", namespace_of(pod), name)
        if claim and not bound(claim) and SELECTED_NODE not in annotations_of(claim):
            view.put(annotated(claim, {SELECTED_NODE: node}))


def _refuse(view: View, pod: Obj, why: str) -> None:
    news = condition("PodScheduled", False, "Unschedulable", why)
    status = {
        **(pod.get("status") or {}),
        "phase": "Pending",
        "conditions": with_conditions(conditions_of(pod), [news], view.at),
    }
    status.setdefault("qosClass", qos_of(pod["spec"]))
    view.put_status(pod, status)
    view.once(pod, _NAME, "FailedScheduling", why, warning=True)
