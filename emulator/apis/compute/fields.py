"""Bodies as nested dicts: places of fields, names of resources in them, merging, enums.

Knows no resource in particular.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from google.protobuf import json_format

from emulator.apis.compute.model import HOST, Body
from emulator.apis.compute.refusals import bad_value
from emulator.scenario import Project
from emulator.wire.codec import plain

NAME_PATTERN: Final = "[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?"
_NAME: Final = re.compile(NAME_PATTERN)
_PATH: Final = re.compile(r"projects/[^/]+/(?:global|zones/[^/]+|regions/[^/]+)/[A-Za-z]+/[^/]+")
Place = tuple[Any, Any, str]


def check_name(name: object, field: str = "name") -> None:
    """Pass an RFC 1035 label, as compute wants names."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise bad_value(field, name, f"Must be a match of regex '(?:{NAME_PATTERN})'")


def places(node: Any, path: str, where: str = "") -> Iterator[Place]:
    """(container, key, field as text) of each value at a dotted path, lists gone through."""
    head, _, rest = path.partition(".")
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from places(item, path, f"{where}[{index}]")
    elif isinstance(node, dict) and head in node:
        here = f"{where}.{head}".lstrip(".")
        if rest:
            yield from places(node[head], rest, here)
        elif isinstance(node[head], list):
            yield from ((node[head], i, f"{here}[{i}]") for i in range(len(node[head])))
        else:
            yield node, head, here


def path_of(project: Project, link: str) -> str | None:
    """ "projects/P/SCOPE/COLLECTION/NAME" of a full or partial URL; None when it is none."""
    text = link
    if "://" in link:
        text = link.partition("/compute/v1/")[2]
    text = text.strip("/")
    if text.startswith(("global/", "zones/", "regions/")):
        text = f"projects/{project.id}/{text}"
    text = text.replace(f"projects/{project.number}/", f"projects/{project.id}/", 1)
    return text if _PATH.fullmatch(text) else None


def link_of(path: str) -> str:
    """The selfLink of a path."""
    return f"{HOST}/{path}"


def as_body(message: Any) -> Body:
    """A request's resource as a body; enum values checked.

    Raises:
        ApiError: a value that the enum has not; the library's messages hold enums as strings, so
            that the wire cannot tell.
    """
    _check_enums(type(message), message, "")
    return json_format.MessageToDict(plain(message))


def _check_enums(kind: Any, message: Any, where: str) -> None:
    target = plain(message)
    for field, value in target.ListFields():
        here = f"{where}.{field.json_name}".lstrip(".")
        if field.message_type is not None:
            nested = getattr(kind, "meta", None)
            child = nested.fields[field.name].message if nested else None
            if child is None or field.message_type.GetOptions().map_entry:
                continue
            values = value if field.is_repeated else [value]
            for item in values:
                _check_enums(child, item, here)
            continue
        enum = getattr(kind, "".join(part.title() for part in field.name.split("_")), None)
        if enum is None or not hasattr(enum, "__members__"):
            continue
        for text in value if field.is_repeated else [value]:
            names = [n for n in enum.__members__ if not n.startswith("UNDEFINED_")]
            if isinstance(text, str) and text not in names:
                raise bad_value(here, text, f"Must be one of {sorted(names)}.")


def cleared(payload: bytes) -> Any:
    """What a PATCH empties: the request's JSON, of which `merge` uses nulls and empty lists."""
    return json.loads(payload) if payload.strip() else {}


def merge(before: Body, changes: Body, raw: Any) -> Body:
    """The body with the changes laid over it: objects merged, lists replaced, nulls removed."""
    found = dict(before)
    for key, value in changes.items():
        old = found.get(key)
        inner = _at(raw, key)
        if isinstance(value, dict) and isinstance(old, dict):
            found[key] = merge(old, value, inner)
        else:
            found[key] = value
    if isinstance(raw, dict):
        for key, value in raw.items():
            if value is None or value == []:
                found.pop(_camel(key), None)
    return found


def _at(raw: Any, key: str) -> Any:
    if not isinstance(raw, dict):
        return None
    return next((v for k, v in raw.items() if _camel(k) == key), None)


def _camel(key: str) -> str:
    head, *rest = key.split("_")
    return head + "".join(part.title() for part in rest)
