"""Which method a router's HTTP request calls, in Google's words: from its verb and path.

Google's REST paths alternate collections and names; the verb then gives the method. What departs
from that stands in tables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from emulator.apis.iam.permissions import resource_named
from emulator.faults.asked import Asked

_VERBS: Final = {"POST": "insert", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_STORAGE: Final = {"b": "buckets", "o": "objects"}
# The last segment of a path → method, where it names no collection.
_STORAGE_LAST: Final = {
    ("GET", "iam"): "getIamPolicy", ("PUT", "iam"): "setIamPolicy",
    ("GET", "testPermissions"): "testIamPermissions", ("GET", "storageLayout"): "getStorageLayout",
    ("POST", "compose"): "compose",
}  # fmt: skip
_BIGQUERY: Final = {
    ("POST", "queries"): "jobs.query", ("GET", "queries"): "jobs.getQueryResults",
    ("GET", "data"): "tabledata.list", ("POST", "insertAll"): "tabledata.insertAll",
    ("POST", "cancel"): "jobs.cancel", ("GET", "rest"): "discovery",
}  # fmt: skip
_KUBERNETES: Final = {
    "GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch",
    "DELETE": "delete",
}  # fmt: skip
_CLUSTER_SCOPED: Final = frozenset({"namespaces", "nodes", "persistentvolumes"})


def asked_http(
    prefix: str, host: str, verb: str, path: str, query: Mapping[str, str], project: str
) -> Asked | None:
    """What a request asks of a router; None for pages that belong to no API.

    Args:
        path: below the prefix, percent-encoded.
    """
    parts = [unquote(p) for p in path.split("/") if p]
    if prefix == "/k8s":
        return _kubernetes(verb, parts, query)
    if host.startswith("storage."):
        return _storage(verb, parts, query, host, upload="upload" in prefix)
    if host.startswith("bigquery."):
        return _bigquery(verb, parts, host)
    if host:
        return _resource_manager(verb, parts, host, project)
    return None


def _asked(host: str, method: str, resources: tuple[str, ...]) -> Asked:
    group, _, verb = method.rpartition(".")
    return Asked(host.partition(".")[0], host, (method,), resources, group, verb)


def _storage(
    verb: str, parts: list[str], query: Mapping[str, str], host: str, *, upload: bool
) -> Asked | None:
    rest = parts[1:] if parts[:1] == ["v1"] else parts
    if not rest:
        return None
    bucket = rest[1] if rest[0] == "b" and len(rest) > 1 else ""
    name = rest[3] if len(rest) > 3 and rest[2] == "o" else query.get("name", "")
    found = [f"buckets/{bucket}", f"projects/_/buckets/{bucket}"] if bucket else []
    if bucket and name:
        found = [f"projects/_/buckets/{bucket}/objects/{name}", *found]
    if upload:
        return _asked(host, "objects.insert", tuple(found))
    if rest[0] == "projects":
        return _asked(host, "projects.serviceAccount.get", ())
    collection = "objects" if len(rest) > 2 and rest[2] == "o" else "buckets"
    if len(rest) > 2 and rest[2] == "managedFolders":
        collection = "managedFolders"
    named = len(rest) < 3 or (len(rest) == 4 and rest[2] == "o")
    special = None if named else _STORAGE_LAST.get((verb, rest[-1]))
    if special is None and len(rest) > 4 and collection == "objects":
        special = re.sub("To$", "", rest[4]) if rest[4].endswith("To") else None
    return _asked(host, f"{collection}.{special or _plain(verb, len(rest))}", tuple(found))


def _plain(verb: str, length: int) -> str:
    """The method of a path that ends with a name (even) or a collection (odd)."""
    return _VERBS.get(verb) or ("list" if length % 2 else "get")


def _bigquery(verb: str, parts: list[str], host: str) -> Asked | None:
    upload = "upload" in parts[:2]
    while parts and parts[0] in ("bigquery", "v2", "upload", "resumable"):
        parts = parts[1:]
    if not parts:
        return None
    if upload:
        return _asked(host, "jobs.insert", ("/".join(parts[: len(parts) // 2 * 2]),))
    for last in (parts[-1], parts[-2] if len(parts) > 1 else ""):
        known = _BIGQUERY.get((verb, last))
        if known and (last != "data" or len(parts) > 5):
            return _asked(host, known, ("/".join(parts[: len(parts) // 2 * 2]),))
    collection = parts[-1] if len(parts) % 2 else parts[-2]
    return _asked(
        host, f"{collection}.{_plain(verb, len(parts))}", ("/".join(parts[: len(parts) // 2 * 2]),)
    )


def _resource_manager(verb: str, parts: list[str], host: str, project: str) -> Asked:
    last = parts[-1] if parts else ""
    name, _, custom = last.partition(":")
    if custom:
        return _asked(host, f"projects.{custom}", (f"projects/{name}",))
    if len(parts) < 2:
        return _asked(host, "projects.list", ())
    return _asked(host, f"projects.{_plain(verb, len(parts))}", (f"projects/{name}",))


def _kubernetes(verb: str, parts: list[str], query: Mapping[str, str]) -> Asked | None:
    where, rest = parts[:3], parts[3:]
    if len(where) < 3:
        return None
    cluster = "projects/{}/locations/{}/clusters/{}".format(*where)
    rest = rest[2:] if rest[:1] == ["api"] else rest[3:] if rest[:1] == ["apis"] else []
    namespace = ""
    if len(rest) >= 3 and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    if not rest:
        return Asked("kubernetes", "", ("discovery",), (cluster,), "", "discovery")
    kind, name = rest[0], rest[1] if len(rest) > 1 else ""
    sub = rest[2] if len(rest) > 2 else ""
    action = _KUBERNETES.get(verb, verb.lower())
    if action == "get" and not name:
        action = "watch" if query.get("watch") in ("1", "true") else "list"
    if sub == "log":
        action = "getLogs"
    return asked_kubernetes(cluster, action, kind, namespace, name)


def asked_kubernetes(
    cluster: str, action: str, kind: str, namespace: str = "", name: str = ""
) -> Asked:
    """What a call of a cluster's API asks for; `cluster` is the full name, `kind` its plural."""
    own = [cluster]
    if name:
        space = f"/namespaces/{namespace}" if namespace else ""
        own.insert(0, f"{cluster}/k8s{space}/{kind}/{name}")
    permission = "list" if action == "watch" else action
    return Asked(
        "kubernetes", "", (f"{resource_named('container', kind)}.{action}", f"{kind}.{action}"),
        tuple(own), kind, permission,
    )  # fmt: skip
