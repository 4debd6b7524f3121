"""URI templates of google.api.http: from a path to the request fields that it holds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from emulator.wire.library import HttpRule, Method

_VARIABLE = re.compile(r"\{([\w.]+)(?:=([^}]*))?\}")


@dataclass(frozen=True, slots=True)
class Route:
    """A method's HTTP rule with its template compiled."""

    method: Method
    rule: HttpRule
    pattern: re.Pattern[str]
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Match:
    """A route that fits a path, with the fields taken from the path (dotted names)."""

    route: Route
    path_fields: dict[str, str]


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
                pattern, fields = compile_template(rule.uri)
                self._routes.setdefault(rule.verb, []).append(Route(method, rule, pattern, fields))

    def match(self, verb: str, path: str) -> Match | None:
        """The route of a call; None when no rule fits.

        A literal segment wins over a variable one, as in Google's front end: fewest fields'
        worth of wildcards first.
        """
        best: Match | None = None
        best_rank = -1
        for route in self._routes.get(verb, ()):
            found = route.pattern.fullmatch(path)
            if found is None:
                continue
            rank = len(_VARIABLE.sub("", route.rule.uri))
            if rank > best_rank:
                values = {f: unquote(v) for f, v in zip(route.fields, found.groups(), strict=True)}
                best, best_rank = Match(route, values), rank
        return best

    def verbs(self, path: str) -> list[str]:
        """HTTP verbs for which the path has a rule."""
        return [v for v in self._routes if self.match(v, path)]
