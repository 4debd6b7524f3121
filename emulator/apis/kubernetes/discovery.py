"""Which groups, versions and kinds there are: /version, /api, /apis and what stands below them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from emulator.apis.kubernetes.resources import KINDS, Kind

_VERBS: Final = ["get", "list", "watch"]
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


def groups() -> list[str]:
    """Named groups, each once."""
    return list(dict.fromkeys(kind.group for kind in KINDS if kind.group))


def group_list() -> dict[str, Any]:
    """The body of /apis."""
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(g) for g in groups()]}


def group_info(group: str) -> dict[str, Any] | None:
    """The body of /apis/<group>; None when there is no such group."""
    if group not in groups():
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(group)}


def _group(group: str) -> dict[str, Any]:
    versions = dict.fromkeys(kind.version for kind in KINDS if kind.group == group)
    listed = [{"groupVersion": f"{group}/{v}", "version": v} for v in versions]
    return {"name": group, "versions": listed, "preferredVersion": listed[0]}


def resource_list(group: str, version: str) -> dict[str, Any] | None:
    """The body of /api/v1 or /apis/<group>/<version>; None when there is no such version."""
    found = [kind for kind in KINDS if (kind.group, kind.version) == (group, version)]
    if not found:
        return None
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": found[0].api_version,
        "resources": [_resource(kind) for kind in found],
    }


def _resource(kind: Kind) -> dict[str, Any]:
    built: dict[str, Any] = {
        "name": kind.plural,
        "singularName": kind.name.lower(),
        "namespaced": kind.namespaced,
        "kind": kind.name,
        "verbs": _VERBS,
    }
    if kind.short:
        built["shortNames"] = list(kind.short)
    if kind.categories:
        built["categories"] = list(kind.categories)
    return built


def aggregated(core: bool) -> dict[str, Any]:
    """/api or /apis with all kinds in one answer, which newer clients ask for first."""
    names = [""] if core else groups()
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [_group_discovery(name) for name in names],
    }


def _group_discovery(group: str) -> dict[str, Any]:
    versions = dict.fromkeys(kind.version for kind in KINDS if kind.group == group)
    return {
        "metadata": {"name": group} if group else {},
        "versions": [
            {
                "version": version,
                "freshness": "Current",
                "resources": _discovered(
                    kind for kind in KINDS if (kind.group, kind.version) == (group, version)
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
            "singularResource": kind.name.lower(),
            "verbs": _VERBS,
            "shortNames": list(kind.short),
            "categories": list(kind.categories),
        }
        for kind in kinds
    ]
