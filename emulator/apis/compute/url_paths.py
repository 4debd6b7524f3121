"""How a URL map routes, and what is wrong with one: path patterns, matchers, hosts, its tests.

Pure functions of the map's body; traffic.py asks them where each tier's requests go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from emulator.apis.compute.model import Body

_ACTION: Final = ("Service", "RouteAction", "UrlRedirect")
_PLACE: Final = re.compile(r"\*|(?:\*\.)?[a-zA-Z0-9.:\-\[\]]+")


def check_map(body: Body) -> tuple[list[str], list[dict[str, str]]]:
    """(errors of the map, failures of its own tests)."""
    errors = list(_errors(body))
    if errors:
        return errors, []
    failures: list[dict[str, str]] = []
    for test in body.get("tests", []):
        actual = service_for(body, str(test.get("host", "")), str(test.get("path", "")))
        expected = str(test.get("service", ""))
        if actual != expected:
            failures.append(
                {"host": test.get("host", ""), "path": test.get("path", ""),
                 "expectedService": expected, "actualService": actual or ""}
            )  # fmt: skip
    return [], failures


def service_for(body: Body, host: str, path: str) -> str:
    """Link of the backend service (the first, of weighted ones) that a request goes to; ""."""
    return next(iter(services_for(body, host, path)), "")


def services_for(body: Body, host: str, path: str) -> dict[str, float]:
    """Links of the backend services that such requests go to, each with its share of them."""
    node, prefix = _place(body, host, path)
    name = f"{prefix}Service" if prefix else "service"
    if name in node:
        return {str(node[name]): 1.0}
    action: Any = node.get(f"{prefix}RouteAction" if prefix else "routeAction", {})
    weighted = action.get("weightedBackendServices", [])
    whole = sum(int(w.get("weight", 0)) for w in weighted)
    found: dict[str, float] = {}
    for one in weighted:
        link = str(one.get("backendService", ""))
        found[link] = found.get(link, 0.0) + int(one.get("weight", 0)) / max(whole, 1)
    return found


@dataclass(frozen=True, slots=True)
class Action:
    """What a map says of a request beside its service.

    `pattern` is the rule's, as it is written in the map; "" where a default holds.
    """

    route: Body
    redirect: Body
    pattern: str

    def rewritten(self, path: str) -> str:
        """The path, query and all, as the backend is asked for it."""
        prefix = self.route.get("urlRewrite", {}).get("pathPrefixRewrite")
        matched = self.pattern.removesuffix("*") or "/"
        return path if prefix is None else prefix + path.removeprefix(matched)


def action_for(body: Body, host: str, path: str) -> Action:
    """The route action and the redirect that hold for a request."""
    node, prefix, pattern = _found(body, host, path)
    names = [f"{prefix}{a}" if prefix else a[0].lower() + a[1:] for a in _ACTION]
    return Action(node.get(names[1], {}), node.get(names[2], {}), pattern)


def _place(body: Body, host: str, path: str) -> tuple[Body, str]:
    return _found(body, host, path)[:2]


def _found(body: Body, host: str, path: str) -> tuple[Body, str, str]:
    """What says where a request goes: a rule (prefix ""), or a matcher or map ("default").

    Last, the pattern that fits the path; "" where a default holds.
    """
    matcher = _matcher(body, host)
    if matcher is None:
        return body, "default", ""
    best: tuple[str, Body] = ("", {})
    for rule in matcher.get("pathRules", []):
        for pattern in rule.get("paths", []):
            if _fits(pattern, path) and len(pattern) > len(best[0]):
                best = (pattern, rule)
    if best[0]:
        return best[1], "", best[0]
    for rule in sorted(matcher.get("routeRules", []), key=lambda r: int(r.get("priority", 0))):
        for match in rule.get("matchRules", []):
            if _route_fits(match, path):
                return rule, "", str(match.get("prefixMatch") or match.get("fullPathMatch"))
    return matcher, "default", ""


def _matcher(body: Body, host: str) -> Body | None:
    best: tuple[int, str] = (-1, "")
    for rule in body.get("hostRules", []):
        for pattern in rule.get("hosts", []):
            plain = pattern.removeprefix("*")
            fits = host == pattern or (pattern.startswith("*") and host.endswith(plain))
            if fits and len(plain) > best[0]:
                best = (len(plain), str(rule.get("pathMatcher", "")))
    return next((m for m in body.get("pathMatchers", []) if m.get("name") == best[1]), None)


def _fits(pattern: str, path: str) -> bool:
    plain = path.partition("?")[0]
    if pattern.endswith("/*"):
        return plain.startswith(pattern[:-1])
    return plain == pattern


def _route_fits(match: Body, path: str) -> bool:
    plain = path.partition("?")[0]
    if "prefixMatch" in match:
        return plain.startswith(match["prefixMatch"])
    return plain == match.get("fullPathMatch")


def _errors(body: Body) -> Iterator[str]:
    yield from _one_action(body, "default", "the URL map")
    matchers = [m.get("name", "") for m in body.get("pathMatchers", [])]
    if len(set(matchers)) < len(matchers):
        yield "Path matcher names must be unique."
    hosts: set[str] = set()
    used: set[str] = set()
    for rule in body.get("hostRules", []):
        name = rule.get("pathMatcher", "")
        used.add(name)
        if name not in matchers:
            yield f"Host rule refers to the path matcher '{name}', which is not defined."
        if not rule.get("hosts"):
            yield "A host rule must have at least one host."
        for host in rule.get("hosts", []):
            if not _PLACE.fullmatch(host):
                yield f"'{host}' is not a valid host pattern."
            if host in hosts:
                yield f"The host '{host}' is in more than one host rule."
            hosts.add(host)
    for matcher in body.get("pathMatchers", []):
        if matcher.get("name", "") not in used:
            yield f"Path matcher '{matcher.get('name', '')}' is not used by any host rule."
        yield from _matcher_errors(matcher)


def _matcher_errors(matcher: Body) -> Iterator[str]:
    name = f"path matcher '{matcher.get('name', '')}'"
    yield from _one_action(matcher, "default", name)
    if "pathRules" in matcher and "routeRules" in matcher:
        yield f"The {name} cannot have both pathRules and routeRules."
    seen: set[str] = set()
    for rule in matcher.get("pathRules", []):
        yield from _one_action(rule, "", f"a path rule of {name}")
        if not rule.get("paths"):
            yield f"A path rule of {name} must have at least one path."
        for path in rule.get("paths", []):
            stars = path.count("*")
            if not path.startswith("/") or stars > 1 or (stars and not path.endswith("/*")):
                yield f"'{path}' is no valid path: it starts with /, and * only follows a last /."
            if path in seen:
                yield f"The path '{path}' is in more than one path rule of {name}."
            seen.add(path)
    priorities = [r.get("priority") for r in matcher.get("routeRules", [])]
    if len(set(priorities)) < len(priorities):
        yield f"Route rules of {name} must have different priorities."


def _one_action(node: Body, prefix: str, where: str) -> Iterator[str]:
    names = [f"{prefix}{a}" if prefix else a[0].lower() + a[1:] for a in _ACTION]
    action = node.get(names[1], {})
    weighted = action.get("weightedBackendServices", [])
    whole = [n for n in (names[0], names[2]) if n in node]
    if len(whole) + bool(weighted) != 1:
        yield f"Exactly one of {', '.join(names)} must be set for {where}."
    if weighted and not sum(int(w.get("weight", 0)) for w in weighted) > 0:
        yield f"The weights of {where} must not all be zero."
    if any(int(w.get("weight", 0)) > 1000 for w in weighted):
        yield f"A weight of {where} is more than 1000."
