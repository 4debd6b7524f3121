"""Steps and facts of plans that make or delete pieces of the chain (`core/chain/`)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from typing import Final

from core.actions.context import PlanContext
from core.actions.tier_lookup import known
from core.chain import Chain, Piece, Site
from core.cloud_resources import PLATFORM, CloudResource
from core.errors import PlanError
from core.plans import Plan, Step
from core.specs import PartKind, PartSpec, TierSpec
from core.wording import plural

CREATE: Final = "resource.create"
DELETE: Final = "resource.delete"
ADD_PATH: Final = "url_map.add_path"  # the same of a path that leads to a tier
TAKE_OUT_PATH: Final = "url_map.take_out_path"
FACT: Final = "resource"  # "resource:FULL NAME" → its owner, "" when it is not ours, None: absent
DEFAULT_HOST: Final = "inference.example.com"  # reserved for examples: a request names the real one

_GKE: Final = (PartKind.GKE_SINGLE_HOST, PartKind.GKE_MULTI_HOST)
# What cannot say whose it is: names of these hold a role, a path, or follow from another resource.
_PATH: Final = re.compile(r".*/backendServices/[^/]+/urlMaps/[^/]+")
_UNMARKED: Final = ("//cloudresourcemanager.", "//serviceusage.", "/networkEndpoint")

Present = Mapping[str, CloudResource]


def gke_part(spec: TierSpec) -> PartSpec:
    """The tier's part on GKE.

    Raises:
        PlanError: it has none.
    """
    for part in spec.parts:
        if part.kind in _GKE:
            return part
    raise PlanError(
        f"{spec.title} has no part on GKE.",
        resource=spec.name,
        hint="Only tiers with a part of kind gke_single_host or gke_multi_host are made from here",
    )


def site_of(part: PartSpec, context: PlanContext, host: str = DEFAULT_HOST) -> Site:
    """Where the part's chain stands; on Vertex there is a region alone."""
    regional = part.kind is PartKind.VERTEX
    return Site(
        project=context.project,
        region=part.location if regional else part.location.rsplit("-", 1)[0],
        zone="" if regional else part.location,
        cluster=part.cluster,
        cluster_location=part.cluster_location,
        billing_account=context.billing_account,
        host=host,
    )


def present_of(context: PlanContext) -> Present:
    """What exists of the chain.

    Raises:
        PlanError: it was not read.
    """
    return known(
        context.resources,
        "What exists in the project was not read.",
        "Plan it again; see Connections for what cannot be read",
    )


def observe(names: Iterable[str], present: Present) -> dict[str, str | None]:
    """The facts about these resources that a plan rests on."""
    return {
        f"{FACT}:{name}": (present[name].owner or "") if name in present else None for name in names
    }


def deletes_shared(plan: Plan) -> bool:
    """Whether it deletes what all tiers share, by the facts that it rests on."""
    return any(
        step.verb == DELETE and plan.observed.get(f"{FACT}:{step.resource}") == PLATFORM
        for step in plan.steps
    )


def is_foreign(piece: Piece, present: Present) -> bool:
    """Whether it exists, could say that it is ours, and does not."""
    found = present.get(piece.name)
    if found is None or _PATH.fullmatch(piece.name) or any(w in piece.name for w in _UNMARKED):
        return False
    return found.owner is None


def is_whole(piece: Piece, present: Present) -> bool:
    """Whether it is there, neither failed nor half made."""
    found = present.get(piece.name)
    return found is not None and not found.broken


def create_step(piece: Piece, missing: Collection[str], pool_nodes: int | None = None) -> Step:
    """The step that makes a piece, after those of its needs that are missing as well."""
    after: dict[str, str | int | float | bool | None] = {"exists": True}
    if pool_nodes is not None:
        after["node_count"] = pool_nodes
    if piece.chips:
        after["chips"] = piece.chips
    return Step(
        verb=ADD_PATH if _PATH.fullmatch(piece.name) else CREATE,
        resource=piece.name,
        title=f"Make {piece.noun}" + (f" of {plural(pool_nodes, 'node')}" if pool_nodes else ""),
        before={},
        after=after,
        expected_s=piece.expected_s,
        expected_source=piece.expected_source,
        command=piece.make or _waiting(piece, "until", "comes with what it needs"),
        key=piece.key,
        needs=tuple(key for key in piece.needs if key in missing),
        body=json.dumps(piece.body, sort_keys=True),
        undo="delete it" if piece.remove else "",
    )


def _waiting(piece: Piece, word: str, why: str) -> str:
    """The command that waits "until" or "while" something is there; at least what it waits for."""
    if not piece.look:
        return f"# {piece.noun} {why}"
    return f"{word} {piece.look} >/dev/null 2>&1; do sleep 5; done  # it {why}"


