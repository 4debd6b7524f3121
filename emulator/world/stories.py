"""What stories do to the world: their disruptions as incidents, from the log of changes.

A story that begins, at a control call or with the emulator, is one change in the log, which holds
all of it; so the world goes on following from scenario, seed, time and log. Resources that a story
makes (extra node pools) are state and stand in emulator/storyteller.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from emulator.log import Change
from emulator.story import Disruption, Story
from emulator.world.incidents import Event
from emulator.world.noise import unit
from emulator.world.parts import Part, PartKind

STORY_BEGAN: Final = "story.began"
STORY_ENDED: Final = "story.ended"
# What the chips of a host show meanwhile.
_CHIPS: Final = {"lost": "absent", "preempted": "absent", "faulty": "absent"}
_UNPAID: Final = "preempted"
# A whole part is lost with what is added to it: slices beyond so many times its size are not.
_ROOM: Final = 2


@dataclass(frozen=True, slots=True)
class Running:
    """A story that was begun; `start` and `end` in Unix seconds, the end cut off by a later one."""

    scenario: str
    story: Story
    start: float
    end: float


def begun(changes: Iterable[Change]) -> list[Running]:
    """The stories that the log holds, oldest first.

    One that begins takes the place of the one before, from its own start on, be that in the past.
    """
    found: list[Running] = []
    for change in changes:
        if change.kind not in (STORY_BEGAN, STORY_ENDED):
            continue
        start = float(change.data["start"] or 0.0)
        found = [replace(r, end=min(r.end, start)) for r in found]
        if change.kind == STORY_BEGAN:
            story = Story.model_validate_json(str(change.data["story"]))
            end = start + 60.0 * story.lasts_min
            found.append(Running(str(change.data["scenario"]), story, start, end))
    return [r for r in found if r.end > r.start]


def rewrites(changes: Iterable[Change]) -> int:
    """How often a story that began in the past has changed what was already to be seen."""
    kinds = (STORY_BEGAN, STORY_ENDED)
    return sum(c.kind in kinds and float(c.data["start"] or 0.0) < c.at for c in changes)


def events(running: Running, parts: Sequence[Part], seed: int) -> list[Event]:
    """All that the story's disruptions do, as incidents of the parts that they hit."""
    found: list[Event] = []
    for number, disruption in enumerate(running.story.disruptions):
        start = running.start + 60.0 * disruption.after_min
        lasts = disruption.lasts_min
        end = running.end if lasts is None else min(running.end, start + 60.0 * lasts)
        if end <= start or disruption.pools is not None:
            continue
        for part in parts_hit(disruption, parts):
            whole = _whole(running, number, part, (start, end), seed)
            found.append(whole)
            found.extend(_slices(whole, disruption, part, seed))
    return found


def parts_hit(disruption: Disruption, parts: Iterable[Part]) -> list[Part]:
    """The parts that it hits: those of its tiers, or all that has slices in its zone."""
    if disruption.zone:
        # Vertex is regional: no zone of its own.
        zonal = (p for p in parts if p.kind is not PartKind.VERTEX)
        return [p for p in zonal if p.seed.zone == disruption.zone and p.slices]
    kind = PartKind(disruption.part)
    return [p for p in parts if p.kind is kind and p.tier in disruption.tiers]


def tiers_hit(story: Story, parts: Sequence[Part]) -> list[str]:
    """Tiers whose users or slices a story hits, in the fleet's order."""
    hit = {p.tier for d in story.disruptions for p in parts_hit(d, parts)}
    return list(dict.fromkeys(p.tier for p in parts if p.tier in hit))


def _whole(
    running: Running, number: int, part: Part, when: tuple[float, float], seed: int
) -> Event:
    """What concerns the whole part."""
    disruption = running.story.disruptions[number]
    hot = _order(part, seed, running.scenario, number)[0] if disruption.hot_share else None
    moves_to = f"{part.tier}/{PartKind(disruption.moves_to)}" if disruption.moves_to else ""
    return Event(
        id=f"{running.scenario}-{number}-{part.key}@{running.start:.0f}", kind=running.scenario,
        part=part.key, start=when[0], end=when[1], cause=running.story.cause,
        slow=disruption.slow, demand=disruption.demand, error_ratio=disruption.errors,
        ramp_s=60.0 * disruption.ramp_min, moves_to=moves_to, moves_share=disruption.moves_share,
        hot_slice=hot, hot_share=disruption.hot_share, cache_hits=disruption.cache_hits,
        loads_slower=disruption.loads_slower, quality_drop=disruption.quality_drop,
        revision=disruption.revision,
    )  # fmt: skip


def _slices(whole: Event, disruption: Disruption, part: Part, seed: int) -> Iterator[Event]:
    """One incident for each slice that is lost, in an order that follows from the seed."""
    if disruption.hosts is None:
        return
    count = disruption.slices or math.ceil(disruption.slices_share * part.slices)
    targets = _order(part, seed, whole.id.partition("@")[0])[:count]
    if disruption.slices_share == 1.0:
        targets += list(range(part.slices, _ROOM * part.slices))
    apart = 60.0 * disruption.over_min / max(len(targets) - 1, 1)
    back = disruption.back_after_min
    for place, target in enumerate(targets):
        start = whole.start + place * apart
        end = whole.end if back is None else min(whole.end, start + 60.0 * back)
        if start < end:
            yield Event(
                id=f"{whole.id}/{target}", kind=whole.kind, part=part.key, start=start, end=end,
                cause=whole.cause, target=target, slices_lost=1,
                billed=disruption.hosts != _UNPAID,
                chips=_CHIPS.get(disruption.hosts, "idle"), hosts=disruption.hosts,
                workers=disruption.workers, revision=disruption.revision,
            )  # fmt: skip


def _order(part: Part, seed: int, *name: str | int) -> list[int]:
    """The part's slices in an order that the seed decides."""
    return sorted(range(part.slices), key=lambda n: unit(seed, "story", *name, n))
