"""Findings in Google's messages (google.cloud.recommender.v1)."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from google.cloud.recommender_v1.types import insight as insights
from google.cloud.recommender_v1.types import recommendation as types
from google.protobuf.timestamp_pb2 import Timestamp

from emulator.apis.recommender.model import CLUSTERS, Finding
from emulator.scenario import Project
from emulator.wire.etags import canonical

_WORDS: Final = {"Address": "idle IP address", "Cluster": "idle cluster"}


def recommendation_name(project: Project, finding: Finding) -> str:
    """projects/NUMBER/locations/L/recommenders/R/recommendations/ID"""
    return (f"projects/{project.number}/locations/{finding.location}/recommenders/"
            f"{finding.kind.recommender}/recommendations/{finding.id}")  # fmt: skip


def insight_name(project: Project, finding: Finding) -> str:
    """projects/NUMBER/locations/L/insightTypes/T/insights/ID"""
    return (f"projects/{project.number}/locations/{finding.location}/insightTypes/"
            f"{finding.kind.insight_type}/insights/{finding.id}")  # fmt: skip


def recommendation_message(project: Project, finding: Finding) -> Any:
    """To delete what is idle; ACTIVE."""
    remove = types.Operation(
        action="remove", resource_type=finding.kind.resource_type, resource=finding.resource,
        path="/",
    )  # fmt: skip
    message = types.Recommendation(
        name=recommendation_name(project, finding),
        description=f"Save cost by deleting {_thing(finding)} '{finding.name}'.",
        recommender_subtype=finding.kind.subtype,
        last_refresh_time=_timestamp(finding.refreshed_at),
        primary_impact=types.Impact(category="COST"),  # without a figure (model.py)
        content=types.RecommendationContent(
            operation_groups=[types.OperationGroup(operations=[remove])],
            overview={"resourceName": finding.resource, "location": finding.location},
        ),
        state_info=types.RecommendationStateInfo(state="ACTIVE"),
        associated_insights=[
            types.Recommendation.InsightReference(insight=insight_name(project, finding))
        ],
        target_resources=[finding.resource],
    )
    return stamped(message)


def insight_message(project: Project, finding: Finding) -> Any:
    """That it is idle; ACTIVE."""
    message = insights.Insight(
        name=insight_name(project, finding),
        description=f"There is an {_thing(finding)}: '{finding.name}'.",
        target_resources=[finding.resource],
        insight_subtype=finding.kind.insight_subtype,
        content={"resourceName": finding.resource},
        last_refresh_time=_timestamp(finding.refreshed_at),
        observation_period={"seconds": finding.kind.observed_days * 86_400},
        state_info=insights.InsightStateInfo(state="ACTIVE"),
        category="COST",
        associated_recommendations=[
            insights.Insight.RecommendationReference(
                recommendation=recommendation_name(project, finding)
            )
        ],
    )
    return stamped(message)


def stamped(message: Any) -> Any:
    """The message with the etag of what it says, the time of the last look left out."""
    plain = type(message)(message)
    plain.etag = ""
    type(message).pb(plain).ClearField("last_refresh_time")
    message.etag = f'"{hashlib.blake2s(canonical(plain).encode(), digest_size=8).hexdigest()}"'
    return message


def _thing(finding: Finding) -> str:
    return _WORDS["Cluster" if finding.kind is CLUSTERS else "Address"]


def _timestamp(at: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromNanoseconds(int(at * 1e9))
    return stamp
