"""Handlers of google.cloud.recommender.v1.Recommender, for the project."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from google.cloud.recommender_v1.types import insight as insights
from google.cloud.recommender_v1.types import recommendation as recommendations
from google.cloud.recommender_v1.types import recommender_service as types

from emulator.apis.compute.model import state_of
from emulator.apis.recommender import model
from emulator.apis.recommender.messages import (
    insight_message,
    insight_name,
    recommendation_message,
    stamped,
)
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.errors import failed_precondition, invalid, not_found
from emulator.wire.etags import check_etag
from emulator.wire.filters import compile_filter
from emulator.wire.names import check_project, location_denied, parse_name
from emulator.wire.paging import page

_LOCATION: Final = "projects/{project}/locations/{location}"
_RECOMMENDER: Final = f"{_LOCATION}/recommenders/{{type}}"
_INSIGHT_TYPE: Final = f"{_LOCATION}/insightTypes/{{type}}"
_SERVICE: Final = "recommender.googleapis.com"
_KEY: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
_VALUE: Final = re.compile(r"[a-zA-Z0-9_./-]{0,255}")
_KINDS: Final = (model.ADDRESSES, model.CLUSTERS)
# State → those from which a recommendation may be given it.
_FROM: Final = {
    "DISMISSED": ("ACTIVE",),
    "CLAIMED": ("ACTIVE", "CLAIMED", "SUCCEEDED", "FAILED"),
    "SUCCEEDED": ("ACTIVE", "CLAIMED", "SUCCEEDED", "FAILED"),
    "FAILED": ("ACTIVE", "CLAIMED", "SUCCEEDED", "FAILED"),
}  # fmt: skip


class Recommender:
    """Recommendations and insights; configurations are not served."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._state = cloud.store(model.RecommenderState, model.RecommenderState)

    def list_recommendations(
        self, request: types.ListRecommendationsRequest, call: Call
    ) -> types.ListRecommendationsResponse:
        known = {k.recommender for k in _KINDS} | model.SILENT
        own = self._parent(_RECOMMENDER, request.parent, known)
        shown, token = self._page(request, self._recommendations(), own)
        return types.ListRecommendationsResponse(recommendations=shown, next_page_token=token)

    def get_recommendation(
        self, request: types.GetRecommendationRequest, call: Call
    ) -> recommendations.Recommendation:
        return self._find(request.name)

    def list_insights(
        self, request: types.ListInsightsRequest, call: Call
    ) -> types.ListInsightsResponse:
        known = {k.insight_type for k in _KINDS} | model.SILENT_INSIGHTS
        own = self._parent(_INSIGHT_TYPE, request.parent, known)
        shown, token = self._page(request, self._insights(), own)
        return types.ListInsightsResponse(insights=shown, next_page_token=token)

    def get_insight(self, request: types.GetInsightRequest, call: Call) -> insights.Insight:
        return self._find_insight(request.name)

    def mark_insight_accepted(
        self, request: types.MarkInsightAcceptedRequest, call: Call
    ) -> insights.Insight:
        _check_metadata(request.state_metadata)
        with self._cloud.lock:
            found = self._find_insight(request.name)
            _check_etag(request.etag, found.etag)
            if found.state_info.state.name != "ACTIVE":
                raise failed_precondition("Only insights in state ACTIVE can be accepted.")
            return self._accept(found, request.state_metadata)

    def mark_recommendation_dismissed(
        self, request: types.MarkRecommendationDismissedRequest, call: Call
    ) -> recommendations.Recommendation:
        return self._mark(request, "DISMISSED", {})

    def mark_recommendation_claimed(
        self, request: types.MarkRecommendationClaimedRequest, call: Call
    ) -> recommendations.Recommendation:
        return self._mark(request, "CLAIMED", request.state_metadata)

    def mark_recommendation_succeeded(
        self, request: types.MarkRecommendationSucceededRequest, call: Call
    ) -> recommendations.Recommendation:
        return self._mark(request, "SUCCEEDED", request.state_metadata)

    def mark_recommendation_failed(
        self, request: types.MarkRecommendationFailedRequest, call: Call
    ) -> recommendations.Recommendation:
        return self._mark(request, "FAILED", request.state_metadata)

    def _mark(self, request: Any, state: str, metadata: Mapping[str, str]) -> Any:
        _check_metadata(metadata)
        with self._cloud.lock:
            found = self._find(request.name)
            _check_etag(request.etag, found.etag)
            before = found.state_info.state.name
            if before not in _FROM[state]:
                raise failed_precondition(
                    f"A recommendation in state {before} cannot be marked {state}."
                )
            marked = recommendations.Recommendation(found)
            marked.state_info = recommendations.RecommendationStateInfo(
                state=state, state_metadata=dict(metadata)
            )
            self._state.recommendations[found.name] = stamped(marked)
            self._cloud.changed(f"recommender.recommendation.{state.lower()}", found.name, "")
            if state != "DISMISSED":
                for reference in marked.associated_insights:
                    self._accept(self._find_insight(reference.insight), {})
            return marked

    def _accept(self, insight: Any, metadata: Mapping[str, str]) -> Any:
        accepted = insights.Insight(insight)
        accepted.state_info = insights.InsightStateInfo(
            state="ACCEPTED", state_metadata=dict(metadata)
        )
        self._state.insights[insight.name] = stamped(accepted)
        self._cloud.changed("recommender.insight.accepted", insight.name, "")
        return accepted

    def _recommendations(self) -> dict[str, Any]:
        """By name: those of what is idle now, and those that were marked."""
        project = self._cloud.project
        now = [recommendation_message(project, f) for f in model.findings(self._cloud)]
        return {m.name: m for m in now} | self._state.recommendations

    def _insights(self) -> dict[str, Any]:
        project = self._cloud.project
        now = {insight_name(project, f): insight_message(project, f)
               for f in model.findings(self._cloud)}  # fmt: skip
        return now | self._state.insights

    def _find(self, name: str) -> Any:
        parts = self._parts(f"{_RECOMMENDER}/recommendations/{{id}}", name, "name")
        full = f"{_RECOMMENDER}/recommendations/{{id}}".format(**parts)
        with self._cloud.lock:
            found = self._recommendations().get(full)
        if found is None:
            raise not_found(name)
        return found

    def _find_insight(self, name: str) -> Any:
        parts = self._parts(f"{_INSIGHT_TYPE}/insights/{{id}}", name, "name")
        full = f"{_INSIGHT_TYPE}/insights/{{id}}".format(**parts)
        with self._cloud.lock:
            found = self._insights().get(full)
        if found is None:
            raise not_found(name)
        return found

    def _parent(self, template: str, parent: str, known: set[str]) -> str:
        """What the names of a parent's own begin with."""
        parts = self._parts(template, parent, "parent")
        compute = state_of(self._cloud)
        places = {"global", *compute.of("regions", "global"), *compute.of("zones", "global")}
        if parts["location"] not in places:
            raise location_denied(parts["location"], _SERVICE)
        if parts["type"] not in known:
            raise invalid(f"Invalid value: {parts['type']}", field="parent")
        return template.format(**parts)

    def _parts(self, template: str, name: str, field: str) -> dict[str, str]:
        parts = parse_name(template, name, field=field)
        check_project(self._cloud.project, parts["project"], service=_SERVICE)
        return {**parts, "project": self._cloud.project.number}

    def _page(self, request: Any, found: Mapping[str, Any], own: str) -> tuple[list[Any], str]:
        fits = compile_filter(request.filter)
        kept = [m for n, m in sorted(found.items())
                if n.startswith(f"{own}/") and fits(_searchable(m))]  # fmt: skip
        return page(
            kept, request.page_size, request.page_token,
            scope=f"{request.parent} {request.filter}", default=100, most=1000,
        )  # fmt: skip


def _searchable(message: Any) -> dict[str, Any]:
    state = {"state": message.state_info.state.name}
    return {
        "stateInfo": state, "state_info": state,
        "recommenderSubtype": getattr(message, "recommender_subtype", ""),
        "insightSubtype": getattr(message, "insight_subtype", ""),
        "targetResources": list(message.target_resources),
    }  # fmt: skip


def _check_etag(given: str, current: str) -> None:
    if not given:
        raise invalid("The etag must be set.", field="etag")
    check_etag(given, current)


def _check_metadata(metadata: Mapping[str, str]) -> None:
    for key, value in metadata.items():
        if not _KEY.fullmatch(key) or not _VALUE.fullmatch(value):
            raise invalid(f"Invalid state metadata '{key}'.", field="state_metadata")
