"""Where the parts of a tier stand, and how much of each a request asks for.

What each part consists of is `core/chain/`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from core import ownership, tpu
from core.actions.chain_steps import DEFAULT_HOST, site_of
from core.actions.context import PlanContext
from core.chain import Chain, Place, VertexNames, platform_pieces, tier_pieces
from core.chain.vertex import DEPLOYED
from core.errors import PlanError
from core.plans import Request
from core.records import Endpoint, Snapshot
from core.specs import PartKind, TierSpec

_FAMILIES: Final = {
    PartKind.GKE_SINGLE_HOST: "GKE",
    PartKind.GKE_MULTI_HOST: "GKE",
    PartKind.TPU_VM: "the Cloud TPU API",
    PartKind.VERTEX: "Vertex",
}


def why_not_made(spec: TierSpec) -> str:
    """Why nothing of the tier can be made from here; "" when something can."""
    if any(part.kind in _FAMILIES for part in spec.parts):
        return ""
    return f"{spec.title} has no part on GKE, the Cloud TPU API or Vertex."


def places_of(snapshot: Snapshot, spec: TierSpec, context: PlanContext) -> tuple[Place, ...]:
    """The tier's parts at their configured sizes: of each family the first one.

    Raises:
        PlanError: it has none that is made from here.
    """
    reason = why_not_made(spec)
    if reason:
        raise PlanError(
            reason, resource=spec.name, hint="What runs on this machine is started by `make run`"
        )
    found: dict[str, Place] = {}
    for index, part in enumerate(spec.parts):
        family = _FAMILIES.get(part.kind)
        if family is None or family in found:
            continue
        place = Place(part, site_of(part, context), part.slices)
        if part.kind is PartKind.VERTEX:
            owned = ownership.assign(snapshot).endpoints.get((spec.name, index), ())
            place = replace(place, names=_names(owned, part.name_prefix))
        found[family] = place
    # GKE first: who watches the tier looks there.
    order = list(dict.fromkeys(_FAMILIES.values()))
    return tuple(sorted(found.values(), key=lambda p: order.index(_FAMILIES[p.part.kind])))


def _names(owned: Sequence[Endpoint], usual: str) -> VertexNames:
    """Ids of what is there already, else those under which it is made."""
    usual = usual.rstrip("-")
    endpoint = next(
        (e for e in owned if e.id == usual), max(owned, key=lambda e: len(e.deployed), default=None)
    )
    if endpoint is None:
        return VertexNames(usual, usual, DEPLOYED)
    if not endpoint.deployed:
        return VertexNames(endpoint.id, usual, DEPLOYED)
    first = endpoint.deployed[0]
    return VertexNames(endpoint.id, first.model or usual, first.id)


def wanted_places(
    snapshot: Snapshot, spec: TierSpec, request: Request, context: PlanContext
) -> tuple[Place, ...]:
    """The places that a request asks for.

    Parameters: `slices` on GKE or the Cloud TPU API and `replicas` on Vertex (whole numbers; one
    without the other asks for that part alone, none for all as configured), `host` (of the
    certificate), `queued` (TPU nodes wait for chips), `spot`, `reservation` (its name), `image` (of
    the servers on Vertex).

    Raises:
        PlanError: a parameter is wrong, or asks for what the tier does not have.
    """
    known = places_of(snapshot, spec, context)
    sizes = {name: _size(request, name) for name in ("slices", "replicas")}
    for name, vertex in (("slices", False), ("replicas", True)):
        if sizes[name] and not any((p.part.kind is PartKind.VERTEX) is vertex for p in known):
            where = "Vertex" if vertex else "GKE or the Cloud TPU API"
            raise PlanError(
                f"{spec.title} has no part on {where}.",
                resource=spec.name,
                hint=f"Leave out {name}",
            )
    named = any(size is not None for size in sizes.values())
    host = str(request.parameters.get("host", DEFAULT_HOST))
    found: list[Place] = []
    for place in known:
        size = sizes["replicas" if place.part.kind is PartKind.VERTEX else "slices"]
        if size == 0 or (size is None and named):
            continue
        asked = replace(
            place,
            site=replace(place.site, host=host),
            slices=place.part.slices if size is None else size,
        )
        found.append(on_terms(spec, asked, request))
    found = [place for place in found if place.slices]
    _check_heard(spec, found, request)
    if not found:
        raise PlanError(
            "Neither slices nor replicas are asked for.",
            resource=spec.name,
            hint="slices and replicas are whole numbers, one of them at least 1",
        )
    return tuple(found)


def _check_heard(spec: TierSpec, places: Sequence[Place], request: Request) -> None:
    """Pass a request of which nothing is passed over: each wish is some place's."""
    wishes = {
        "queued": (any(p.queued for p in places), "nodes of the Cloud TPU API"),
        "spot": (any(p.spot for p in places), "GKE and the Cloud TPU API"),
        "reservation": (any(p.reservation for p in places), "GKE"),
        "image": (any(p.part.kind is PartKind.VERTEX for p in places), "Vertex"),
    }
    for name, (heard, where) in wishes.items():
        if request.parameters.get(name) and places and not heard:
            raise PlanError(
                f"{name} cannot be asked for here: it is for {where}.",
                resource=spec.name,
                hint=f"Leave out {name}",
            )


