"""One call to Cloud Storage and its answer, as handlers see them; the wire is api.py's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import QueryParams


@dataclass(frozen=True, slots=True)
class Ask:
    """A call.

    Attributes:
        path: the names in the path, decoded.
        query: its parameters, the last of each name; `many` holds all.
        body: the JSON body, {} without one.
        base: the JSON API's address as the caller knows it, e.g. http://host/storage/v1.
        headers: names in lower case.
    """

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Mapping[str, Any]
    base: str
    headers: Mapping[str, str]
    many: QueryParams


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: a JSON body, media, or neither."""

    body: dict[str, Any] | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    media: Iterable[bytes] | None = None
