"""The places of a URL map where traffic is divided: reading their weights, and moving them.

A place is a rule of a path matcher, a matcher's default or the map's default. Which place a request
comes to is `core/routing.py`; planning a change `core/actions/`; making it `services/`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from core.load_balancer import LoadBalancer, Shares, UrlMap

WHOLE: Final = 100  # weights that we write sum to this, so that each is a percentage
_ARROW: Final = " → "
_MAP: Final = "*"  # stands for the map's own default; no path matcher can have that name
_OTHER: Final = "any other"  # stands for a default; every path begins with "/"

Weights = Mapping[str, str | int | float | bool | None]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a URL map divides traffic.

    Attributes:
        matcher: name of the path matcher; "" for the default of the map.
        path: the first path of the rule (a path is in one rule only); "" for a default.
    """

    url_map: str
    matcher: str
    path: str

    @property
    def name(self) -> str:
        """What people and requests call it, e.g. "hw-serving tiers /simple/*"."""
        return f"{self.url_map} {self._inside}"

    @property
    def _inside(self) -> str:
        return f"{self.matcher or _MAP} {self.path or _OTHER}"

    def key(self, service: str) -> str:
        """The name of one weight among a step's values; `read_key` takes it apart again."""
        return f"{self._inside}{_ARROW}{service}"


@dataclass(frozen=True, slots=True)
class Division:
    """A place with the weights of the backend services there, which all exist."""

    place: Place
    shares: Shares

    def ratio(self, service: str) -> float:
        """Share (0–1) of the place's requests that a service gets."""
        whole = sum(weight for _, weight in self.shares)
        return sum(w for s, w in self.shares if s == service) / whole if whole else 0.0


def read_key(url_map: str, key: str) -> tuple[Place, str]:
    """The place and the service that `Place.key` named.

    Raises:
        ValueError: the key is of another form.
    """
    inside, arrow, service = key.rpartition(_ARROW)
    matcher, blank, path = inside.partition(" ")
    if not (arrow and blank and service):
        raise ValueError(f"{key!r} names no place of a URL map")
    return Place(url_map, "" if matcher == _MAP else matcher, "" if path == _OTHER else path), (
        service
    )


def service_of(key: str) -> str:
    """The service that `Place.key` named; "" when the key is of another form."""
    inside, arrow, service = key.rpartition(_ARROW)
    return service if arrow and inside else ""


def divisions(balancer: LoadBalancer) -> tuple[Division, ...]:
    """Every place whose traffic goes to backend services; redirects are left out."""
    known = {s.name for s in balancer.backend_services}
    return tuple(
        Division(place, shares)
        for found in balancer.url_maps
        for place, shares in _places(found)
        if shares and all(name in known for name, _ in shares)
    )


def _places(found: UrlMap) -> Iterator[tuple[Place, Shares]]:
    for matcher in found.matchers:
        for rule in matcher.rules:
            if rule.paths:
                place = Place(found.name, matcher.name, rule.paths[0])
                yield place, rule.shares or ((rule.service, WHOLE),)
        shares = matcher.default_shares or ((matcher.default_service, WHOLE),)
        yield Place(found.name, matcher.name, ""), shares
    yield Place(found.name, "", ""), found.default_shares or ((found.default_service, WHOLE),)


def leading_to(balancer: LoadBalancer, service: str) -> tuple[Division, ...]:
    """The places at which a backend service gets a share above 0."""
    return tuple(d for d in divisions(balancer) if d.ratio(service) > 0)


def give(shares: Shares, to: str, percent: int) -> Shares:
    """The shares after `to` gets `percent`, the others keeping their proportions; they sum to 100.

    Raises:
        ValueError: `percent` is not 0 to 100, or nobody else is there to get the rest.
    """
    if not 0 <= percent <= WHOLE:
        raise ValueError(f"{percent} is not from 0 to 100")
    others = [(s, w) for s, w in shares if s != to and w > 0]
    rest = WHOLE - percent
    if rest and not others:
        raise ValueError(f"nobody but {to} is there to get the other {rest}%")
    parts = _apportion([w for _, w in others], rest)
    after = {s: 0 for s, _ in shares} | {s: p for (s, _), p in zip(others, parts, strict=True)}
    after[to] = percent
    return tuple(after.items())


def hand_over(shares: Shares, gone: str, to: str) -> Shares:
    """The shares in percent after `to` took over all that `gone` had."""
    parts = _apportion([w for _, w in shares], WHOLE)
    after = {s: p for (s, _), p in zip(shares, parts, strict=True)}
    after[to] = after.get(to, 0) + after.get(gone, 0)
    after[gone] = 0
    return tuple(after.items())


def _apportion(weights: Sequence[int], total: int) -> list[int]:
    """Whole numbers in proportion to the weights that sum to the total (largest remainders)."""
    whole = sum(weights)
    if not whole:
        return [0 for _ in weights]
    exact = [w * total / whole for w in weights]
    parts = [int(e) for e in exact]
    order = sorted(range(len(parts)), key=lambda i: (parts[i] - exact[i], i))
    for i in order[: total - sum(parts)]:
        parts[i] += 1
    return parts


def weights_of(division: Division) -> dict[str, int]:
    """A division's weights by `Place.key`."""
    return {division.place.key(service): weight for service, weight in division.shares}


def shares_by_place(url_map: str, weights: Weights) -> dict[Place, Shares]:
    """A step's values taken apart: the weights at each place, in their order.

    Raises:
        ValueError: a key is of another form, or a weight no whole number.
    """
    found: dict[Place, Shares] = {}
    for key, weight in weights.items():
        place, service = read_key(url_map, key)
        if isinstance(weight, bool) or not isinstance(weight, int):
            raise ValueError(f"the weight of {key} is {weight!r}")
        found[place] = (*found.get(place, ()), (service, weight))
    return found