def _size(request: Request, name: str) -> int | None:
    """A size that a request names; None: it does not."""
    value = request.parameters.get(name)
    least = 1 if name == "slices" and "replicas" not in request.parameters else 0
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise PlanError(
            f"The parameter {name} is {value!r}.",
            resource=request.tier,
            hint=f"{name} is a whole number from {least} up",
        )
    return value


def on_terms(spec: TierSpec, place: Place, request: Request) -> Place:
    """The place with what the request says of how its chips are to be had."""
    queued, spot = _flag(request, "queued"), _flag(request, "spot")
    reservation = str(request.parameters.get("reservation", ""))
    kind = place.part.kind
    if kind is PartKind.TPU_VM:
        gen = tpu.generation(spec.generation or "")
        if tpu.is_multi_host(gen, spec.topology):
            raise PlanError(
                f"A {gen.name} slice of {spec.topology} has several hosts.",
                resource=spec.name,
                hint="Nodes of the Cloud TPU API are made from here with one host; use GKE",
            )
    elif queued and kind is not PartKind.VERTEX:
        raise PlanError(
            "GKE has no queued resources.",
            resource=spec.name,
            hint="Only parts of kind tpu_vm can be queued for",
        )
    if reservation and kind is PartKind.TPU_VM:
        raise PlanError(
            "The Cloud TPU API takes no reservation by its name.",
            resource=spec.name,
            hint="Leave out reservation; only parts on GKE can use one",
        )
    if spot and reservation:
        raise PlanError("Chips of a reservation are no spot chips.", hint="Leave out one of them")
    return replace(
        place,
        queued=queued and kind is PartKind.TPU_VM,
        spot=spot and kind is not PartKind.VERTEX,
        reservation=reservation if kind is not PartKind.VERTEX else "",
        image=str(request.parameters.get("image", "")),
    )


def _flag(request: Request, name: str) -> bool:
    value = request.parameters.get(name, False)
    if not isinstance(value, bool):
        raise PlanError(
            f"The parameter {name} is {value!r}.",
            resource=request.tier,
            hint=f"{name} is true or false",
        )
    return value


def chain_at(spec: TierSpec, places: Sequence[Place]) -> Chain:
    """The platform's pieces that these places need, and the tier's own."""
    kinds = {place.part.kind for place in places}
    return Chain((*platform_pieces(places[0].site, kinds), *tier_pieces(spec, places)))


def going_places(snapshot: Snapshot, spec: TierSpec, context: PlanContext) -> tuple[Place, ...]:
    """All that may be there of a tier: each part at least once, TPU nodes also as queued for."""
    return tuple(_going(places_of(snapshot, spec, context)))


def _going(places: Sequence[Place]) -> Iterator[Place]:
    for place in places:
        sized = replace(place, slices=max(1, place.slices))
        if place.part.kind is PartKind.TPU_VM:
            sized = replace(sized, queued=True)
        yield sized
