"""One synthetic request for each rule that decides where requests go, and where it has to land.

By path: for each rule of the load balancer's URL map. By request: for each rule of the router that
a request can call forth. Pure; sending them is `control/route_checks.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from core.load_balancer import LoadBalancer, PathMatcher, RouteRule, Shares, UrlMap
from core.router import AUTO, Rule, need_of
from core.router_limits import RouterLimits
from core.router_request import read_request
from core.routing import where_does
from core.tier_address import CHAT

_TAIL: Final = "/heartwood-route-check"
_NO_HOST: Final = "heartwood-route-check.invalid"
_PROOF: Final = "$\\sum_{i=1}^{n} i = \\frac{n(n+1)}{2}$"
_CODE: Final = "```python\ndef total(values):\n    return sum(values)\n```"
_TASKS: Final = "1. one\n2. two\n3. three\n4. four"


@dataclass(frozen=True, slots=True)
class PathCase:
    """A request by path.

    Attributes:
        rule: the pattern, or "any other path".
        host: of the request; "": that of the load balancer's address.
        expected: backend services that may answer; several where a rule splits by weight.
        why_not: why it cannot be sent; "": it can.
    """

    rule: str
    host: str
    path: str
    expected: tuple[str, ...]
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class RequestCase:
    """A request by its content; `sample` says what it is. `body` None: there can be none."""

    sample: str
    body: Mapping[str, Any] | None


def path_cases(balancer: LoadBalancer) -> tuple[PathCase, ...]:
    """A case per rule of the URL map, in the order in which its rules are listed."""
    if len(balancer.url_maps) > 1:
        why = "there are several URL maps, and which one stands at the address is not known"
        return tuple(PathCase(m.name, "", "", (), why) for m in balancer.url_maps)
    return tuple(case for url_map in balancer.url_maps for case in _map_cases(url_map))


def _map_cases(url_map: UrlMap) -> Iterator[PathCase]:
    for matcher in url_map.matchers:
        host = _host(matcher)
        for rule in matcher.rules:
            for pattern in rule.paths:
                yield _sample(
                    pattern, host, _tries(pattern), _services(rule.service, rule.shares), url_map
                )
        for route in sorted(matcher.route_rules, key=lambda r: r.priority):
            yield _route_case(route, host, url_map)
        default = _services(matcher.default_service, matcher.default_shares)
        yield _sample("any other path", host, (CHAT, _TAIL), default, url_map)
    if not any("*" in matcher.hosts for matcher in url_map.matchers):
        default = _services(url_map.default_service, url_map.default_shares)
        yield _sample("any other host", _NO_HOST, (CHAT,), default, url_map)


def _host(matcher: PathMatcher) -> str:
    host = next((h for h in matcher.hosts if not h.startswith("*")), "")
    if host or "*" in matcher.hosts:
        return host.partition(":")[0]
    return f"heartwood{matcher.hosts[0][1:]}" if matcher.hosts else ""


def _tries(pattern: str) -> tuple[str, ...]:
    """Paths that fit a pattern, the useful one first."""
    if not pattern.endswith("/*"):
        return (pattern,)
    return f"{pattern[:-2]}{CHAT}", f"{pattern[:-2]}{_TAIL}"


def _route_case(route: RouteRule, host: str, url_map: UrlMap) -> PathCase:
    match = next((m for m in route.matches if not m.conditions), None)
    rule = f"route rule {route.priority}"
    if match is None or match.kind not in ("exact", "prefix"):
        why = "it asks for more than a path, which is not tried here"
        return PathCase(rule, host, "", (), why)
    tries = (match.value,) if match.kind == "exact" else _tries(f"{match.value.rstrip('/')}/*")
    return _sample(rule, host, tries, _services(route.service, route.shares), url_map)


def _sample(
    rule: str, host: str, tries: tuple[str, ...], expected: tuple[str, ...], url_map: UrlMap
) -> PathCase:
    """The first path that this rule, and no more specific one, decides about."""
    for path in tries:
        if _services_at(path, host, url_map) == expected:
            return PathCase(rule, host, path, expected)
    return PathCase(rule, host, tries[0], expected, "another rule takes the paths that were tried")


def _services_at(path: str, host: str, url_map: UrlMap) -> tuple[str, ...]:
    """As `_services`, of the rule that decides about a path."""
    route = where_does(path, host or "any", url_map)
    every = [(url_map.default_service, url_map.default_shares)]
    for matcher in url_map.matchers:
        every.append((matcher.default_service, matcher.default_shares))
        every += [(r.service, r.shares) for r in (*matcher.rules, *matcher.route_rules)]
    shares = next((s for name, s in every if name == route.service), ())
    return _services(route.service, shares)


def _services(service: str, shares: Shares) -> tuple[str, ...]:
    return tuple(name for name, weight in shares if weight) or (service,)


def request_cases(limits: RouterLimits, named: str) -> tuple[RequestCase, ...]:
    """A case per rule that a request can call forth; `named`: a tier that serves, "" for none."""
    hello = {"role": "user", "content": "Say hello."}
    longer = int(limits.edge_prompt_tokens * limits.request.bytes_per_token)
    words = limits.request.reasoning_words
    asked = " ".join(words[:2])
    texts = (
        "hello " * (longer // len("hello ") + 1) + "Say hello.",
        f"{words[0] if words else ''} it.",
        f"{asked} it.",
        f"{_CODE} {asked}",
        f"{_PROOF} {_CODE}\n{_TASKS} {asked}",
        "hello " * int(limits.complex_tokens * limits.request.bytes_per_token / len("hello ") + 1),
    )
    # One token is asked for: a check is to cost next to nothing.
    bodies = [_body([{"role": "user", "content": text}]) for text in texts]
    return (
        RequestCase("the model is a tier's name", _body([hello], model=named) if named else None),
        RequestCase("short and simple", _first([_body([hello])], Rule.SIMPLE, limits)),
        RequestCase("simple, too long for the edge", _first(bodies[:1], Rule.SIMPLE, limits)),
        RequestCase("moderate", _first(bodies, Rule.MODERATE, limits)),
        RequestCase("complex", _first(bodies, Rule.COMPLEX, limits)),
    )


def _body(messages: list[dict[str, str]], model: str = AUTO) -> Mapping[str, Any]:
    return {"model": model, "messages": messages, "max_tokens": 1}


def _first(
    bodies: list[Mapping[str, Any]], need: Rule, limits: RouterLimits
) -> Mapping[str, Any] | None:
    """The first that needs such a tier; None: the thresholds leave no room for one."""
    return next(
        (b for b in bodies if need_of(read_request(b, limits.request), limits) is need), None
    )
