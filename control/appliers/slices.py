"""The verb of a slice's servers: evict their pods and wait until new ones are ready."""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import Final, Protocol

from control.appliers.verbs import Product, Report, look_until
from core.actions import restart_slice
from core.actions.restart_slice import Restart, read_restart
from core.errors import Conflict, RateLimited
from core.plans import Facts, Step
from core.records import Pod, Snapshot
from services.clients import Clients
from services.kube_writes import KubeWrites

_POLL_S: Final = 2.0
_DEADLINE_S: Final = 3600.0  # a large model takes long to load; then the step has failed


class PodPort(Protocol):
    """What of `KubeWrites` is needed."""

    def list_pods(
        self, location: str, cluster: str, namespace: str, hosts: Collection[str]
    ) -> tuple[Pod, ...]:
        """The namespace's pods on these nodes."""
        ...

    def apply_eviction(
        self, location: str, cluster: str, namespace: str, name: str, uid: str
    ) -> bool:
        """Evict a pod; False: it is gone already."""
        ...


class RestartPods:
    """kube.restart_pods: the step's body names pods by uid, so that a second start does nothing."""

    def __init__(self, pods: PodPort, poll_s: float = _POLL_S) -> None:
        self._pods, self._poll_s = pods, poll_s

    def start(self, step: Step) -> str:
        """Evict those that have not ended; the operation is the body, for `wait`."""
        restart = _restart(step.body)
        old, fresh = self._look(restart)
        if not old and len(fresh) == len(restart.hosts):
            return ""
        self._evict(restart, old)
        return step.body

    def wait(self, operation: str, report: Report, stop: threading.Event) -> None:
        """Until every host has a new pod that is ready; evicts what a budget held back."""
        if not operation:
            return
        restart = _restart(operation)

        def look() -> tuple[bool, str]:
            old, fresh = self._look(restart)
            held = self._evict(restart, old)
            sentence = f"{len(fresh)} of {len(restart.hosts)} hosts have a new, ready pod"
            if held:
                sentence += f"; {held} may not end yet by a disruption budget"
            return not old and len(fresh) == len(restart.hosts), sentence

        look_until(look, "the pods", report, stop, _DEADLINE_S, self._poll_s)

    def verify(self, step: Step, stop: threading.Event) -> str:
        """No old pod is there, and every host has a ready one."""
        restart = _restart(step.body)
        old, fresh = self._look(restart)
        told = f"{len(fresh)} of {len(restart.hosts)} hosts have a new, ready pod"
        if old or len(fresh) < len(restart.hosts):
            raise Conflict(f"{told}; {len(old)} old ones are there", resource=step.resource)
        return told

    def _look(self, restart: Restart) -> tuple[list[Pod], set[str]]:
        """Old pods that are there, and the hosts that have a new one which is ready."""
        uids = set(restart.pods.values())
        found = self._pods.list_pods(
            restart.location, restart.cluster, restart.namespace, restart.hosts
        )
        old = [p for p in found if p.uid in uids]
        return old, {p.host for p in found if p.uid not in uids and p.ready and not p.ending}

    def _evict(self, restart: Restart, old: Collection[Pod]) -> int:
        """How many of them a disruption budget held back."""
        held = 0
        for pod in old:
            if pod.ending:
                continue
            try:
                self._pods.apply_eviction(
                    restart.location, restart.cluster, restart.namespace, pod.name, pod.uid
                )
            except RateLimited:
                held += 1
        return held


def _restart(body: str) -> Restart:
    try:
        return read_restart(body)
    except (ValueError, KeyError, TypeError) as error:
        raise Conflict(f"the step names no pods: {error}") from error


def product(pods: PodPort) -> Product:
    """The verb and the facts of pods."""

    def observe(names: Collection[str], snapshot: Snapshot) -> tuple[Snapshot, Facts]:
        facts: dict[str, str | int | float | bool | None] = {}
        groups: dict[tuple[str, str, str], set[str]] = {}
        for name in names:
            location, cluster, namespace, host = restart_slice.read_fact_name(name)
            groups.setdefault((location, cluster, namespace), set()).add(host)
        for (location, cluster, namespace), hosts in groups.items():
            found = pods.list_pods(location, cluster, namespace, hosts)
            restart = Restart(location, cluster, namespace, tuple(hosts), {})
            facts.update(restart_slice.observe(restart, found))
        return snapshot, facts

    return Product({restart_slice.VERB: RestartPods(pods)}, {restart_slice.FACTS: observe})


def build(clients: Clients) -> Product:
    """The same of that cloud."""
    return product(KubeWrites(clients))
