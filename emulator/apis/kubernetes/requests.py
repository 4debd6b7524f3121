"""What a request asks for: the kind and name in its path, the options in its query."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from emulator.apis.kubernetes.resources import NAMESPACES, Kind, Kinds
from emulator.apis.kubernetes.selectors import field_selector, label_selector
from emulator.apis.kubernetes.status import bad_request, expired, no_such_path
from emulator.apis.kubernetes.store import Item


@dataclass(frozen=True, slots=True)
class Target:
    """A kind, in one namespace or all (""), an object's name ("" for the list), a subresource.

    `kind` is as its objects are kept; `served` as they were asked for, if that is another version.
    """

    kind: Kind
    namespace: str
    name: str
    sub: str = ""
    served: Kind | None = None


def parse_target(segments: list[str], kinds: Kinds) -> Target:
    """The target of a path below the cluster, split at its slashes.

    Raises:
        StatusError: 404, nothing is served there.
    """
    match segments:
        case ["api", "v1", *rest]:
            group, version = "", "v1"
        case ["apis", group, version, *rest]:
            pass
        case _:
            raise no_such_path()
    namespace = ""
    # /namespaces/x/pods is pods in x, but /namespaces/x and its status are the namespace itself.
    own = len(rest) == 3 and rest[2] in NAMESPACES.subresources
    if len(rest) >= 3 and rest[0] == "namespaces" and not own:
        namespace, rest = rest[1], rest[2:]
    if len(rest) not in (1, 2, 3):
        raise no_such_path()
    kind = kinds.find(group, version, rest[0])
    if kind is None or (bool(namespace) and not kind.namespaced and kind is not NAMESPACES):
        raise no_such_path()
    name = rest[1] if len(rest) > 1 else ""
    sub = rest[2] if len(rest) == 3 else ""
    if (name and kind.namespaced and not namespace) or (sub and sub not in kind.subresources):
        raise no_such_path()
    return Target(kinds.kept(kind), namespace, name, sub, kind if kind.kept_as else None)


@dataclass(frozen=True, slots=True)
class Options:
    """The query of a list or watch. `limit` 0: all. `version` None: whatever is newest."""

    matches: Callable[[Item], bool]
    selective: bool
    limit: int
    token: str
    version: int | None
    exact: bool
    watch: bool
    bookmarks: bool
    initial_events: bool
    timeout_s: float
    include: str


def parse_options(query: Mapping[str, str], target: Target) -> Options:
    """Options of a request.

    Raises:
        StatusError: 400, one has no legal value.
    """
    by_label = label_selector(query.get("labelSelector", ""))
    by_field = field_selector(query.get("fieldSelector", ""), target.kind)

    def matches(item: Item) -> bool:
        if target.namespace and item.namespace != target.namespace:
            return False
        if target.name and item.name != target.name:
            return False
        return by_label(item.body["metadata"].get("labels", {})) and by_field(item.body)

    return Options(
        matches=matches,
        selective=bool(query.get("labelSelector") or query.get("fieldSelector")),
        limit=_number(query, "limit") or 0,
        token=query.get("continue", ""),
        version=_number(query, "resourceVersion"),
        exact=query.get("resourceVersionMatch") == "Exact",
        watch=_flag(query, "watch"),
        bookmarks=_flag(query, "allowWatchBookmarks"),
        initial_events=_flag(query, "sendInitialEvents"),
        timeout_s=float(_number(query, "timeoutSeconds") or 1800),
        include=query.get("includeObject") or "Metadata",
    )


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise bad_request(f"{name}: Invalid value: {text!r}: must be a number, not negative")
    return int(text)


def _flag(query: Mapping[str, str], name: str) -> bool:
    text = query.get(name, "").lower()
    if text not in ("", "0", "1", "true", "false"):
        raise bad_request(f"{name}: Invalid value: {text!r}: must be true or false")
    return text in ("1", "true")


def wants_table(accept: str) -> bool:
    """Whether the client would rather have a Table than the objects."""
    first = accept.split(",")[0]
    return "as=Table" in first and "g=meta.k8s.io" in first


def make_token(version: int, namespace: str, name: str) -> str:
    """A continue token: the version of the list and the last key that was sent."""
    text = json.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": f"{namespace}/{name}"})
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_token(token: str) -> tuple[int, tuple[str, str]]:
    """(version, last key sent) of a continue token.

    Raises:
        StatusError: 400, it is none; 410, it is of an unknown form.
    """
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        told: dict[str, Any] = json.loads(text)
        namespace, _, name = str(told["start"]).partition("/")
        return int(told["rv"]), (namespace, name)
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        if isinstance(error, KeyError):
            raise expired() from error
        raise bad_request("continue key is not valid") from error
