"""The cluster autoscaler: node pools grow for pods that find no host, and lose hosts without pods.

As GKE's and Kubernetes' pages on it have it: a scan every ten seconds, pools between their bounds,
a slice of several hosts whole or not at all, ten minutes without need (and after the last growth)
before a host goes, a pool left alone for a while after it could not grow. What fits is the
scheduler's business; words are upstream's as far as they are known from logs that people posted.
Hosts leave from the end of a pool, and only when nothing but DaemonSets' pods is on them.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from emulator.apis.gke.bounds import bounds_of
from emulator.apis.gke.checks import check_quota, check_reserved
from emulator.apis.gke.lifecycle import lacking
from emulator.apis.gke.model import NodePool
from emulator.apis.gke.nodes import make_nodes
from emulator.apis.gke.repair import operation_id
from emulator.apis.kubernetes.controllers.contract import Obj
from emulator.apis.kubernetes.controllers.fitting import (
    POOL,
    Ask,
    Host,
    host_of,
    key_of_spec,
    room_of,
    unsuited,
)
from emulator.apis.kubernetes.controllers.fitting import lacking as lacks
from emulator.apis.kubernetes.controllers.objects import (
    annotations_of,
    conditions_of,
    controller_of,
    going,
    key_of,
    labels_of,
    name_of,
    uid_of,
)
from emulator.apis.kubernetes.controllers.placing import PodKey, plan
from emulator.apis.kubernetes.controllers.scheduler import ask_of, takes_room
from emulator.apis.kubernetes.controllers.view import View
from emulator.apis.kubernetes.nodes import NORMAL, node_draft
from emulator.scenario import TIER_LABEL
from emulator.wire.errors import ApiError

_NAME: Final = "cluster-autoscaler"
_KEPT: Final = "cluster-autoscaler.kubernetes.io/scale-down-disabled"
# Simulated seconds.
SCAN_S: Final = 10.0
UNNEEDED_S: Final = 600.0
BACK_OFF_S: Final = (300.0, 600.0, 1200.0, 1800.0)
_LEAST_S: Final = 0.1  # wall seconds between two scans; a back-off lasts for two at least
FULL, BACKED_OFF = "max node group size reached", "in backoff after failed scale-up"
BUSY: Final = "not ready for scale-up"


@dataclass(frozen=True, slots=True)
class _Scene:
    """What a scan sees: autoscaled pools, pods that wait, hosts without need.

    Attributes:
        arrived: pool → its hosts that have come up, whatever became of them since.
    """

    pools: tuple[NodePool, ...]
    waiting: tuple[Obj, ...]
    arrived: Mapping[str, int]
    idle: frozenset[str]

    def mark(self) -> object:
        """Equal as long as a scan would find the same."""
        pools = tuple((p.name, p.target, p.status, bounds_of(p)) for p in self.pools)
        waiting = tuple(uid_of(p) for p in self.waiting)
        return pools, waiting, tuple(sorted(self.arrived.items())), self.idle


def run(view: View) -> None:
    """Scan when something is new since the last scan, or a time has come."""
    pools = tuple(p for p in view.cluster.pools.values() if bounds_of(p)[1])
    if not pools:
        return
    period_s = max(view.wall_s(SCAN_S), _LEAST_S)
    scene, notes = _scene(view, pools), view.state_notes(_NAME, "scans")
    mark = scene.mark()
    if notes.get("mark") != mark:
        notes["mark"], notes["due"] = mark, (view.now // period_s + 1) * period_s
    if view.now < notes["due"]:
        if notes["due"] < math.inf:
            view.wake(notes["due"])
        return
    failures = view.state_notes(_NAME, "failures")
    before = dict(failures)
    grew = _grow(view, scene)
    ends = [at for _, at in failures.values() if at > view.now]
    if not grew:
        ends += _shrink(view, scene)
        if failures != before:  # another pool may grow instead: the next scan asks them
            ends.append(view.now + period_s)
    notes["due"] = min(ends, default=math.inf)
    if ends:
        view.wake(notes["due"])


def _scene(view: View, pools: tuple[NodePool, ...]) -> _Scene:
    names = {p.name for p in pools}
    taken = {
        str(pod["spec"]["nodeName"])
        for pod in view.all("Pod")
        if takes_room(pod) and (controller_of(pod) or {}).get("kind") != "DaemonSet"
    }
    starting = {
        node.name
        for pool in view.cluster.pools.values()
        for node in pool.nodes.values()
        if not node.ready
    }
    arrived: Counter[str] = Counter()
    idle: set[str] = set()
    for node in view.all("Node"):
        pool = labels_of(node).get(POOL, "")
        if name_of(node) not in starting:
            arrived[pool] += 1
        kept = name_of(node) in taken or annotations_of(node).get(_KEPT) == "true"
        if pool in names and not kept:
            idle.add(name_of(node))
    waiting = tuple(p for p in view.all("Pod") if _waits(p))
    return _Scene(pools, waiting, arrived, frozenset(idle))


def _waits(pod: Obj) -> bool:
    """Whether the scheduler found no node for a pod."""
    if pod["spec"].get("nodeName") or going(pod):
        return False
    return any(
        (c["type"], c["status"], c.get("reason")) == ("PodScheduled", "False", "Unschedulable")
        for c in conditions_of(pod)
    )


def _asks(view: View, pods: Sequence[Obj]) -> list[Ask]:
    """What pods ask for; a tier's own pods run on the tier's pools alone."""
    mine = {key_of(p) for p in view.mine("Pod")}
    found: list[Ask] = []
    for pod in pods:
        ask, tier = ask_of(pod), labels_of(pod).get(TIER_LABEL)
        if tier and key_of(pod) not in mine:
            selector = {**(ask.spec.get("nodeSelector") or {}), TIER_LABEL: tier}
            spec = {**ask.spec, "nodeSelector": selector}
            ask = replace(ask, spec=spec, key=key_of_spec(spec, ()))
        found.append(ask)
    return found


def _hosts(view: View, pool: NodePool, count: int) -> list[Host]:
    """Hosts that a pool would get, as the scheduler would see them."""
    at, project = view.now, view.cloud.project
    ordinals = range(pool.target, pool.target + count)
    return [
        host_of(node_draft(node, pool, project, view.cluster.version, NORMAL).make())
        for node in make_nodes(pool, ordinals, view.cloud.seed, at, at)
    ]


def _left(view: View, scene: _Scene) -> list[Ask]:
    """Those that will not find room on the hosts that are to come anyway."""
    coming = [
        host
        for pool in view.cluster.pools.values()
        for host in _hosts(view, pool, max(pool.target - scene.arrived.get(pool.name, 0), 0))
    ]
    asks = _asks(view, scene.waiting)
    placed = _packed(asks, coming)
    return [ask for ask in asks if (ask.namespace, ask.name) not in placed]


def _packed(asks: Sequence[Ask], hosts: Sequence[Host]) -> Mapping[PodKey, str]:
    """Which pods go to which of the hosts, all empty, when each is filled before the next."""
    return plan(asks, hosts, {h.name: room_of(h, ()) for h in hosts}, packed=True).placed


def _grow(view: View, scene: _Scene) -> bool:
    """Let one pool grow for the pods that wait; whether one does."""
    left = _left(view, scene)
    if not left:
        return False
    best: tuple[tuple[int, int, str], NodePool, int, set[tuple[str, str]]] | None = None
    for pool in scene.pools:
        if _held(view, pool):
            continue
        most = _room(pool) if pool.multi_host else min(_room(pool), len(left))
        hosts = _hosts(view, pool, most)
        placed = _packed(left, hosts)
        count = len(hosts) if pool.multi_host else len(set(placed.values()))
        rank = (-len(placed), count, pool.name)
        if placed and (best is None or rank < best[0]):
            best = rank, pool, pool.target + count, set(placed)
    pods = {key_of(p): p for p in scene.waiting}
    if best is None:
        for ask in left:
            told = f"pod didn't trigger scale-up: {_reasons(view, scene, ask)}"
            view.once(pods[ask.namespace, ask.name], _NAME, "NotTriggerScaleUp", told)
        return False
    _, pool, size, helped = best
    return _grown(view, pool, size, [pods[key] for key in sorted(helped)])


def _room(pool: NodePool) -> int:
    """Hosts that a pool may still get: to its most, or the whole slice where it has none."""
    if pool.multi_host:
        return 0 if pool.target else bounds_of(pool)[1]
    return max(bounds_of(pool)[1] - pool.target, 0)


def _key(pool: NodePool) -> str:
    """Tells a pool from one made again under its name."""
    return f"{pool.name}/{pool.created_at}"


def _held(view: View, pool: NodePool) -> str:
    """Why a pool cannot grow now; "" when it can."""
    if not _room(pool):
        return FULL
    if view.state_notes(_NAME, "failures").get(_key(pool), (0, 0.0))[1] > view.now:
        return BACKED_OFF
    return "" if pool.status == "RUNNING" else BUSY


def _reasons(view: View, scene: _Scene, ask: Ask) -> str:
    """Why none of the pools grows for a pod, with how many pools say so."""
    found: Counter[str] = Counter()
    for pool in scene.pools:
        (host,) = _hosts(view, pool, 1)
        held = unsuited(ask, host) or _held(view, pool)
        found.update([held] if held else lacks(ask, room_of(host, ())))
    return ", ".join(sorted(f"{count} {reason}" for reason, count in found.items()))


def _grown(view: View, pool: NodePool, size: int, pods: Sequence[Obj]) -> bool:
    """Begin to resize the pool for the pods, unless quota or stock do not suffice."""
    failures = view.state_notes(_NAME, "failures")
    if trouble := _trouble(view, pool, size):
        times = failures.get(_key(pool), (0, 0.0))[0]
        wait = BACK_OFF_S[min(times, len(BACK_OFF_S) - 1)]
        failures[_key(pool)] = times + 1, view.now + max(view.wall_s(wait), 2 * _LEAST_S)
        told = (
            f"Node scale up in zones {pool.zone} associated with this pod failed: {trouble}. "
            "Pod is at risk of not being scheduled."
        )
        for pod in pods:
            view.event(pod, _NAME, "FailedScaleUp", told, warning=True)
        return False
    failures.pop(_key(pool), None)
    group = (
        f"https://www.googleapis.com/compute/v1/projects/{view.cloud.project.id}/zones/{pool.zone}"
        f"/instanceGroups/{pool.group}"
    )
    sizes = f"{pool.target}->{size} (max: {bounds_of(pool)[1]})"
    told = f"pod triggered scale-up: [{{{group} {sizes}}}]"
    for pod in pods:
        view.event(pod, _NAME, "TriggeredScaleUp", told)
    view.state_notes(_NAME, "growth")["at"] = view.now
    _resize(view, pool, size)
    return True


def _trouble(view: View, pool: NodePool, size: int) -> str:
    """What forbids the size: GKE's words for quota and stock; "" when nothing does."""
    try:
        check_quota(view.cloud, view.cloud.fleet, pool, size)
    except ApiError:
        return "GCE quota exceeded"
    try:
        check_reserved(view.cloud, pool, size)
    except ApiError:
        return "GCE out of resources"
    return "GCE out of resources" if lacking(view.cloud.fleet, pool, size) else ""


