"""Shift traffic in two stages, each watched: the weights go back by themselves when it harms.

The taker's objectives of the newest minutes decide (`core.canary`); what was missed before does not
count. Not knowing at the end of a watch counts as harm. Monitoring's figures are up to four minutes
old, so a shorter watch would see nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from core.actions.tier_lookup import whole_number
from core.canary import Watch, bad_objectives
from core.errors import PlanError
from core.plans import Request, Step
from core.records import Snapshot
from core.slo import tier_slo
from core.traffic_effect import owner_of
from core.traffic_rules import WHOLE, Division, give, weights_of

VERB: Final = "canary.watch"
LEAST_MIN: Final = 5
MOST_MIN: Final = 240
_WATCHED: Final = "as long as the request says"


def is_canary(request: Request) -> bool:
    """Whether the request asks for stages."""
    return bool({"canary_percent", "watch_min"} & set(request.parameters))


def first_share(division: Division, request: Request, to: str, percent: int) -> dict[str, int]:
    """The weights of the first stage.

    Raises:
        PlanError: its share does not lie between the present one and the last one.
    """
    now = round(division.ratio(to) * WHOLE)
    canary = whole_number(request, "canary_percent", 1, WHOLE - 1)
    if not now < canary < percent:
        raise PlanError(
            f"A canary of {canary}% does not lie between {now}% now and {percent}%.",
            resource=request.tier,
            hint="Its share is above the present one and below the last one",
        )
    return dict(give(division.shares, to, canary))


def staged(division: Division, shares: Mapping[str, int]) -> Division:
    """The place as it is after a stage."""
    return replace(division, shares=tuple(shares.items()))


def watch_step(
    snapshot: Snapshot,
    request: Request,
    to: str,
    written: Step,
    back: Mapping[str, int],
) -> Step:
    """The step that watches the taker after weights were written, and writes them back on harm.

    Args:
        snapshot: tells what is missed already.
        request: names the minutes.
        to: backend service of the taker.
        written: the step that wrote the stage's weights.
        back: the weights that were there before all stages.

    Raises:
        PlanError: no tier owns the taker, or it has no objectives.
    """
    minutes = whole_number(request, "watch_min", LEAST_MIN, MOST_MIN)
    taker = owner_of(snapshot, to)
    if taker is None or not tier_slo(taker, None).objectives:
        raise PlanError(
            f"{to} cannot be watched: it belongs to no tier with objectives.",
            resource=to,
            hint="Set its tier's objectives in heartwood.toml, or shift without a canary",
        )
    load = (snapshot.loads or {}).get(taker.name)
    missed = bad_objectives(tier_slo(taker, load))
    now = {k: v for k, v in written.after.items() if isinstance(v, int)}
    watch = Watch(taker.name, minutes * 60, missed, written.resource, now, dict(back))
    told = f"; missed before and not counted: {', '.join(missed)}" if missed else ""
    return Step(
        verb=VERB,
        resource=written.resource,
        title=f"Watch {taker.title} for {minutes} min after: {written.title}",
        before={},
        after={"watched": taker.name, "minutes": minutes},
        expected_s=minutes * 60.0,
        expected_source=_WATCHED,
        command=f"# watch the objectives of {taker.name}{told}; on harm write the weights back",
        body=watch.text,
        undo="it changes nothing, unless the tier is harmed: then it writes the first weights back",
    )


def first_weights(division: Division, written: Step) -> dict[str, int]:
    """What stands at the place before all stages, for every service that a stage names."""
    before = weights_of(division)
    return {key: before.get(key, 0) for key in written.after}
