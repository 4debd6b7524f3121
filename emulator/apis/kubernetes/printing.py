"""Parts that cells of Tables are made of: ages, labels, values at JSON paths."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from emulator.apis.kubernetes.resources import JsonObject

NONE: Final = "<none>"
_STEP: Final = re.compile(
    r"\.?([\w\-/$\x00]+)|\[(\d+)\]|\[\?\(@\.([\w.]+)\s*==\s*[\"']([^\"']*)[\"']\)\]"
)


def at_path(body: Any, path: str) -> Any:
    """The value at a JSON path (fields, indices, `[?(@.type=="Ready")]`), or None."""
    for found in _STEP.finditer(path.replace("\\.", "\x00")):
        name, number, field, wanted = found.groups()
        if name is not None:
            key = name.replace("\x00", ".")
            body = body.get(key) if isinstance(body, Mapping) else None
        elif number is not None:
            here = isinstance(body, list) and int(number) < len(body)
            body = body[int(number)] if here else None
        elif isinstance(body, list):
            body = next((e for e in body if str(at_path(e, field)) == wanted), None)
        else:
            body = None
    return body


def age(created: Any, now: float) -> str:
    """How long ago, as kubectl writes it: 45s, 12m, 5h12m, 3d4h, 65d, 2y30d."""
    if not created:
        return "<unknown>"
    began = seconds_of(created)
    return span(now - began) if began else "<invalid>"


def span(length_s: float) -> str:
    """So many seconds, with fewer digits the longer."""
    seconds = max(0, int(length_s))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if days < 730:
        return f"{days}d"
    return f"{days // 365}y{days % 365}d"


def name_of(body: JsonObject) -> Any:
    """metadata.name."""
    return body["metadata"]["name"]


def created(body: JsonObject, now: float) -> str:
    """The age of an object."""
    return age(body["metadata"].get("creationTimestamp"), now)


def part(body: JsonObject, name: str) -> dict[str, Any]:
    """An object in an object; empty when there is none."""
    found = body.get(name)
    return found if isinstance(found, dict) else {}


def labels_of(labels: Any) -> str:
    """Labels as one text."""
    return ",".join(f"{key}={value}" for key, value in (labels or {}).items()) or NONE


def seconds_of(text: Any) -> float:
    """Unix seconds of a time in an object; 0 for none."""
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0
