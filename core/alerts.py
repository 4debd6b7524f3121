"""Alerts that Cloud Monitoring's policies have open, and whose tier each is about.

Reading them is `services/alerts.py`'s; what was acknowledged is our own record (`control/`), since
the API knows no acknowledgement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from core.specs import TIER_LABEL, TierSpec

_NAMESPACE: Final = ("namespace", "namespace_name")
_SERVICE: Final = ("backend_target_name", "backend_service_name")
_NAMED: Final = ("node_pool_name", "node_name", "deployed_model_id", "endpoint_id", "node_id")


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert that has not ended.

    Attributes:
        name: full name, projects/P/alerts/A.
        title: the policy's name as people see it.
        policy: the policy's full name; "" when it is gone.
        severity: CRITICAL, ERROR or WARNING; "" when the policy has none.
        tier: whose it is; "": it concerns all, or cannot be told.
        labels: of what it is about, as Monitoring names them.
        opened_at: UTC; None: not told.
    """

    name: str
    title: str
    policy: str
    severity: str
    tier: str
    labels: Mapping[str, str]
    opened_at: datetime | None


def various_first(alerts: Iterable[Alert]) -> tuple[Alert, ...]:
    """The first of each policy and tier before the others, so that many of one kind hide none."""
    seen: set[tuple[str, str]] = set()
    first: list[Alert] = []
    others: list[Alert] = []
    for alert in alerts:
        kind = (alert.policy or alert.title, alert.tier)
        (others if kind in seen else first).append(alert)
        seen.add(kind)
    return (*first, *others)


def tier_of(specs: Iterable[TierSpec], policy: Mapping[str, str], labels: Mapping[str, str]) -> str:
    """The tier that an alert is about; "" when neither label nor name tells.

    Args:
        specs: the tiers.
        policy: user labels of the policy.
        labels: of the metric, the resource and its metadata together.
    """
    tiers = tuple(specs)
    said = policy.get(TIER_LABEL) or labels.get(TIER_LABEL)
    if said:
        return said if any(spec.name == said for spec in tiers) else ""
    for spec in tiers:
        if spec.namespace and any(labels.get(key) == spec.namespace for key in _NAMESPACE):
            return spec.name
        if spec.backend_service and any(labels.get(k) == spec.backend_service for k in _SERVICE):
            return spec.name
        prefixes = tuple(part.name_prefix for part in spec.parts if part.name_prefix)
        if prefixes and any(labels.get(key, "").startswith(prefixes) for key in _NAMED):
            return spec.name
    return ""
