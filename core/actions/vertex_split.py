"""The traffic split of a Vertex endpoint, and what a plan to change it rests on.

A part of `shift_traffic`; the number of replicas is `scale_replicas`' work.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from core import ownership
from core.actions.canary import first_share, is_canary, watch_step
from core.actions.context import PlanContext
from core.actions.tier_lookup import same_cost, spec_of, usual, whole_number, word
from core.canary import LEAST_REQUESTS
from core.errors import PlanError
from core.fleet import assemble_fleet
from core.plans import Facts, Plan, Request, Step
from core.records import DeployedModel, Endpoint, Snapshot, Source
from core.specs import PartKind, TierSpec
from core.traffic_rules import WHOLE, give
from core.wording import plural

VERB: Final = "vertex.set_traffic_split"
FACTS: Final = "vertex endpoint"
_WATCHED: Final = (
    "The canary is judged by the new model's own answers, held to the tier's objectives, from"
    f" {LEAST_REQUESTS} of its requests on, and by the tier's over all its requests; with fewer,"
    " and in what Vertex does not measure by model (TTFT), by the tier's alone, where harm to a"
    " small share shows little"
)


def endpoints_of(snapshot: Snapshot, spec: TierSpec) -> tuple[Endpoint, ...]:
    """The tier's endpoints; () while none was read."""
    if snapshot.endpoints is None:
        return ()
    owned = ownership.assign(snapshot).endpoints
    return tuple(
        endpoint
        for index, part in enumerate(spec.parts)
        if part.kind is PartKind.VERTEX
        for endpoint in owned.get((spec.name, index), ())
    )


def endpoint_of(snapshot: Snapshot, spec: TierSpec, name: str) -> Endpoint:
    """The tier's endpoint of that id.

    Raises:
        PlanError: it has none, or Vertex was never read.
    """
    if snapshot.endpoints is None:
        raise PlanError(
            "The Vertex endpoints have not been read yet.",
            resource=spec.name,
            retryable=True,
            hint="See Connections for the state of Vertex",
        )
    there = endpoints_of(snapshot, spec)
    for endpoint in there:
        if endpoint.id == name:
            return endpoint
    told = ", ".join(f"{e.id} ({e.display_name})" for e in there)
    raise PlanError(
        f"{spec.title} has no endpoint {name!r}.",
        resource=spec.name,
        hint=f"Its endpoints: {told or 'none'}",
    )


def deployed_of(endpoint: Endpoint, name: str) -> DeployedModel:
    """The deployed model of that id.

    Raises:
        PlanError: it is not deployed there.
    """
    for model in endpoint.deployed:
        if model.id == name:
            return model
    told = ", ".join(f"{m.id} ({m.display_name})" for m in endpoint.deployed)
    raise PlanError(
        f"No model {name!r} is deployed on {endpoint.display_name}.",
        resource=endpoint.id,
        hint=f"Deployed: {told or 'nothing'}",
    )


def endpoint_resource(project: str, endpoint: Endpoint) -> str:
    """Full resource name of an endpoint."""
    return f"projects/{project}/locations/{endpoint.location}/endpoints/{endpoint.id}"


def observe(endpoints: Iterable[Endpoint]) -> Facts:
    """The facts of these endpoints that a plan of their traffic rests on."""
    return {
        f"{FACTS}: {e.location}/{e.id} traffic": ", ".join(
            f"{m.id} {round(m.traffic_ratio * WHOLE)}" for m in e.deployed
        )
        for e in endpoints
    }


def observe_again(observed: Facts, endpoints: Iterable[Endpoint]) -> Facts:
    """The same facts from a fresh read; an endpoint that is gone has None."""
    fresh = observe(endpoints)
    return {key: fresh.get(key) for key in observed}


