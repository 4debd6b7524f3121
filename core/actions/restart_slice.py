"""Restart a slice: its servers' pods are evicted, and come back on the same hosts.

The machines stay; a pod that is evicted first leaves its endpoints and may end its requests. The
pods come back by their Deployment or LeaderWorkerSet.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Final

from core.actions.context import PlanContext
from core.actions.tier_lookup import same_cost, spec_of, usual, word
from core.chain.pieces import kube_context
from core.errors import PlanError
from core.fleet import FleetSlice, FleetTier, assemble_fleet
from core.plans import Facts, Plan, Request, Step
from core.records import Pod, Snapshot, Source
from core.specs import PartKind, PartSpec, TierSpec
from core.traffic_effect import rate_of, serving_slices

ACTION: Final = "restart_slice"
VERB: Final = "kube.restart_pods"
FACTS: Final = "pods"
_GKE: Final = (PartKind.GKE_SINGLE_HOST, PartKind.GKE_MULTI_HOST)


@dataclass(frozen=True, slots=True)
class Restart:
    """Which pods end, and where new ones must come; the body of a step.

    `pods`: name → uid of those that end.
    """

    location: str
    cluster: str
    namespace: str
    hosts: tuple[str, ...]
    pods: Mapping[str, str]

    @property
    def text(self) -> str:
        """As JSON, the same for the same restart."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


def read_restart(text: str) -> Restart:
    """A restart from its JSON; ValueError, KeyError or TypeError when it is none."""
    found = json.loads(text)
    return Restart(
        str(found["location"]),
        str(found["cluster"]),
        str(found["namespace"]),
        tuple(str(h) for h in found["hosts"]),
        {str(name): str(uid) for name, uid in dict(found["pods"]).items()},
    )


def plan_restart_slice(
    snapshot: Snapshot, request: Request, now: datetime, context: PlanContext
) -> Plan:
    """The plan that restarts the servers of `slice` (parameter, a slice's name).

    Raises:
        PlanError: there is no such slice in GKE, or none of its pods is known.
    """
    spec = spec_of(snapshot, request)
    tier = assemble_fleet(snapshot).tier(spec.name)
    part, piece = _slice(tier, word(request, "slice"))
    pods = _pods(snapshot, spec, part, piece)
    restart = Restart(
        part.cluster_location,
        part.cluster,
        spec.namespace,
        tuple(h.name for h in piece.hosts),
        {p.name: p.uid for p in pods},
    )
    return Plan(
        request=request,
        title=f"Restart {piece.name} of {spec.title}: {_count(len(pods), 'pod')}",
        steps=(_step(restart, pods, piece, context),),
        observed=observe(restart, pods),
        cost=same_cost(snapshot, tier),
        affected=_affected(snapshot, tier, piece, pods),
        irreversible=("Requests that outlast the pods' grace period are cut off",),
        permissions=("container.pods.list", "container.pods.evict"),
        made_at=now,
        expires_at=now + timedelta(seconds=context.expires_after_s),
        slice_delta=-1,
        chip_delta=0,
        sources=(Source.GKE.value, Source.KUBE.value, Source.LOAD.value),
    )


def restartable(tier: FleetTier) -> tuple[str, ...]:
    """Names of the tier's slices whose hosts are known, those that do not run first."""
    found = [s for p in tier.parts if p.spec.kind in _GKE for s in p.slices if s.hosts]
    return tuple(s.name for s in sorted(found, key=lambda s: s.state.value == "running"))


def fact_name(location: str, cluster: str, namespace: str, host: str) -> str:
    """The name of the fact about the pods on a host; `read_fact_name` takes it apart."""
    return f"{FACTS}: {location}/{cluster}/{namespace}/{host}"


def read_fact_name(name: str) -> tuple[str, str, str, str]:
    """Location, cluster, namespace and host."""
    location, cluster, namespace, host = name.partition(": ")[2].split("/")
    return location, cluster, namespace, host


def observe(restart: Restart, pods: Iterable[Pod]) -> Facts:
    """Which pods are on each host, by uid."""
    there = tuple(pods)
    return {
        fact_name(restart.location, restart.cluster, restart.namespace, host): told_pods(
            p for p in there if p.host == host
        )
        for host in restart.hosts
    }


def told_pods(pods: Iterable[Pod]) -> str:
    """Pods with their uids, as a fact."""
    return ", ".join(sorted(f"{p.name} {p.uid}" for p in pods if not p.ending))


def _slice(tier: FleetTier, name: str) -> tuple[PartSpec, FleetSlice]:
    for part in tier.parts:
        for piece in part.slices:
            if piece.name == name and part.spec.kind in _GKE and piece.hosts:
                return part.spec, piece
    some = ", ".join(restartable(tier)[:5])
    raise PlanError(
        f"{tier.spec.title} has no slice {name!r} in GKE with hosts that are known.",
        resource=tier.name,
        hint=f"Slices: {some or 'none'}",
    )


def _pods(snapshot: Snapshot, spec: TierSpec, part: PartSpec, piece: FleetSlice) -> tuple[Pod, ...]:
    hosts = {h.name for h in piece.hosts}
    found = tuple(
        p
        for p in snapshot.pods or ()
        if p.host in hosts
        and p.namespace == spec.namespace
        and p.cluster == part.cluster
        and p.cluster_location in ("", part.cluster_location)
        and not p.ending
    )
    if found:
        return found
    raise PlanError(
        f"No pod of {spec.title} is known on {piece.name}.",
        resource=spec.name,
        retryable=snapshot.pods is None,
        hint=f"Pods of the namespace {spec.namespace} are looked for; see Connections",
    )


def _step(restart: Restart, pods: tuple[Pod, ...], piece: FleetSlice, context: PlanContext) -> Step:
    expected_s, source = usual(context, VERB)
    ready = sum(p.ready for p in pods)
    names = " ".join(sorted(restart.pods))
    cluster = kube_context(context.project, restart.location, restart.cluster)
    return Step(
        verb=VERB,
        resource=(
            f"projects/{context.project}/locations/{restart.location}/clusters/{restart.cluster}"
            f"/namespaces/{restart.namespace}"
        ),
        title=f"Evict the pods of {piece.name} and wait for new ones",
        before={"pods": f"{len(pods)}, {ready} ready"},
        after={"pods": f"{len(restart.hosts)} new, all ready"},
        expected_s=expected_s,
        expected_source=source,
        command=(f"kubectl --context={cluster} --namespace={restart.namespace} delete pod {names}"),
        body=restart.text,
    )


def _affected(
    snapshot: Snapshot, tier: FleetTier, piece: FleetSlice, pods: tuple[Pod, ...]
) -> tuple[str, ...]:
    ready, rate = serving_slices(tier), rate_of(snapshot, tier.name)
    down = sum(not p.ready for p in pods)
    unready = f", {down} of which not ready now" if down else ""
    sentences = [f"{_count(len(pods), 'pod')} end{'s' * (len(pods) == 1)}{unready}; the hosts stay"]
    if ready is None:
        sentences.append("How many slices are ready is not known")
    else:
        left = ready - (piece.state.value == "running")
        sentences.append(
            f"Ready slices of {tier.spec.title} meanwhile: {ready} → {left}"
            + (": no redundancy is left" if left <= 1 else "")
        )
        if rate is not None and ready:
            sentences.append(
                f"About {rate / ready:,.2f} requests/s ({1 / ready:.1%} of {tier.spec.title}'s)"
                " go to the other slices until it is back"
            )
    sentences.append(
        "The pods are evicted, which keeps disruption budgets; kubectl delete does not ask them"
    )
    return tuple(sentences)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
