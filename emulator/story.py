"""What a scenario's story holds: its truth, and the disruptions that it is made of.

A story is data alone: what its disruptions do to the world stands in world/stories.py. The same
records check the files of scenarios and carry a story in the log of changes.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Factor = Annotated[float, Field(ge=0.05, le=20.0)]
Slower = Annotated[float, Field(ge=1.0, le=20.0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Minutes = Annotated[float, Field(ge=0.0, le=10_080.0)]
Length = Annotated[float, Field(gt=0.0, le=10_080.0)]

# What the hosts of lost slices are meanwhile: silent since their zone is down; taken away; with
# chips that fail; empty for work on them; with servers that crash, or that still load weights.
Hosts = Literal["lost", "preempted", "faulty", "drained", "crashing", "loading"]


class Strict(BaseModel):
    """Known keys alone, and no value of another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ExtraPools(Strict):
    """GKE node pools that belong to no tier and come up one after another.

    `topology` is that of each pool, one slice; `every_min` from one to the next.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,20}$")]
    count: Annotated[int, Field(ge=1, le=40)]
    generation: str = "TPU7x"
    topology: str = "2x2x1"
    zone: str = "us-central1-c"
    every_min: Minutes = 10.0


class Disruption(Strict):
    """One general disruption; several at the same time add up.

    Attributes:
        tiers: whom it hits; or `zone`: all that runs on slices there.
        part: which part of them.
        after_min, lasts_min: from the story's start on; None: to its end.
        ramp_min: until factors and errors have their whole weight.
        demand: factor on arrivals.
        slow: factor on the engines' step and prompt times.
        errors: share of accepted requests that fail on top of the usual.
        slices, slices_share: how many slices serve nothing meanwhile.
        hosts: what the hosts of these are meanwhile.
        workers: hosts of each such slice that are; 0: all. Its others wait for them.
        over_min: the slices go one after another, the last so long after the first.
        back_after_min: each comes back after so long; None: when the disruption ends.
        moves_to, moves_share: arrivals that clients take to another part of the tier.
        hot_share: share of arrivals that one slice gets, whatever the others do.
        cache_hits: share of prompt tokens found in the prefix cache on top of the usual.
        loads_slower: factor on how long a server that starts takes to load its weights.
        quality_drop: share of all tasks that answers no longer solve, on top of the usual.
        revision: of the server, on the hosts that it hits.
        pools: use that nobody ordered for a tier.
    """

    tiers: list[str] = Field(default_factory=list[str])
    zone: str = ""
    part: Literal["gke", "vertex", "tpu_vm"] = "gke"
    after_min: Minutes = 0.0
    lasts_min: Length | None = None
    ramp_min: Minutes = 5.0
    demand: Factor = 1.0
    slow: Slower = 1.0
    errors: Share = 0.0
    slices: Annotated[int, Field(ge=0, le=10_000)] = 0
    slices_share: Share = 0.0
    hosts: Hosts | None = None
    workers: Annotated[int, Field(ge=0, le=64)] = 0
    over_min: Minutes = 0.0
    back_after_min: Length | None = None
    moves_to: Literal["gke", "vertex", "tpu_vm"] | None = None
    moves_share: Share = 0.0
    hot_share: Share = 0.0
    cache_hits: Share = 0.0
    loads_slower: Slower = 1.0
    quality_drop: Share = 0.0
    revision: str = ""
    pools: ExtraPools | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        whom = bool(self.tiers) + bool(self.zone) + bool(self.pools)
        if whom != 1:
            raise ValueError("needs exactly one of the keys tiers, zone and pools")
        if self.slices and self.slices_share:
            raise ValueError("slices and slices_share exclude each other")
        if bool(self.slices or self.slices_share) != bool(self.hosts):
            raise ValueError("hosts goes with slices or slices_share: both or neither")
        if bool(self.moves_to) != bool(self.moves_share):
            raise ValueError("moves_to goes with moves_share: both or neither")
        return self


class Sign(Strict):
    """What somebody should see while the story runs, and on which page of the console."""

    page: Literal["overview", "fleet", "traffic", "cost", "incidents"]
    sign: Annotated[str, Field(min_length=8)]


class Story(Strict):
    """What happens, with the truth about it; minutes from the story's start on.

    Attributes:
        cause: what brought it about, in a sentence.
        begins_after_min: after the start of an emulator that is started with it.
        lasts_min: how long it goes on.
        signs: what should be seen, and where.
    """

    cause: Annotated[str, Field(min_length=8)]
    begins_after_min: Minutes = 5.0
    lasts_min: Length
    signs: Annotated[list[Sign], Field(min_length=1)]
    disruptions: Annotated[list[Disruption], Field(min_length=1)]
