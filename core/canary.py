"""Whether a tier that was given more requests is harmed by them: what a canary is watched for.

Pure; the watching is `control/appliers/canary.py`'s, the steps `core/actions/canary.py`'s.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from core.records import Snapshot, Source
from core.slo import Standing, TierSlo, tier_slo

STALE_S: Final = 120.0  # a load that was read longer ago says nothing of now


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
    """

    tier: str
    watch_s: int
    missed: tuple[str, ...]
    resource: str
    now: dict[str, int]
    back: dict[str, int]
    verb: str

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
    )


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
