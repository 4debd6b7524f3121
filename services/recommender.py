"""Recommender: resources of the project that cost for nothing, as Google finds them once a day.

Recommendations are listed one recommender and place at a time, and each recommender has permissions
of its own: what one refuses does not hide what the others say. Marking them is not done from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from core.errors import OpsError
from core.recommendations import MONTH_S, Recommendation
from core.specs import TierSpec
from services import calls
from services.clients import Clients
from services.project import ProjectResources

_TIMEOUT_S: Final = 15.0
_GLOBAL: Final = "global"
# Recommender → the kinds of place that have it.
_PLACES: Final = {
    "google.compute.address.IdleResourceRecommender": (_GLOBAL, "region"),
    "google.compute.disk.IdleResourceRecommender": ("region", "zone"),
    "google.compute.image.IdleResourceRecommender": (_GLOBAL,),
    "google.compute.instance.IdleResourceRecommender": ("zone",),
    "google.container.DiagnosisRecommender": ("region", "zone"),
}
_STANDING: Final = ("ACTIVE", "CLAIMED")
_COST: Final = "COST"
# What is made from here of all that these recommenders speak of.
_MADE: Final = ("/addresses/", "/clusters/")


@dataclass(frozen=True, slots=True)
class Recommendations:
    """What was found; `problem`: a part could not be read."""

    found: tuple[Recommendation, ...]
    problem: OpsError | None


class Recommender:
    """Reads recommendations, and whose the resources are."""

    def __init__(self, clients: Clients) -> None:
        self._clients, self._resources = clients, ProjectResources(clients)

    def list_cost(self, specs: Sequence[TierSpec]) -> Recommendations:
        """Those that save cost and stand, in the tiers' places; what most is saved by comes first.

        What was deleted since Google looked is left out.

        Raises:
            OpsError: no recommender could be read.
        """
        answers = calls.in_parallel(self._try_list, self._parents(specs))
        errors = [answer for answer in answers if isinstance(answer, OpsError)]
        if errors and len(errors) == len(answers):
            raise errors[0]
        listed = [r for answer in answers if not isinstance(answer, OpsError) for r in answer]
        owned = calls.in_parallel(self._with_owner, listed)
        errors += [answer for _, answer in owned if answer is not None]
        there = [r for r, _ in owned if r is not None]
        return Recommendations(tuple(sorted(there, key=_order)), errors[0] if errors else None)

    def _parents(self, specs: Iterable[TierSpec]) -> list[str]:
        parts = [part for spec in specs for part in spec.parts]
        where = {place for p in parts for place in (p.location, p.cluster_location)}
        zones = {place for place in where if place.count("-") == 2}
        regions = {place for place in where if place.count("-") == 1}
        regions |= {zone.rsplit("-", 1)[0] for zone in zones} | {self._clients.target.region}
        places = {_GLOBAL: {_GLOBAL}, "region": regions, "zone": zones}
        return [
            f"projects/{self._clients.project}/locations/{place}/recommenders/{recommender}"
            for recommender, kinds in _PLACES.items()
            for kind in kinds
            for place in sorted(places[kind])
        ]

    def _client(self) -> Any:
        from google.cloud.recommender_v1 import RecommenderClient
        from google.cloud.recommender_v1.services.recommender.transports import (
            RecommenderGrpcTransport,
        )

        return self._clients.grpc("recommender", RecommenderClient, RecommenderGrpcTransport)

    def _try_list(self, parent: str) -> list[Recommendation] | OpsError:
        def read(timeout_s: float) -> list[Any]:
            client = self._client()
            return list(client.list_recommendations(parent=parent, timeout=timeout_s, retry=None))

        try:
            found = self._clients.call(read, resource=parent, timeout_s=_TIMEOUT_S)
            with calls.converting(parent):
                return list(standing(parent, found))
        except OpsError as error:
            return error

    def _with_owner(self, of: Recommendation) -> tuple[Recommendation | None, OpsError | None]:
        """The same with whose it is, and why that is not known; None: the resource is gone."""
        if not any(kind in of.resource for kind in _MADE):
            return of, None
        try:
            found = self._resources.get(of.resource)
        except OpsError as error:
            return replace(of, is_owner_known=False), error
        return (None if found is None else replace(of, owner=found.owner)), None


def _order(of: Recommendation) -> tuple[bool, float, str]:
    """What saves most first; what is not known last."""
    return of.saving_usd is None, -(of.saving_usd or 0.0), of.resource


def standing(parent: str, found: Iterable[Any]) -> Iterator[Recommendation]:
    """Those of one recommender (the library's messages) that save cost and are not settled."""
    for each in found:
        state, impact = str(each.state_info.state.name), each.primary_impact
        if state not in _STANDING or impact.category.name != _COST:
            continue
        refreshed: datetime | None = each.last_refresh_time or None
        yield Recommendation(
            name=str(each.name),
            resource=str(each.target_resources[0]),
            location=parent.split("/")[3],
            subtype=str(each.recommender_subtype),
            reason=str(each.description),
            state=state,
            saving_usd=_saving(impact),
            refreshed_at=refreshed,
        )


def _saving(impact: Any) -> float | None:
    """US dollars a month, never -0.0; Google tells a saving as a negative cost over a period."""
    projection = impact.cost_projection
    if not projection or projection.cost.currency_code != "USD" or not projection.duration:
        return None
    cost = float(projection.cost.units) + float(projection.cost.nanos) / 1e9
    return (0.0 - cost) * MONTH_S / float(projection.duration.total_seconds())
