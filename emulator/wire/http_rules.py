"""URI templates of google.api.http: from a path to the request fields that it holds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from urllib.parse import unquote

from emulator.wire.library import HttpRule, Method

_WILDCARD = re.compile(r"\*+")
_VARIABLE = re.compile(r"\{([\w.]+)(?:=([^}]*))?\}")


@dataclass(frozen=True, slots=True)
class Route:
    """A method's HTTP rule.

    Attributes:
        literals: what stands in every path that fits, in order; the first begins it, the last
            ends it. Most paths are told apart by these, and their template is never compiled.
        rank: how much of the template is literal.
    """

    method: Method
    rule: HttpRule
    literals: tuple[str, ...]
    rank: int

    def match(self, path: str) -> dict[str, str] | None:
        """The fields that a path holds; None when it does not fit."""
        if not path.startswith(self.literals[0]) or not path.endswith(self.literals[-1]):
            return None
        if not all(literal in path for literal in self.literals):
            return None
        pattern, fields = compile_template(self.rule.uri)
        found = pattern.fullmatch(path)
        if found is None:
            return None
        return {f: unquote(v) for f, v in zip(fields, found.groups(), strict=True)}


@dataclass(frozen=True, slots=True)
class Match:
    """A route that fits a path, with the fields taken from the path (dotted names)."""

    route: Route
    path_fields: dict[str, str]


@cache
def compile_template(uri: str) -> tuple[re.Pattern[str], tuple[str, ...]]:
    """A template as a regular expression with one group per field, and the fields' names."""
    fields: list[str] = []
    pattern = ""
    position = 0
    for found in _VARIABLE.finditer(uri):
        pattern += _wildcards(uri[position : found.start()])
        fields.append(found[1])
        pattern += f"({_wildcards(found[2] or '*')})"
        position = found.end()
    return re.compile(pattern + _wildcards(uri[position:])), tuple(fields)


def _wildcards(text: str) -> str:
    escaped = re.escape(text)
    return escaped.replace(r"\*\*", ".+").replace(r"\*", "[^/]+")


class Router:
    """Finds the method of a REST call."""

    def __init__(self, methods: Iterable[Method]) -> None:
        self._routes: dict[str, list[Route]] = {}
        for method in methods:
            for rule in method.rules:
                literals = tuple(_WILDCARD.split(_VARIABLE.sub(lambda v: v[2] or "*", rule.uri)))
                route = Route(method, rule, literals, len(_VARIABLE.sub("", rule.uri)))
                self._routes.setdefault(rule.verb, []).append(route)

    def match(self, verb: str, path: str) -> Match | None:
        """The route of a call; None when no rule fits.

        A literal segment wins over a variable one, as in Google's front end: fewest fields'
        worth of wildcards first.
        """
        best: Match | None = None
        for route in self._routes.get(verb, ()):
            if best is not None and route.rank <= best.route.rank:
                continue
            values = route.match(path)
            if values is not None:
                best = Match(route, values)
        return best

    def verbs(self, path: str) -> list[str]:
        """HTTP verbs for which the path has a rule."""
        return [v for v in self._routes if self.match(v, path)]