class Removal:
    """In which order pieces of a chain are deleted, and which stay."""

    def __init__(self, chain: Chain, present: Present, mine: Callable[[Piece], bool]) -> None:
        """`mine`: whether a piece is to be deleted, when it is there."""
        self._chain, self._present = chain, present
        self.stays: list[str] = []  # sentences
        self._staying: set[str] = set()
        for piece in reversed(chain.pieces):
            if piece.name not in present:
                continue
            reason = self._why_it_stays(piece, mine)
            if reason is not None:
                self._staying.add(piece.key)
                if reason:
                    self.stays.append(f"{piece.noun} stays: {reason}")

    def _why_it_stays(self, piece: Piece, mine: Callable[[Piece], bool]) -> str | None:
        """Why; "" when that needs no word, None when it goes."""
        if piece.kept or not mine(piece):
            return ""
        if is_foreign(piece, self._present):
            return "it does not say that it was made from here"
        for other in self._chain.needed_by(piece.key):
            if other.key in self._staying:
                return f"{other.noun} needs it"
        return None

    def steps(self) -> tuple[Step, ...]:
        """The deletions, each after those of what needs the piece."""
        going = [
            piece
            for piece in reversed(self._chain.pieces)
            if piece.name in self._present and piece.key not in self._staying
        ]
        found = [self._step(piece) for piece in going if self._has_step(piece)]
        return _in_order(found)

    def _has_step(self, piece: Piece) -> bool:
        """Whether it is deleted, or its disappearance waited for, by itself."""
        return not piece.goes_with or not piece.remove or not self._parent_goes(piece)

    def _parent_goes(self, piece: Piece) -> bool:
        parent = self._chain.by_key[piece.goes_with]
        return parent.name in self._present and parent.key not in self._staying

    def _step(self, piece: Piece) -> Step:
        waits = bool(piece.goes_with) and not piece.remove
        after: dict[str, str | int | float | bool | None] = {}
        if waits:
            after = {"goes_with": self._chain.by_key[piece.goes_with].noun}
        before: dict[str, str | int | float | bool | None] = {"exists": True}
        path = _PATH.fullmatch(piece.name) is not None
        if path:
            after = {"exists": False}
        return Step(
            verb=TAKE_OUT_PATH if path else DELETE,
            resource=piece.name,
            title=f"Await the end of {piece.noun}" if waits else f"Delete {piece.noun}",
            before=before,
            after=after,
            expected_s=None,
            expected_source="unknown: none was deleted from here yet",
            command=piece.remove or _waiting(piece, "while", "disappears with what it was made of"),
            key=piece.key,
            needs=tuple(sorted(self._after(piece))),
            undo="make it again; what it held is gone" if piece.remove else "",
        )

    def _after(self, piece: Piece) -> set[str]:
        """Keys of the steps that must be done before the piece goes."""
        if piece.goes_with and not piece.remove:
            return {self._remover(self._chain.by_key[piece.goes_with])}
        found: set[str] = set()
        for other in self._chain.needed_by(piece.key):
            found |= self._ends(other, piece)
        return found - {piece.key}

    def _ends(self, other: Piece, of: Piece) -> set[str]:
        """Keys of the steps after which that dependent is gone."""
        if other.name not in self._present or not self._has_step(other):
            # It goes with something else, or was never there: what needs it counts instead.
            ends = self._after(other)
            if other.name in self._present and other.goes_with != of.key:
                ends = ends | {self._remover(self._chain.by_key[other.goes_with])}
            return ends - {of.key}
        if other.goes_with == of.key:
            return self._dependents_only(other)
        return {other.key} | {
            p.key
            for p in self._chain.pieces
            if p.goes_with == other.key and not p.remove and p.name in self._present
        }

    def _dependents_only(self, piece: Piece) -> set[str]:
        found: set[str] = set()
        for other in self._chain.needed_by(piece.key):
            found |= self._ends(other, piece)
        return found

    def _remover(self, piece: Piece) -> str:
        """Key of the step with which that piece disappears."""
        if piece.goes_with and piece.remove and self._parent_goes(piece):
            return self._remover(self._chain.by_key[piece.goes_with])
        return piece.key


def _in_order(steps: list[Step]) -> tuple[Step, ...]:
    """The same steps, each behind those that it needs; needs without a step are left out."""
    found = {step.key: step for step in steps}
    needs = {step.key: tuple(key for key in step.needs if key in found) for step in steps}
    try:
        order = tuple(TopologicalSorter(needs).static_order())
    except CycleError as error:
        raise PlanError("The plan contradicts itself: pieces need one another.") from error
    return tuple(replace(found[key], needs=needs[key]) for key in order)
