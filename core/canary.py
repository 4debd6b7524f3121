"""Whether more requests harm the tier, or the deployed model, that gets them: what a canary is for.

Pure; the watching is `control/appliers/canary.py`'s, the steps `core/actions/canary.py`'s.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from core.histograms import Histogram, merge, quantiles_ms
from core.load import TierLoad
from core.records import Snapshot, Source
from core.slo import MINIMUM_EVENTS, Standing, TierSlo, tier_slo
from core.specs import TierSpec

STALE_S: Final = 120.0  # a load that was read longer ago says nothing of now
LEAST_REQUESTS: Final = MINIMUM_EVENTS  # of a model's own, to judge it by them
NEWEST_MIN: Final = 5  # minutes that are judged, or more where they hold too few requests


class Health(StrEnum):
    """How the watched tier stands."""

    FINE = "fine"
    HARMED = "harmed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Watch:
    """What is watched, and what is written back if it is harmed; the body of a step.

    Attributes:
        tier: that takes the requests.
        watch_s: seconds that it is watched.
        missed: objectives that it missed before, which therefore tell nothing.
        resource: the URL map, or the endpoint on Vertex.
        now, back: weights as they are while it is watched, and as they were before all.
        verb: that writes them there.
        model: id of the deployed model on Vertex that takes the requests; "": the tier alone does.
        least: requests of its own from which on it is judged by them.
    """

    tier: str
    watch_s: int
    missed: tuple[str, ...]
    resource: str
    now: dict[str, int]
    back: dict[str, int]
    verb: str
    model: str = ""
    least: int = LEAST_REQUESTS

    @property
    def text(self) -> str:
        """As JSON, the same for the same watch."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


def read_watch(text: str) -> Watch:
    """A watch from its JSON; ValueError, KeyError or TypeError when it is none."""
    found = json.loads(text)
    return Watch(
        tier=str(found["tier"]),
        watch_s=int(found["watch_s"]),
        missed=tuple(str(name) for name in found["missed"]),
        resource=str(found["resource"]),
        now={str(key): int(weight) for key, weight in found["now"].items()},
        back={str(key): int(weight) for key, weight in found["back"].items()},
        verb=str(found.get("verb", "compute.set_weights")),  # in plans made before Vertex's
        model=str(found.get("model", "")),
        least=int(found.get("least", LEAST_REQUESTS)),
    )


@dataclass(frozen=True, slots=True)
class ModelMinute:
    """What one deployed model answered in the minute that ends at `end`; `latency` in ms."""

    end: datetime
    requests: float
    failed: float
    latency: Histogram


def model_health(
    spec: TierSpec, watch: Watch, minutes: Sequence[ModelMinute]
) -> tuple[Health, str]:
    """How the new model stands by its own answers, held to its tier's objectives, and why.

    The newest five minutes count, and as many older ones as it takes to have enough requests.
    TTFT is no series of Vertex; a model is not judged by it.

    Args:
        minutes: the model's since it was given requests, oldest first.
    """
    judged: list[ModelMinute] = []
    requests = 0.0
    for minute in reversed(minutes):
        if requests >= watch.least and len(judged) >= NEWEST_MIN:
            break
        judged.append(minute)
        requests += minute.requests
    if requests < watch.least:
        return Health.UNKNOWN, (
            f"{watch.model} has answered {requests:.0f} of the {watch.least} requests that it takes"
            " to judge it by its own: judged by the tier"
        )
    slo = tier_slo(spec, _load(spec.name, judged, requests))
    known = [
        o for o in slo.objectives
        if o.standing is not Standing.UNKNOWN and o.name not in watch.missed
    ]  # fmt: skip
    bad = set(bad_objectives(slo)) - set(watch.missed)
    told = "; ".join(f"{o.name}: {o.sentence}" for o in known if not bad or o.name in bad)
    state = Health.HARMED if bad else Health.FINE if known else Health.UNKNOWN
    told = told or "none of its objectives can be judged"
    return state, f"{watch.model} by its own {requests:,.0f} requests: {told}"


def _load(tier: str, judged: Sequence[ModelMinute], requests: float) -> TierLoad:
    """Those minutes, newest first, as a load."""
    window_s = 60.0 * len(judged)
    return TierLoad(
        tier=tier,
        at=judged[0].end,
        window_s=window_s,
        requests_per_s=requests / window_s,
        error_ratio=sum(m.failed for m in judged) / requests,
        latency=quantiles_ms(merge(m.latency for m in judged)),
    )


def both(of_tier: tuple[Health, str], of_model: tuple[Health, str]) -> tuple[Health, str]:
    """The tier's and its new model's standing as one: either's harm is harm, one known is fine."""
    found = (of_model, of_tier)
    harm = [told for state, told in found if state is Health.HARMED]
    if harm:
        return Health.HARMED, "; ".join(harm)
    fine = any(state is Health.FINE for state, _ in found)
    return Health.FINE if fine else Health.UNKNOWN, "; ".join(told for _, told in found)


def bad_objectives(slo: TierSlo) -> tuple[str, ...]:
    """Objectives that the newest minutes alone miss; no burn over hours is waited for."""
    return tuple(
        o.name
        for o in slo.objectives
        if o.standing is Standing.MISSED
        or (o.name == "availability" and o.standing is Standing.AT_RISK)
    )


def health(
    snapshot: Snapshot, tier: str, missed: Collection[str], now: datetime
) -> tuple[Health, str]:
    """How the tier stands now, and why, in a sentence.

    Args:
        snapshot: the newest.
        tier: the watched one.
        missed: objectives that do not count, since they were missed before.
        now: UTC.
    """
    spec, load = snapshot.spec(tier), (snapshot.loads or {}).get(tier)
    source = snapshot.sources.get(Source.LOAD)
    age_s = None if source is None else source.age_s(now)
    if age_s is None or age_s > STALE_S or load is None:
        return Health.UNKNOWN, f"what {spec.title} carries is not known"
    slo = tier_slo(spec, load)
    bad = set(bad_objectives(slo)) - set(missed)
    if bad:
        told = "; ".join(f"{o.name}: {o.sentence}" for o in slo.objectives if o.name in bad)
        return Health.HARMED, f"{spec.title}: {told}"
    known = [o for o in slo.objectives if o.standing is not Standing.UNKNOWN]
    if not known and slo.objectives:
        return Health.UNKNOWN, f"{spec.title} has too few requests to judge"
    told = "; ".join(f"{o.name}: {o.sentence}" for o in known) or "it has no objectives"
    return Health.FINE, f"{spec.title}: {told}"
