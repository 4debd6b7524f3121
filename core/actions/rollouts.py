"""What deploying a model and rolling it back share: the step that rolls a template out.

A TPU host is whole or not there, so there is nothing to surge onto: the workload's own strategy
replaces servers where they stand, and each takes requests as soon as it is ready. So traffic moves
to the new model host by host, without a step of its own.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any, Final

from core.actions.chain_steps import gke_part, site_of
from core.actions.context import PlanContext
from core.actions.tier_lookup import known, usual
from core.chain.pieces import kube_context
from core.cloud_resources import path_of
from core.errors import PlanError
from core.plans import Facts, Step
from core.records import Snapshot, Workload
from core.specs import PartKind, TierSpec
from core.traffic_effect import rate_of
from core.wording import plural
from core.workload_template import (
    fingerprint,
    marked,
    model_of,
    patch_of,
    replicas_of,
    template_of,
)

VERB: Final = "kube.roll_out"
FACTS: Final = "template"
PERMISSIONS: Final = {
    "Deployment": ("container.deployments.get", "container.deployments.update"),
    "LeaderWorkerSet": ("container.thirdPartyObjects.get", "container.thirdPartyObjects.update"),
}
_PATHS: Final = {
    "Deployment": "apis/apps/v1/namespaces/{}/deployments/{}",
    "LeaderWorkerSet": "apis/leaderworkerset.x-k8s.io/v1/namespaces/{}/leaderworkersets/{}",
}

Json = Mapping[str, Any]


def workload_name(snapshot: Snapshot, spec: TierSpec, context: PlanContext) -> str:
    """Full name of the object that runs the tier's servers.

    Raises:
        PlanError: there is none, there are several, or Kubernetes was not read.
    """
    if snapshot.workloads is None:
        raise PlanError("Kubernetes has not been read yet.", retryable=True)
    part = gke_part(spec)
    mine: list[Workload] = [
        w
        for w in snapshot.workloads
        if (w.namespace, w.cluster) == (spec.namespace, part.cluster) and w.kind in _PATHS
    ]
    if len(mine) != 1:
        raise PlanError(
            f"{len(mine)} workloads serve {spec.title} in {part.cluster}.",
            resource=spec.name,
            hint="One Deployment or LeaderWorkerSet in the tier's namespace; provision_tier makes"
            " it",
        )
    path = _PATHS[mine[0].kind].format(spec.namespace, mine[0].name)
    return site_of(part, context).object(path)


def workload_of(snapshot: Snapshot, spec: TierSpec, name: str) -> Workload:
    """What serves the tier, by the full name that `workload_name` gave."""
    return next(
        w
        for w in snapshot.workloads or ()
        if w.namespace == spec.namespace
        and f"/clusters/{w.cluster}/" in name
        and name.endswith(f"/{w.name}")
    )


def present_workload(context: PlanContext) -> Json:
    """The workload as it is.

    Raises:
        PlanError: it was not read.
    """
    return known(context.workload, "The tier's servers were not read.", "Plan it again")


def observe(name: str, template: Json) -> Facts:
    """What a roll-out rests on."""
    return {f"{FACTS}:{name}": fingerprint(template)}


def rollout_step(name: str, workload: Json, after: Json, title: str, context: PlanContext) -> Step:
    """The step that gives a workload another pod template and waits until all servers have it."""
    before = template_of(workload)
    revision = fingerprint(after)
    new = marked(after, revision)
    expected_s, source = usual(context, VERB)
    kind, short = str(workload["kind"]), str(workload["metadata"]["name"])
    space = str(workload["metadata"]["namespace"])
    patch = patch_of(kind, before, new)
    body = {"kind": kind, "before": before, "patch": patch}
    return Step(
        verb=VERB,
        resource=name,
        title=title,
        before={"model": model_of(before), "template": fingerprint(before)},
        after={"model": model_of(new), "template": revision},
        expected_s=expected_s,
        expected_source=source,
        command=(
            f"kubectl --context={_context(name)} patch {kind.lower()} {short} --namespace={space}"
            f" --type=merge --patch={shlex.quote(json.dumps(patch))}"
        ),
        key="roll-out",
        body=json.dumps(body, sort_keys=True, separators=(",", ":")),
        undo="roll_back puts the template back that was there before",
    )


def _context(name: str) -> str:
    """The cluster of an object, as kubectl's configuration calls it."""
    _, project, _, location, _, cluster, *_ = path_of(name).split("/")
    return kube_context(project, location, cluster)


def effect(snapshot: Snapshot, spec: TierSpec, workload: Json) -> tuple[str, ...]:
    """Sentences about who feels the roll-out."""
    replicas, pods = replicas_of(workload)
    rate = rate_of(snapshot, spec.name)
    told = "its requests (how many is not known)" if rate is None else f"{rate:,.1f} requests/s"
    of_pods = f" of {pods} pods{' each' if replicas > 1 else ''}" if pods > 1 else ""
    servers = f"{plural(replicas, 'server')}{of_pods} {'is' if replicas == 1 else 'are'}"
    sentences = [
        f"{servers} replaced in place,"
        f" as the workload's strategy says; meanwhile {told} go to those that are ready",
        "Each server takes requests with the new weights as soon as it is ready: for a while both"
        " models answer",
    ]
    if replicas == 1:
        sentences.append("It is the only one: nothing of it serves until the new one is ready")
    if any(p.kind is PartKind.VERTEX and p.slices for p in spec.parts):
        sentences.append(f"{spec.title}'s replicas on Vertex go on with the model that they have")
    return tuple(sentences)
