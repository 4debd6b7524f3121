"""Change how many replicas a model deployed on a Vertex endpoint has; one replica is one slice.

Vertex provisions the nodes. Dividing an endpoint's traffic is `shift_traffic`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from core import tpu
from core.actions.context import PlanContext
from core.actions.tier_lookup import spec_of, usual, whole_number, word
from core.actions.vertex_split import deployed_of, endpoint_of, endpoint_resource
from core.errors import PlanError
from core.fleet import assemble_fleet
from core.plans import CostChange, Facts, Plan, Request, Step
from core.pricing import chips_rate, tier_rate
from core.records import DeployedModel, Endpoint, Snapshot, Source
from core.specs import TierSpec
from core.traffic_rules import WHOLE
from core.wording import plural

ACTION: Final = "scale_replicas"
VERB: Final = "vertex.set_replicas"
FACTS: Final = "vertex replicas"
_MOST: Final = 256  # far above any quota for serving TPUs; the quota decides


def plan_scale_replicas(
    snapshot: Snapshot, request: Request, now: datetime, context: PlanContext
) -> Plan:
    """The plan that gives the deployed model `model` of `endpoint` at least `replicas`.

    The most replicas keep their distance to the least, so that autoscaling keeps its room.

    Raises:
        PlanError: there is no such model or endpoint, or it has so many replicas already.
    """
    spec = spec_of(snapshot, request)
    endpoint = endpoint_of(snapshot, spec, word(request, "endpoint"))
    model = deployed_of(endpoint, word(request, "model"))
    least = whole_number(request, "replicas", 1, _MOST)
    most = least + model.replicas_max - model.replicas_min
    delta = least - model.replicas_min
    if delta == 0:
        raise PlanError(
            f"{model.display_name} has {plural(least, 'replica')} already.", resource=spec.name
        )
    size = f"from {plural(model.replicas_min, 'replica')} to {least}"
    return Plan(
        request=request,
        title=f"Scale {model.display_name} on {endpoint.display_name} {size}",
        steps=(replicas_step(endpoint, model, least, most, context),),
        observed=observe((endpoint,)),
        cost=_cost(snapshot, spec, model, delta),
        affected=_affected(endpoint, model, least, most),
        irreversible=()
        if delta > 0
        else ("Vertex may have no chips free when replicas are added again",),
        permissions=("aiplatform.endpoints.get", "aiplatform.endpoints.update"),
        made_at=now,
        expires_at=now + timedelta(seconds=context.expires_after_s),
        slice_delta=delta,
        chip_delta=delta * _chips(spec, model),
        sources=(Source.VERTEX.value, Source.LOAD.value),
    )


def observe(endpoints: Iterable[Endpoint]) -> Facts:
    """The replicas of these endpoints' models; what a plan rests on."""
    return {
        f"{FACTS}: {e.location}/{e.id}/{m.id}": f"{m.replicas_min} to {m.replicas_max}"
        for e in endpoints
        for m in e.deployed
    }


def observe_again(observed: Facts, endpoints: Iterable[Endpoint]) -> Facts:
    """The same facts from a fresh read; a model that is gone has None."""
    fresh = observe(endpoints)
    return {key: fresh.get(key) for key in observed}


def _chips(spec: TierSpec, model: DeployedModel) -> int:
    return tpu.chips(model.topology or spec.topology)


def _cost(snapshot: Snapshot, spec: TierSpec, model: DeployedModel, delta: int) -> CostChange:
    now = tier_rate(assemble_fleet(snapshot).tier(spec.name), snapshot.prices)
    one = chips_rate(snapshot.prices, spec.generation or "", spec.zone, _chips(spec, model))
    source = f"{now.source}; a replica: {one.source}"
    if now.usd_per_hour is None or one.usd_per_hour is None:
        return CostChange(now.usd_per_hour, None, now.basis.value, source)
    after = now.usd_per_hour + delta * one.usd_per_hour
    return CostChange(now.usd_per_hour, after, now.basis.value, source)


def replicas_step(
    endpoint: Endpoint, model: DeployedModel, least: int, most: int, context: PlanContext
) -> Step:
    """The step that gives a deployed model at least and at most so many replicas."""
    expected_s, source = usual(context, VERB)
    return Step(
        verb=VERB,
        resource=f"{endpoint_resource(context.project, endpoint)}/deployedModels/{model.id}",
        title=f"Change the replicas of {model.display_name} ({model.id})",
        before={"least": model.replicas_min, "most": model.replicas_max},
        after={"least": least, "most": most},
        expected_s=expected_s,
        expected_source=source,
        command=(
            f"gcloud ai endpoints mutate-deployed-model {endpoint.id}"
            f" --deployed-model-id={model.id} --min-replica-count={least}"
            f" --max-replica-count={most} --region={endpoint.location} --project={context.project}"
        ),
        undo="write the numbers that were there before",
    )


def _affected(endpoint: Endpoint, model: DeployedModel, least: int, most: int) -> tuple[str, ...]:
    share = round(model.traffic_ratio * WHOLE)
    sentences = [
        f"{model.display_name} gets {share}% of the requests to {endpoint.display_name}; how many"
        " that is cannot be told: the tier's are not counted by endpoint",
        f"Capacity of the model: {model.replicas_min} → {plural(least, 'replica')}"
        f" ({(least - model.replicas_min) / max(1, model.replicas_min):+.0%}), by autoscaling up to"
        f" {most}",
    ]
    if least == 1 and share:
        sentences.append("No redundancy is left: one replica")
    if least < model.replicas_min:
        sentences.append("Vertex chooses which replicas go; requests on them may be cut off")
    return tuple(sentences)
