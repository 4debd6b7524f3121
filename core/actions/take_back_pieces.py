"""Deleting what an action made: which pieces, in which order, and which stay and why.

Order and what outlives what are the chain's, as in a tear-down. Values that were written are
`take_back_writes.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from core.actions.chain_steps import ADD_PATH, CREATE, FACT, Present, Removal
from core.actions.context import PlanContext, Undertaking
from core.actions.deploy_model import model_chain
from core.actions.provision_tier import chain_of
from core.actions.tear_down import leftovers
from core.actions.tear_down_all import whole_chain
from core.chain import Chain, Piece
from core.cloud_resources import KUBERNETES, PLATFORM
from core.plans import Request, Step
from core.records import Snapshot
from core.wording import plural

MAKING: Final = (CREATE, ADD_PATH)
_SPACE: Final = "/namespaces/"
# Of these the request tells pieces that no tier has by its settings alone.
_OWN: Final = MappingProxyType[str, Callable[[Snapshot, Request, PlanContext], Chain]](
    {"provision_tier": chain_of, "deploy_model": model_chain}
)


def chain_around(snapshot: Snapshot, undertaking: Undertaking, context: PlanContext) -> Chain:
    """All pieces of all tiers, those of the action itself, and what else of ours was found.

    Empty where the action made none: then nobody has to read what exists.

    Raises:
        PlanError: the tiers' parts on GKE are in several clusters.
    """
    if not any(undertaking.plan.steps[n - 1].verb in MAKING for n in undertaking.begun):
        return Chain(())
    pieces = list(whole_chain(snapshot, replace(context, resources=None)).pieces)
    request = undertaking.plan.request
    if request.action in _OWN:
        pieces += _added(_OWN[request.action](snapshot, request, context), pieces)
    if context.resources is None:
        return Chain(pieces)
    return Chain((*pieces, *_left(context.resources, pieces, context)))


def _added(own: Chain, known: list[Piece]) -> Iterator[Piece]:
    """Those that are not known, needing the known ones under their keys there."""
    there = {piece.name: piece.key for piece in known}
    keys = {piece.key: there.get(piece.name, f"own/{piece.key}") for piece in own.pieces}
    for piece in own.pieces:
        if piece.name not in there:
            yield replace(
                piece,
                key=keys[piece.key],
                needs=tuple(keys[name] for name in piece.needs),
                goes_with=keys.get(piece.goes_with, ""),
            )


def _left(present: Present, pieces: list[Piece], context: PlanContext) -> Iterator[Piece]:
    """What no chain names; objects need their namespace, which would take them with it."""
    spaces = {
        (cluster, path.rpartition(_SPACE)[2]): piece.key
        for piece in pieces
        for cluster, _, path in (piece.name.partition(KUBERNETES),)
        if path.startswith("api/v1/namespaces/") and path.count("/") == 3
    }
    for piece in leftovers(present, pieces, None, context.project):
        cluster, _, path = piece.name.partition(KUBERNETES)
        inside = path.partition(_SPACE)[2].partition("/")[0]
        space = spaces.get((cluster, inside))
        yield replace(piece, needs=(*piece.needs, space)) if space else piece


class Unmaking:
    """Which of the pieces that an action made go again."""

    def __init__(
        self,
        snapshot: Snapshot,
        undertaking: Undertaking,
        chain: Chain,
        present: Present,
        needed: Mapping[str, str],
    ) -> None:
        """`needed`: name of a piece → why it stays, for what was written after it and stays."""
        self._snapshot, self._undertaking = snapshot, undertaking
        self._chain, self._present, self._needed = chain, present, needed
        self._alone: set[str] = set()  # keys of what goes with something that stays
        self.made: dict[str, Step] = {}  # by name
        self.stays: list[str] = []  # sentences
        for number in undertaking.begun:
            step = undertaking.plan.steps[number - 1]
            if step.verb in MAKING:
                self.made[step.resource] = step
        self._kept = {name: why for name in self.made if (why := self._why_kept(name))}

    def steps(self) -> tuple[Step, ...]:
        """The deletions, each after those of what needs the piece."""
        removal = self._removal()
        steps = removal.steps()
        while self._keep_more({step.key for step in steps}):
            removal = self._removal()
            steps = removal.steps()
        self.stays = [
            *(f"{self._noun(name)} stays: {why}" for name, why in self._kept.items()),
            *removal.stays,
            *self._unknown(),
        ]
        return steps

    def _removal(self) -> Removal:
        return Removal(
            self._chain, self._present, lambda p: p.key not in self._alone and self._mine(p)
        )

    def _mine(self, piece: Piece) -> bool:
        """Whether the action made it, and it is as it left it."""
        if piece.goes_with and not piece.remove:  # it came with the other by itself
            return self._mine(self._chain.by_key[piece.goes_with])
        return piece.name in self.made and piece.name not in self._kept

    def _keep_more(self, going: set[str]) -> bool:
        """Keep what may not go while something else stays; whether there is more of that."""
        alone, front = self._waiting_for_ever(going), self._leading_to_what_stays(going)
        self._alone |= alone
        self._kept |= front
        return bool(alone or front)

    def _leading_to_what_stays(self, going: set[str]) -> dict[str, str]:
        """What requests come by to a URL map that stays, for others' paths: name → why it stays."""
        found: dict[str, str] = {}
        maps = [
            piece
            for piece in self._chain.pieces
            if piece.key not in going and piece.name in self._present and _is_url_map(piece.name)
        ]
        for piece in maps:
            rests = {piece.key}
            for other in self._chain.pieces:  # each behind what it needs
                if other.owner == PLATFORM and rests & set(other.needs):
                    rests.add(other.key)
                    if other.key in going:
                        found[other.name] = f"it leads to {piece.noun}, which stays"
        return found

    def _waiting_for_ever(self, going: set[str]) -> set[str]:
        """Those whose end would be waited for while what they go with stays."""

        def goes(piece: Piece) -> bool:
            parent = self._chain.by_key.get(piece.goes_with)
            return piece.key in going or (parent is not None and goes(parent))

        return {
            piece.key
            for piece in map(self._chain.by_key.__getitem__, going)
            if piece.goes_with and not piece.remove
            and not goes(self._chain.by_key[piece.goes_with])
        }  # fmt: skip

    def _why_kept(self, name: str) -> str:
        """Why that piece is not as the action left it; "" when it is, or is gone."""
        found, step = self._present.get(name), self.made[name]
        if found is None:
            return ""
        facts = self._undertaking.plan.observed
        if facts.get(f"{FACT}:{name}") is not None:
            return "it was there before, failed or half made"
        if name in self._needed:
            return self._needed[name]
        if name in self._undertaking.later:
            return f"changed since by “{self._undertaking.later[name]}”"
        piece = next((p for p in self._chain.pieces if p.name == name), None)
        if piece is not None and found.owner not in (None, piece.owner):
            return f"it says by now that it is {found.owner}'s"
        return self._resized(name, step)

    def _resized(self, name: str, step: Step) -> str:
        """Of a node pool, how many nodes it has by now where that is another number."""
        wanted = step.after.get("node_count")
        for pool in self._snapshot.node_pools or ():
            place = f"/locations/{pool.location}/clusters/{pool.cluster}/nodePools/{pool.name}"
            settled = isinstance(wanted, int) and pool.status == "RUNNING"
            if settled and name.endswith(place) and pool.node_count != wanted:
                return f"changed since: it has {pool.node_count:,} nodes, not {wanted:,}"
        return ""

    def _unknown(self) -> Iterator[str]:
        """What is there and no chain knows any more, so that nobody can tell what needs it."""
        known = set(self._chain.names)
        for name in self.made:
            if name in self._present and name not in known:
                yield f"{self._noun(name)} stays: what needs it is not known"
        apis = sum(p.kept and p.name in self.made for p in self._chain.pieces)
        if apis:
            yield f"{plural(apis, 'API')} that it enabled stay so: others may use them, too"

    def _noun(self, name: str) -> str:
        return self.made[name].title.partition(" ")[2]


def _is_url_map(name: str) -> bool:
    """Whether it is one as a whole, not a path in it."""
    return name.split("/")[-2] == "urlMaps" and "/backendServices/" not in name