def plan_split(snapshot: Snapshot, request: Request, now: datetime, context: PlanContext) -> Plan:
    """The plan that gives the deployed model `to` `percent` of its endpoint's requests.

    With a canary a smaller share comes first, and the tier's objectives are watched after each
    stage, as for a URL map.

    Raises:
        PlanError: as `plan_shift_traffic`.
    """
    spec = spec_of(snapshot, request)
    endpoint = endpoint_of(snapshot, spec, word(request, "endpoint"))
    to = deployed_of(endpoint, word(request, "to"))
    percent = whole_number(request, "percent", 0, WHOLE)
    before = {m.id: round(m.traffic_ratio * WHOLE) for m in endpoint.deployed}
    try:
        after = dict(give(tuple(before.items()), to.id, percent))
    except ValueError as error:
        raise PlanError(
            f"The traffic of {endpoint.display_name} cannot be split so: {error}.",
            resource=spec.name,
            hint="Deploy another model first, or give this one 100%",
        ) from error
    if after == before:
        raise PlanError(f"{to.display_name} gets {percent}% already.", resource=spec.name)
    return Plan(
        request=request,
        title=f"Send {percent}% of {endpoint.display_name} to {to.display_name} ({to.id})",
        steps=_steps(snapshot, request, endpoint, (before, after), context),
        observed=observe((endpoint,)),
        cost=same_cost(snapshot, assemble_fleet(snapshot).tier(spec.name)),
        affected=_affected(endpoint, before, after) + ((_WATCHED,) if is_canary(request) else ()),
        irreversible=(),
        permissions=("aiplatform.endpoints.get", "aiplatform.endpoints.update"),
        made_at=now,
        expires_at=now + timedelta(seconds=context.expires_after_s),
        slice_delta=0,
        chip_delta=0,
        takes_out=tuple(m for m, share in after.items() if share == 0 and before[m]),
        sources=(Source.VERTEX.value, Source.LOAD.value),
    )


def _steps(
    snapshot: Snapshot,
    request: Request,
    endpoint: Endpoint,
    split: tuple[dict[str, int], dict[str, int]],
    context: PlanContext,
) -> tuple[Step, ...]:
    """One, or those of a canary; `split`: before all, and in the end."""
    before, after = split
    if not is_canary(request):
        return (split_step(endpoint, before, after, context),)
    taker, to = spec_of(snapshot, request), word(request, "to")
    small = first_share(tuple(before.items()), before[to], request, to, after[to])
    first = split_step(endpoint, before, small, context, f" ({small[to]}%)")
    last = split_step(endpoint, small, after, context, f" ({after[to]}%)")
    return (
        first,
        watch_step(snapshot, request, taker, first, before, to),
        last,
        watch_step(snapshot, request, taker, last, before, to),
    )


def split_step(
    endpoint: Endpoint,
    before: dict[str, int],
    after: dict[str, int],
    context: PlanContext,
    stage: str = "",
) -> Step:
    """The step that writes an endpoint's split, in percent by the deployed model's id."""
    expected_s, source = usual(context, VERB)
    split = ",".join(f"{model}={share}" for model, share in after.items())
    return Step(
        verb=VERB,
        resource=endpoint_resource(context.project, endpoint),
        title=f"Write the traffic split of {endpoint.display_name}{stage}",
        before=before,
        after=after,
        expected_s=expected_s,
        expected_source=source,
        command=(
            f"gcloud ai endpoints update {endpoint.id} --region={endpoint.location}"
            f" --project={context.project} --traffic-split={split}"
        ),
        undo="write the split that was there before",
    )


def _replicas(model: DeployedModel) -> str:
    """1 replica, or 1 to 3 replicas."""
    least = f"{model.replicas_min} to " if model.replicas_min != model.replicas_max else ""
    return f"{least}{plural(model.replicas_max, 'replica')}"


def _affected(endpoint: Endpoint, before: dict[str, int], after: dict[str, int]) -> tuple[str, ...]:
    moved = sum(max(0, after[m] - before.get(m, 0)) for m in after)
    sentences = [
        f"{moved}% of the requests to {endpoint.display_name} go to another model than before;"
        " how many requests that is cannot be told: the tier's are not counted by endpoint",
    ]
    for model in endpoint.deployed:
        share, replicas = after[model.id], model.replicas_min
        if share != before[model.id]:
            sentences.append(
                f"{model.display_name} ({model.id}): {before[model.id]}% → {share}% on"
                f" {_replicas(model)}"
            )
        if share and replicas == 1 and model.replicas_max == 1:
            sentences.append(f"{model.display_name} has one replica: no redundancy")
    return tuple(sentences)
