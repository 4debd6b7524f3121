"""Shift traffic in two stages, each watched: the weights go back by themselves when it harms.

The taker's objectives of the newest minutes decide (`core.canary`), and on Vertex the new model's
own answers beside them; what was missed before does not count. Not knowing at the end of a watch
counts as harm. Monitoring's figures are up to four minutes old: a shorter watch would see nothing.
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
from core.specs import TierSpec
from core.traffic_rules import WHOLE, Division, Shares, give, weights_of

VERB: Final = "canary.watch"
LEAST_MIN: Final = 5
MOST_MIN: Final = 240
_WATCHED: Final = "as long as the request says"


def is_canary(request: Request) -> bool:
    """Whether the request asks for stages."""
    return bool({"canary_percent", "watch_min"} & set(request.parameters))


def first_share(
    shares: Shares, now: int, request: Request, to: str, percent: int
) -> dict[str, int]:
    """The weights of the first stage.

    Args:
        shares: as they are.
        now: the taker's, in percent.
        request: names the share of the first stage.
        to: the taker.
        percent: its share in the end.

    Raises:
        PlanError: the first share does not lie between the present one and the last one.
    """
    canary = whole_number(request, "canary_percent", 1, WHOLE - 1)
    if not now < canary < percent:
        raise PlanError(
            f"A canary of {canary}% does not lie between {now}% now and {percent}%.",
            resource=request.tier,
            hint="Its share is above the present one and below the last one",
        )
    return dict(give(shares, to, canary))


def staged(division: Division, shares: Mapping[str, int]) -> Division:
    """The place as it is after a stage."""
    return replace(division, shares=tuple(shares.items()))


def watch_step(
    snapshot: Snapshot,
    request: Request,
    taker: TierSpec | None,
    written: Step,
    back: Mapping[str, int],
    model: str = "",
) -> Step:
    """The step that watches the taker after weights were written, and writes them back on harm.

    Args:
        snapshot: tells what is missed already.
        request: names the minutes.
        taker: the tier that takes the requests; None: no tier does.
        written: the step that wrote the stage's weights.
        back: the weights that were there before all stages.
        model: id of the deployed model that takes them, to be judged by its own answers as well.

    Raises:
        PlanError: there is no taker, or it has no objectives.
    """
    minutes = whole_number(request, "watch_min", LEAST_MIN, MOST_MIN)
    if taker is None or not tier_slo(taker, None).objectives:
        raise PlanError(
            "What takes the requests cannot be watched: it belongs to no tier with objectives.",
            resource=request.tier,
            hint="Set its tier's objectives in heartwood.toml, or shift without a canary",
        )
    load = (snapshot.loads or {}).get(taker.name)
    missed = bad_objectives(tier_slo(taker, load))
    now = {k: v for k, v in written.after.items() if isinstance(v, int)}
    watch = Watch(
        taker.name, minutes * 60, missed, written.resource, now, dict(back), written.verb, model
    )
    whom = f"{model} by its own answers, and {taker.name}" if model else taker.name
    told = f"; missed before and not counted: {', '.join(missed)}" if missed else ""
    return Step(
        verb=VERB,
        resource=written.resource,
        title=f"Watch {model or taker.title} for {minutes} min after: {written.title}",
        before={},
        after={"watched": model or taker.name, "minutes": minutes},
        expected_s=minutes * 60.0,
        expected_source=_WATCHED,
        command=f"# watch the objectives of {whom}{told}; on harm write the weights back",
        body=watch.text,
        undo="it changes nothing, unless it sees harm: then it writes the first weights back",
    )


def first_weights(division: Division, written: Step) -> dict[str, int]:
    """What stands at the place before all stages, for every service that a stage names."""
    before = weights_of(division)
    return {key: before.get(key, 0) for key in written.after}
