"""Where a request goes by a URL map, as Google's load balancer decides it.

Rules (Google's URL map documentation): an exact host beats a wildcard, the longest wildcard suffix
beats a shorter one, "*" comes last; within the matcher an exact path beats a prefix ("/a/*"), the
longest prefix beats a shorter one, else the matcher's default service. Route rules, which a matcher
has instead of path rules, are tried by priority, the lowest number first; what they ask of headers
and the query is not known here, and said. Host names compare without
case, paths with it; the query is no part of the path; "/a/*" does not match "/a".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from core.records import PathMatcher, RouteMatch, UrlMap


@dataclass(frozen=True, slots=True)
class Route:
    """Where one request goes, and by which rule.

    Attributes:
        service: backend service.
        matcher: name of the path matcher; "" when no host rule fits.
        rule: the path pattern that won; "" when a default service answers.
        explanation: the decisions in order, one sentence each.
    """

    service: str
    matcher: str
    rule: str
    explanation: tuple[str, ...]


def where_does(path: str, host: str, url_map: UrlMap) -> Route:
    """Where a request for that path and host goes.

    `path` may carry a query, which is ignored; `host` may carry a port, likewise.
    """
    clean_path = _clean_path(path)
    clean_host = _clean_host(host)
    chosen = _choose_matcher(clean_host, url_map)
    if chosen is None:
        return Route(
            url_map.default_service,
            "",
            "",
            (
                f"no host rule of {url_map.name} fits {clean_host or 'an empty host'}",
                f"so the URL map's default service {url_map.default_service} answers",
            ),
        )
    pattern, matcher = chosen
    first = f"host {clean_host} fits the rule {pattern} → path matcher {matcher.name}"
    if matcher.route_rules:
        return _by_route_rules(clean_path, matcher, first)
    best = _choose_rule(clean_path, matcher)
    if best is None:
        return Route(
            matcher.default_service,
            matcher.name,
            "",
            (
                first,
                f"no path rule of it fits {clean_path}",
                f"so its default service {matcher.default_service} answers",
            ),
        )
    rule, service = best
    how = "exactly" if not rule.endswith("/*") else "as the longest prefix"
    return Route(
        service, matcher.name, rule, (first, f"path {clean_path} fits {rule} {how} → {service}")
    )


def way_to(service: str, path: str, host: str, url_map: UrlMap) -> str | None:
    """A prefix that leads requests for a path to a backend service; "": the path as it is does.

    None where no rule of the map leads there alone. Whether the backend understands the prefix, or
    the rule takes it off again, is not looked at.
    """
    if where_does(path, host, url_map).service == service:
        return ""
    chosen = _choose_matcher(_clean_host(host), url_map)
    rules = chosen[1].rules if chosen else ()
    prefixes = (p[:-2] for r in rules if r.service == service for p in r.paths if p[-2:] == "/*")
    for prefix in prefixes:
        if where_does(f"{prefix}{_clean_path(path)}", host, url_map).service == service:
            return prefix
    return None


def _by_route_rules(path: str, matcher: PathMatcher, first: str) -> Route:
    said = [first]
    for rule in sorted(matcher.route_rules, key=lambda r: r.priority):
        for match in rule.matches:
            fits = route_fits(match, path)
            pattern = f"{match.kind} {match.value}"
            if fits and not match.conditions:
                said.append(
                    f"path {path} fits route rule {rule.priority} ({pattern}) → {rule.service}"
                )
                return Route(rule.service, matcher.name, pattern, tuple(said))
            if fits is not False:
                asked = ", ".join(match.conditions) or f"a {match.kind} that is not evaluated here"
                said.append(
                    f"unless route rule {rule.priority} ({pattern}) takes it to {rule.service},"
                    f" by {asked}"
                )
    said.append(f"no other route rule fits {path}" if len(said) > 1 else f"no rule fits {path}")
    said.append(f"so its default service {matcher.default_service} answers")
    return Route(matcher.default_service, matcher.name, "", tuple(said))


def route_fits(match: RouteMatch, path: str) -> bool | None:
    """Whether the path fits a route rule's match; None: that kind cannot be told here."""
    value = match.value
    if match.kind == "regex":
        try:
            return re.fullmatch(value, path) is not None
        except re.error:  # Google's RE2 knows forms that Python does not
            return None
    if match.kind == "template":
        return None
    if match.ignore_case:
        value, path = value.lower(), path.lower()
    return path == value if match.kind == "exact" else path.startswith(value)


def _clean_path(path: str) -> str:
    clean = path.split("#", 1)[0].split("?", 1)[0]
    return clean if clean.startswith("/") else f"/{clean}"


def _clean_host(host: str) -> str:
    clean = host.strip().lower()
    if clean.startswith("["):
        return clean.partition("]")[0] + "]"
    return clean.partition(":")[0]


def host_fits(pattern: str, host: str) -> bool:
    """Whether a host rule's pattern fits; "*" stands at the start only, for at least one letter."""
    wanted = pattern.lower().partition(":")[0]
    if wanted == "*":
        return True
    if wanted.startswith("*"):
        return host.endswith(wanted[1:]) and len(host) > len(wanted) - 1
    return host == wanted


def path_fits(pattern: str, path: str) -> bool:
    """Whether a path rule's pattern fits; "*" stands only at the end and after a "/"."""
    if pattern.endswith("/*"):
        return path.startswith(pattern[:-1])
    return path == pattern


def _choose_matcher(host: str, url_map: UrlMap) -> tuple[str, PathMatcher] | None:
    fitting = [
        (pattern, matcher)
        for matcher in url_map.matchers
        for pattern in matcher.hosts
        if host_fits(pattern, host)
    ]
    return max(fitting, key=lambda f: (not f[0].startswith("*"), len(f[0])), default=None)


def _choose_rule(path: str, matcher: PathMatcher) -> tuple[str, str] | None:
    fitting = [
        (pattern, rule.service)
        for rule in matcher.rules
        for pattern in rule.paths
        if path_fits(pattern, path)
    ]
    return max(fitting, key=lambda f: (not f[0].endswith("/*"), len(f[0])), default=None)