def _resize(view: View, pool: NodePool, size: int) -> None:
    text = f"{view.cloud.seed}/scale/{pool.name}/{view.now}"
    digest = hashlib.blake2s(text.encode(), digest_size=16)
    name = operation_id(view.cluster.location, digest.hexdigest(), view.now)
    job = view.cloud.fleet.resize(pool, size, name)
    job.data |= {"type": "SET_NODE_POOL_SIZE", "location": view.cluster.location, "inner": True}


def _shrink(view: View, scene: _Scene) -> list[float]:
    """Take hosts without need away; when there may be more to take, in Unix seconds."""
    since: dict[str, float] = view.state_notes(_NAME, "unneeded")
    for name in [n for n in since if n not in scene.idle]:
        del since[name]
    for name in sorted(scene.idle):
        since.setdefault(name, view.now)
    wait_s = view.wall_s(UNNEEDED_S)
    grew_at = view.state_notes(_NAME, "growth").get("at", -math.inf)
    later: list[float] = []
    for pool in scene.pools:
        spare = _spare(pool, scene.idle)[: max(pool.target - bounds_of(pool)[0], 0)]
        if pool.multi_host and len(spare) < pool.target:
            continue
        times = [max(since[name], grew_at) + wait_s for name in spare]
        over = [n for n, at in zip(spare, times, strict=True) if at <= view.now]
        if pool.multi_host and len(over) < len(spare):
            over = []
        # Hosts leave from the end: one that has to stay keeps those before it.
        over = spare[: next((i for i, n in enumerate(spare) if n not in over), len(spare))]
        if over and pool.status == "RUNNING":
            for node in (n for n in view.all("Node") if name_of(n) in over):
                view.event(node, _NAME, "ScaleDown", "marked the node as toBeDeleted/unschedulable")
            _resize(view, pool, pool.target - len(over))
        else:
            later += [at for at in times if at > view.now]
    return later


def _spare(pool: NodePool, idle: frozenset[str]) -> list[str]:
    """The hosts at the pool's end that nobody needs, last first."""
    found: list[str] = []
    for ordinal in range(pool.target - 1, -1, -1):
        node = pool.nodes.get(ordinal)
        if node is None or not node.ready or node.name not in idle:
            break
        found.append(node.name)
    return found
