"""A GKE cluster seen from inside: which objects follow from its pools, the clock and the world."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Final

from emulator.apis.compute.model import state_of
from emulator.apis.gke.nodes import make_nodes
from emulator.apis.gke.repair import GONE_S
from emulator.apis.kubernetes import gateway_api, installed, nodes, workloads
from emulator.apis.kubernetes.cluster_state import ClusterState
from emulator.apis.kubernetes.controllers import reconcile
from emulator.apis.kubernetes.drafts import Draft
from emulator.apis.kubernetes.events import event_drafts
from emulator.apis.kubernetes.happenings import HOST_STATES, KEPT_S, Hit, happenings
from emulator.apis.kubernetes.naming import namespace_of, pod_name, workload_of
from emulator.apis.kubernetes.overlays import Overlays
from emulator.apis.kubernetes.pods import (
    LOADING,
    READY,
    ServerPod,
    pod_draft,
    restarted,
    scaled,
    server_pod,
)
from emulator.apis.kubernetes.pods import hit as hit_pod
from emulator.apis.kubernetes.resources import DEPLOYMENTS, LEADER_WORKER_SETS, Kinds
from emulator.apis.kubernetes.store import Derived, ObjectStore
from emulator.world.incidents import FAULT_BEGAN, FAULT_ENDED
from emulator.world.incidents import Event as Incident
from emulator.world.stories import STORY_BEGAN, STORY_ENDED
from emulator.world.world import World

if TYPE_CHECKING:
    from emulator.apis.gke.model import Cluster, NodePool
    from emulator.apis.gke.nodes import GkeNode
    from emulator.context import Cloud
    from emulator.scenario import TierSeed

_LOOK_AGAIN_S: Final = 60.0  # events grow old without anybody's doing
_AGAIN_S: Final = 5.0  # wall seconds until controllers try again what failed as a whole
_LOOKS_AHEAD_S: Final = 6 * 3600.0  # for incidents that begin; at whole multiples
# Changes in the log that bring incidents about.
INCIDENT_CHANGES: Final = (FAULT_BEGAN, FAULT_ENDED, STORY_BEGAN, STORY_ENDED)


class ClusterObjects:
    """All objects of one cluster.

    Attributes:
        store: what there is, with versions. state: the same as controllers and writes see it.
        kinds: what may be there. cluster: GKE's view of it.
    """

    def __init__(self, cloud: Cloud, cluster: Cluster) -> None:
        self._cloud, self._cluster, self.cluster = cloud, cluster, cluster
        self._kinds, self._overlays = Kinds(), Overlays()
        self.state = ClusterState(cloud, cluster, self._kinds, self._overlays, reconcile)
        self._world = World(cloud.scenario, cloud.log, cloud.seed, cloud.clock.started_at)
        # Milliseconds leave room for versions of one process below those of the next.
        first = int(cloud.clock.booted_at * 1000)
        self.store = ObjectStore(
            self._derive, self._mark, cloud.clock.now, first, cloud.lock, self.state.settle
        )
        self.state.store = self.store
        self._armed = inf
        self._caused = 0
        self._converging = False
        self._read = 0
        self._answered: Hashable = None

    @property
    def kinds(self) -> Kinds:
        """What is served; the Gateway API's kinds follow the cluster's channel."""
        gateway_api.define(self._kinds, self._cluster)
        return self._kinds

    def answer(self) -> None:
        """After a change or an effect, at its instant: controllers answer it if it concerns them.

        Beside their own objects they go by the fleet, the world's incidents, and Compute's
        subnetworks and addresses.
        """
        if self.state.active and self._concern() != self._answered:
            self.converge()

    def converge(self) -> None:
        """Let controllers work, and have them called when they are to go on."""
        if self._converging or not self.state.active:
            return
        self._converging = True
        try:
            moves_at = self.store.converge()
        except Exception:
            self.store.forget()  # nothing of what failed counts as seen
            self._arm(self._cloud.clock.now() + _AGAIN_S)
            raise
        finally:
            self._converging = False
        self._answered = self._concern()
        self._arm(min(moves_at, self.state.due() or inf))

    def _arm(self, due: float) -> None:
        """Have the controllers called then, unless they are called earlier anyway."""
        now = self._cloud.clock.now()
        if due < self._armed or self._armed <= now:
            self._armed = due
            if due < inf:
                self._cloud.operations.at(max(due, now), self._wake)

    def _wake(self) -> None:
        if self._cloud.fleet.clusters.get(self.cluster.name) is self.cluster:
            self.converge()

    def _concern(self) -> Hashable:
        log = self._cloud.log
        if log.version != self._read:
            new = log.since(self._read)
            self._read += len(new)
            self._caused += sum(change.kind in INCIDENT_CHANGES for change in new)
        return self._cloud.fleet.version, self._caused, state_of(self._cloud).placings

    def _mark(self) -> Hashable:
        self._cloud.operations.settle()
        jobs = self._cloud.operations.of("container")
        fleet, log = self._cloud.fleet.version, self._cloud.log.version
        newest = jobs[-1].name if jobs else ""
        return fleet, log, newest, self._overlays.version, state_of(self._cloud).placings

    def _derive(self) -> Derived:
        cloud, cluster = self._cloud, self._cluster
        now, began = cloud.clock.now(), cluster.created_at
        with cloud.lock:
            hits = self._hits(now)
            states = dict(_states(hits, now))
            seeds = self._seeds()
            pods = {seed.name: self._pods(seed, states, now) for seed in seeds}
            drafts = [
                *self._nodes(states),
                *workloads.namespace_drafts(seeds, began),
                *workloads.service_drafts(seeds, began),
                *installed.storage_class_drafts(began),
                *installed.definition_drafts(began),
                *gateway_api.drafts(cluster),
                *workloads.system_drafts(self._hosts_without_chips(), began),
            ]
            for seed in seeds:
                drafts += self._workload(seed, pods[seed.name])
            for happening in happenings(cloud, cluster, hits, now):
                drafts += event_drafts(happening)
        due = [pod.next_at for found in pods.values() for pod, _ in found if pod.next_at]
        due += [at for hit in hits for at in _moments(hit) if at > now]
        shown = list(self._overlays.laid_over(drafts))
        ahead = (now // _LOOKS_AHEAD_S + 1) * _LOOKS_AHEAD_S
        coming = (e.start for e in self._world.incidents(now, ahead) if e.start > now)
        moves_at = min([ahead, *due, *coming])
        return Derived(shown, min(now + _LOOK_AGAIN_S, moves_at), moves_at)

    def _seeds(self) -> list[TierSeed]:
        """Tiers whose workload is here, unless a caller deleted it."""
        if self._cluster.name != self._cloud.project.cluster:
            return []
        return [s for s in self._cloud.scenario.tiers if workloads.runs_in_gke(s)]

    def _pools(self, tier: str) -> list[NodePool]:
        return [p for p in self._cluster.pools.values() if p.tier == tier]

    def _nodes(self, states: dict[str, _State]) -> Iterator[Draft]:
        cluster, project = self._cluster, self._cloud.project
        for pool in cluster.pools.values():
            for node in pool.nodes.values():
                if self._cloud.fleet.gone_since(node) is not None:
                    continue
                state, _ = states.get(node.name, _WELL)
                if state != nodes.PREEMPTED:
                    yield nodes.node_draft(node, pool, project, cluster.version, state)

    def _hosts_without_chips(self) -> list[GkeNode]:
        return [
            node
            for pool in self._cluster.pools.values()
            if not pool.generation
            for node in pool.nodes.values()
            if self._cloud.fleet.gone_since(node) is None
        ]

    def _pods(
        self, seed: TierSeed, states: dict[str, _State], now: float
    ) -> list[tuple[ServerPod, NodePool]]:
        """One per host that there is, and one per host that a pool was asked to have."""
        cloud = self._cloud
        found: list[tuple[ServerPod, NodePool]] = []
        restarts = self._restarts(seed.name, now)
        for pool in self._pools(seed.name):
            for node in pool.nodes.values():
                state, cause = states.get(node.name, _WELL)
                pod = self._server_pod(pool, node, state, now)
                again = restarts.get(node.slice_name)
                if pod.state == READY and again is not None and again[0] > pod.since:
                    pod = restarted(node, *again, cloud.clock, now)
                if cause is not None and nodes.is_ready(node, state):
                    pod = hit_pod(pod, state, cause.start, cause.revision, now)
                found.append((pod, pool))
            coming = [o for o in range(pool.target) if o not in pool.nodes]
            asked = self._asked_at(pool)
            for node in make_nodes(pool, coming, cloud.seed, asked, None):
                found.append((server_pod(node, nodes.NORMAL, False, cloud.clock, now), pool))
        return found

    def _server_pod(self, pool: NodePool, node: GkeNode, state: str, now: float) -> ServerPod:
        """The pod of a host; it began anew when a caller deleted it or a node of its slice."""
        clock, fleet = self._cloud.clock, self._cloud.fleet
        broken = fleet.broken_since(pool, node)
        if broken is not None:
            return self._without_node(node, state, broken + clock.wall_s(GONE_S), now)
        again = self._overlays.begins(namespace_of(node.tier), pod_name(node), node.name)
        back, anew = fleet.rejoined.get(node.slice_name, (0.0, 0.0))
        if back >= (node.ready_at or inf) and (again is None or again[0] < back):
            again = (anew, back)
        if again is None or node.ready_at is None or (again[1] or again[0]) < node.ready_at:
            return server_pod(node, state, True, clock, now, self._slower(node))
        at, start = again
        fresh = replace(node, created_at=(start or at) - 0.001, ready_at=start or at)
        here, slower = start is not None, self._slower(fresh)
        return replace(server_pod(fresh, state, here, clock, now, slower), anew=at)

    def _restarts(self, tier: str, now: float) -> dict[str, tuple[float, float]]:
        """Slices whose servers a story restarted so far: when last, and when they serve again."""
        begun = [e for e in self._world.restarts(tier) if e.start <= now]
        names = [hosts[0].slice_name for hosts in self._slices(tier)] if begun else []
        return {
            names[e.target]: (e.start, e.end)
            for e in begun
            if e.target is not None and e.target < len(names)
        }

    def _slower(self, node: GkeNode) -> float:
        """Factor on how long the server of a host that came later took to load its weights."""
        if node.ready_at is None or node.ready_at <= node.created_at:
            return 1.0
        events = self._world.incidents(node.ready_at, node.ready_at + 1)
        return max((e.loads_slower for e in events if e.tier == node.tier), default=1.0)

    def _without_node(self, node: GkeNode, state: str, at: float, now: float) -> ServerPod:
        """The pod of a slice one of whose nodes is gone; its workload makes it anew `at`."""
        clock, here = self._cloud.clock, self._cloud.fleet.gone_since(node) is None
        if now < at:
            return replace(server_pod(node, state, True, clock, now), next_at=at)
        fresh = replace(node, created_at=at - 0.001, ready_at=at if node.ready_at else None)
        pod = replace(server_pod(fresh, state, here, clock, now), anew=at)
        # It waits for the others of its group.
        return replace(pod, state=LOADING, next_at=None) if pod.state == READY else pod

    def _asked_at(self, pool: NodePool) -> float:
        """When the resize that runs on the pool began."""
        jobs = self._cloud.operations.of("container")
        times = [j.started_at for j in jobs if j.data.get("pool") == pool.name and not j.done]
        return max(times, default=pool.created_at)

    def _workload(self, seed: TierSeed, pods: Sequence[tuple[ServerPod, NodePool]]) -> list[Draft]:
        kind = LEADER_WORKER_SETS if seed.multi_host else DEPLOYMENTS
        key = (kind, namespace_of(seed.name), workload_of(seed.name))
        if key in self._overlays.hidden:
            return []
        project, began = self._cloud.project, self._cluster.created_at
        pools = self._pools(seed.name)
        slices = sum(1 for pool in pools if pool.target or pool.nodes)
        given = slices if seed.multi_host else sum(pool.target for pool in pools)
        wanted = self._overlays.replicas(key, given)
        if wanted != given:
            pods = scaled(pods, pools, seed, wanted, self._cloud.seed)
        drafts = [pod_draft(pod, pool, seed, project) for pod, pool in pods]
        only_pods = [pod for pod, _ in pods]
        drafts += workloads.workload_drafts(seed, wanted, only_pods, project, began)
        return drafts

    def _hits(self, now: float) -> list[Hit]:
        """Incidents of the last hour with the hosts that they hit."""
        found: list[Hit] = []
        slices: dict[str, list[list[GkeNode]]] = {}
        for incident in self._world.incidents(now - KEPT_S, now + 1):
            state = incident.hosts or HOST_STATES.get(incident.kind, nodes.NORMAL)
            tier = incident.tier
            if tier not in slices:
                slices[tier] = self._slices(tier)
            target = incident.target
            if state == nodes.NORMAL or target is None or target not in range(len(slices[tier])):
                found.append(Hit(incident, (), nodes.NORMAL))
                continue
            hosts = slices[tier][target]
            count = incident.workers or len(hosts)
            found.append(Hit(incident, tuple(hosts[:count]), state))
            if hosts[count:]:  # well themselves, and their servers wait for the others
                found.append(Hit(incident, tuple(hosts[count:]), nodes.LOADING_WEIGHTS))
        return found

    def _slices(self, tier: str) -> list[list[GkeNode]]:
        """The tier's slices in the world's order: pools in order, hosts by ordinal."""
        grouped: dict[str, list[GkeNode]] = {}
        for pool in self._pools(tier):
            for _, node in sorted(pool.nodes.items()):
                grouped.setdefault(node.slice_name, []).append(node)
        return list(grouped.values())


_State = tuple[str, Incident | None]
_WELL: Final[_State] = (nodes.NORMAL, None)


def _states(hits: Sequence[Hit], now: float) -> Iterator[tuple[str, _State]]:
    """The state of each host that an incident has hit now, by its name, with the incident."""
    for hit in hits:
        if hit.incident.start <= now < hit.incident.end:
            yield from ((host.name, (hit.state, hit.incident)) for host in hit.hosts)


def _moments(hit: Hit) -> tuple[float, ...]:
    """When the hosts of an incident change."""
    return (hit.incident.start, hit.incident.end) if hit.hosts else ()
