"""`make coverage`: writes emulator/COVERAGE.md, which methods of Google's APIs the emulator serves.

Methods come from Google's client libraries; of the APIs that no library describes (BigQuery,
Storage, Resource Manager v1) from the discovery documents, of Kubernetes from what its API servers
tell. "Checked" is a method whose bodies tests hold against the discovery document (checked.txt).
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from emulator.context import Cloud, make_cloud
from emulator.server import load_apis
from emulator.settings import Settings
from emulator.wire.library import HttpRule, Method
from emulator.wire.mount import Mount
from emulator.wire.rest import RestApp
from tests.emulator.checked import listed
from tests.emulator.discovery import find_method, methods, templates
from tests.emulator.exchanges import find_document

FILE: Final = Path(__file__).resolve().parents[2] / "emulator" / "COVERAGE.md"
# Documents of APIs behind routers, with the prefix before their paths.
ROUTERS: Final = {
    "bigquery.v2": "/bigquery/", "storage.v1": "/", "cloudresourcemanager.v1":
    "/cloudresourcemanager/",
}  # fmt: skip
_VERBS: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_VARIABLE: Final = re.compile(r"\{[\w.]+(?:=([^}]*))?\}")
_UNKNOWN: Final = re.compile(r"Not Found: (?:[A-Z]+ )?/?\w|The requested URL")
_SHARED: Final = ("google.longrunning.", "google.cloud.location.", "google.iam.v1.")


@dataclass(frozen=True, slots=True)
class Row:
    """A method: its service, its name, and "checked", "served" or "missing"."""

    service: str
    name: str
    state: str


def rows() -> list[Row]:
    """Every method of every service that answers."""
    cloud = make_cloud(Settings())
    mounts = load_apis(cloud)
    checked = listed()
    found = [row for m in mounts if isinstance(m, Mount) for row in _of_mount(m, checked)]
    app = RestApp(cloud, mounts, {})
    found += asyncio.run(_of_routers(app, checked))
    return [*found, *asyncio.run(_of_kubernetes(cloud, app))]


def _of_mount(mount: Mount, checked: set[str]) -> Iterator[Row]:
    for method in mount.methods():
        shared = method.service.startswith(_SHARED)
        served = hasattr(mount.handler, method.name)
        if shared and not served:
            continue
        state = "missing"
        if served:
            state = "checked" if checked & set(_documented(mount.prefix, method)) else "served"
        yield Row(_service(mount), method.name, state)


def _service(mount: Mount) -> str:
    package, _, folder = mount.transports.removesuffix(".transports").partition(".services.")
    return f"{package.removeprefix('google.').removeprefix('cloud.')}.{folder}"


def _documented(prefix: str, method: Method) -> Iterator[str]:
    for rule in method.rules:
        path = rule.uri if rule.uri.startswith(f"{prefix}/") else prefix + rule.uri
        document, inner = find_document(_sample(rule, path))
        found = find_method(document, rule.verb, inner) if document else None
        if found is not None:
            yield f"{document}:{found['id']}"


def _sample(rule: HttpRule, path: str) -> str:
    """A path that fits the rule; what may be of a project, a folder or so is of a project."""
    filled = _VARIABLE.sub(lambda found: found[1] or "a", path)
    return filled.replace("/*/*/", "/projects/a/").replace("**", "a").replace("*", "a")


async def _of_routers(app: RestApp, checked: set[str]) -> list[Row]:
    found: list[Row] = []
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://emulator") as client:
        for document, prefix in ROUTERS.items():
            for method in methods(document):
                served = await _is_served(client, document, prefix, method)
                name = f"{document}:{method['id']}"
                state = "missing" if not served else "checked" if name in checked else "served"
                found.append(Row(document, method["id"].partition(".")[2], state))
    return found


async def _is_served(
    client: httpx.AsyncClient, document: str, prefix: str, method: dict[str, Any]
) -> bool:
    """Whether the emulator knows the path; a thing by such a name is not there."""
    for template in templates(document, method)[:1]:
        path = re.sub(r"\{\+?(\w+)\}", "heartwood-demo", template)
        answer = await client.request(method["httpMethod"], prefix + path, json={})
        if answer.status_code not in (404, 405):
            return True
        message = (answer.json().get("error") or {}).get("message", "Not Found: /x")
        if not _UNKNOWN.match(message):
            return True
    return False


async def _of_kubernetes(cloud: Cloud, app: RestApp) -> list[Row]:
    project, cluster = cloud.project, next(iter(cloud.fleet.clusters.values()))
    base = f"http://emulator/k8s/{project.id}/{cluster.location}/{cluster.name}"
    found: list[Row] = []
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base) as client:
        groups = (await client.get(f"{base}/apis")).json()["groups"]
        places = ["/api/v1", *(f"/apis/{v['groupVersion']}" for g in groups for v in g["versions"])]
        for place in places:
            told = (await client.get(base + place)).json()
            for kind in told["resources"]:
                verbs = set(kind["verbs"])
                whole = "/" not in kind["name"] and not kind["name"].endswith("reviews")
                expected = verbs | set(_VERBS) if whole else verbs
                service = f"kubernetes {told['groupVersion']}"
                found += [
                    Row(service, f"{kind['name']} {v}", "served" if v in verbs else "missing")
                    for v in sorted(expected)
                ]
    return found


def page(found: Iterable[Row]) -> str:
    """The Markdown."""
    services: dict[str, list[Row]] = {}
    for row in found:
        services.setdefault(row.service, []).append(row)
    every = [row for of in services.values() for row in of]
    lines = [
        "# What the emulator serves", "",
        "Written by `make coverage`; a test fails when it is not current. Counted are all methods "
        "of every service that answers, if only with UNIMPLEMENTED. *Checked*: tests hold its "
        "bodies, as answered over either wire and as our own adapters ask, against Google's "
        "discovery document. *Served*: it works and is tested, and no document was there to hold "
        "it against (Kubernetes and Cloud Quotas have none), or no test calls it with success. "
        "*Missing*: answers UNIMPLEMENTED or 404.", "",
        "| service | methods | served | of them checked | missing |",
        "|---|---:|---:|---:|---:|",
        *(_counts(name, of) for name, of in sorted(services.items())),
        _counts("**all**", every),
        _counts("**all but Kubernetes**", [r for r in every if not r.service.startswith("kub")]),
        "",
    ]  # fmt: skip
    for name, of in sorted(services.items()):
        lines += [f"## {name}", ""]
        for state in ("checked", "served", "missing"):
            names = [row.name for row in of if row.state == state]
            if names:
                lines += [f"- {state}: {', '.join(_compact(names))}"]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _compact(names: list[str]) -> list[str]:
    """Kubernetes' kinds once, with their verbs behind."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        kind, _, verb = name.partition(" ")
        kinds.setdefault(kind, []).append(verb)
    return [f"{k} ({' '.join(v)})" if any(v) else k for k, v in kinds.items()]


def _counts(name: str, of: list[Row]) -> str:
    served = sum(row.state != "missing" for row in of)
    checked = sum(row.state == "checked" for row in of)
    share = f"{served / len(of):.0%}"
    return f"| {name} | {len(of)} | {served} ({share}) | {checked} | {len(of) - served} |"


def main() -> int:
    """Write the file."""
    FILE.write_text(page(rows()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
