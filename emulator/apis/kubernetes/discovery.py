"""Which groups, versions and kinds there are: /version, /api, /apis and what stands below them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from emulator.apis.kubernetes.resources import Kind, Kinds

AGGREGATED: Final = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def version_info(version: str) -> dict[str, str]:
    """The body of /version; GKE's versions read 1.34.1-gke.3084001."""
    major, minor = version.split(".")[:2]
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"v{version}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "",
        "goVersion": "",
        "compiler": "gc",
        "platform": "linux/amd64",
    }


def core_versions(server: str) -> dict[str, Any]:
    """The body of /api."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server}],
    }


def groups(kinds: Kinds) -> list[str]:
    """Named groups, each once."""
    return list(dict.fromkeys(kind.group for kind in kinds if kind.group))


def group_list(kinds: Kinds) -> dict[str, Any]:
    """The body of /apis."""
    found = [_group(group, kinds) for group in groups(kinds)]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def group_info(group: str, kinds: Kinds) -> dict[str, Any] | None:
    """The body of /apis/<group>; None when there is no such group."""
    if group not in groups(kinds):
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(group, kinds)}


def _group(group: str, kinds: Kinds) -> dict[str, Any]:
    versions = dict.fromkeys(kind.version for kind in kinds if kind.group == group)
    listed = [{"groupVersion": f"{group}/{v}", "version": v} for v in versions]
    return {"name": group, "versions": listed, "preferredVersion": listed[0]}


def resource_list(group: str, version: str, kinds: Kinds) -> dict[str, Any] | None:
    """The body of /api/v1 or /apis/<group>/<version>; None when there is no such version."""
    found = [kind for kind in kinds if (kind.group, kind.version) == (group, version)]
    if not found:
        return None
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": found[0].api_version,
        "resources": [entry for kind in found for entry in _resources(kind)],
    }


def _resources(kind: Kind) -> list[dict[str, Any]]:
    built: dict[str, Any] = {
        "name": kind.plural,
        "singularName": kind.singular_name,
        "namespaced": kind.namespaced,
        "kind": kind.name,
        "verbs": list(kind.verbs),
    }
    if kind.short:
        built["shortNames"] = list(kind.short)
    if kind.categories:
        built["categories"] = list(kind.categories)
    return [built, *(_subresource(kind, name) for name in kind.subresources)]


# Subresources whose objects are of another kind; verbs that they have instead of the usual three.
_OTHER: Final = {
    "scale": ("autoscaling", "v1", "Scale"),
    "binding": ("", "v1", "Binding"),
    "eviction": ("policy", "v1", "Eviction"),
    "token": ("authentication.k8s.io", "v1", "TokenRequest"),
}
_OTHER_VERBS: Final = {
    "log": ["get"],
    "binding": ["create"],
    "eviction": ["create"],
    "token": ["create"],
    "finalize": ["update"],
}
_USUAL_VERBS: Final = ["get", "patch", "update"]


def _subresource(kind: Kind, name: str) -> dict[str, Any]:
    built: dict[str, Any] = {
        "name": f"{kind.plural}/{name}",
        "singularName": "",
        "namespaced": kind.namespaced,
        "kind": kind.name,
        "verbs": _OTHER_VERBS.get(name, _USUAL_VERBS),
    }
    if other := _OTHER.get(name):
        built |= {"group": other[0], "version": other[1], "kind": other[2]}
    return built


def aggregated(core: bool, kinds: Kinds) -> dict[str, Any]:
    """/api or /apis with all kinds in one answer, which newer clients ask for first."""
    names = [""] if core else groups(kinds)
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [_group_discovery(name, kinds) for name in names],
    }


def _group_discovery(group: str, kinds: Kinds) -> dict[str, Any]:
    versions = dict.fromkeys(kind.version for kind in kinds if kind.group == group)
    return {
        "metadata": {"name": group} if group else {},
        "versions": [
            {
                "version": version,
                "freshness": "Current",
                "resources": _discovered(
                    kind for kind in kinds if (kind.group, kind.version) == (group, version)
                ),
            }
            for version in versions
        ],
    }


def _discovered(kinds: Iterable[Kind]) -> list[dict[str, Any]]:
    return [
        {
            "resource": kind.plural,
            "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.name},
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "singularResource": kind.singular_name,
            "verbs": list(kind.verbs),
            "shortNames": list(kind.short),
            "categories": list(kind.categories),
            "subresources": [_discovered_subresource(kind, name) for name in kind.subresources],
        }
        for kind in kinds
    ]


def _discovered_subresource(kind: Kind, name: str) -> dict[str, Any]:
    group, version, called = _OTHER.get(name, (kind.group, kind.version, kind.name))
    return {
        "subresource": name,
        "responseKind": {"group": group, "version": version, "kind": called},
        "verbs": _OTHER_VERBS.get(name, _USUAL_VERBS),
    }
