"""The HTTP side of every cluster's API: which request is for whom, discovery and OpenAPI.

What reads answer is in reads.py, a watch's stream in watch.py, writes in asks.py and writes.py;
objects are model.py's.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from emulator.apis.gke.bounds import autoscaled
from emulator.apis.kubernetes import (
    deletes,
    discovery,
    openapi,
    subresources,
    versions,
    writes,
)
from emulator.apis.kubernetes.asks import Ask, Outcome, read_ask
from emulator.apis.kubernetes.kind_schemas import schema_of
from emulator.apis.kubernetes.model import ClusterObjects
from emulator.apis.kubernetes.reads import Reads
from emulator.apis.kubernetes.requests import (
    Target,
    parse_options,
    parse_target,
    wants_table,
)
from emulator.apis.kubernetes.resources import REVIEWS, Kinds
from emulator.apis.kubernetes.reviews import Reviewer
from emulator.apis.kubernetes.schema import prepare
from emulator.apis.kubernetes.status import (
    StatusError,
    method_not_allowed,
    no_such_path,
)
from emulator.apis.kubernetes.watch import watch_lines

if TYPE_CHECKING:
    from emulator.apis.gke.model import Cluster
    from emulator.context import Cloud

_LOG: Final = logging.getLogger("emulator")
_JSON: Final = "application/json"
_VERBS: Final = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class KubernetesApi:
    """The API servers of all clusters of the project."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._clusters: dict[str, ClusterObjects] = {}
        self._lock = threading.Lock()
        self._reads = Reads(cloud)

    def app(self) -> Starlette:
        """The ASGI application; paths start with /PROJECT/LOCATION/CLUSTER."""
        methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
        path = "/{project}/{location}/{cluster}{rest:path}"
        return Starlette(routes=[Route(path, self._serve, methods=methods)])

    def start(self) -> None:
        """Make every cluster's objects in the background, so that the first list is quick."""
        for cluster in list(self._cloud.fleet.clusters.values()):
            objects = self.objects(cluster)
            threading.Thread(target=objects.store.refresh, name="kubernetes", daemon=True).start()

    def answer(self) -> None:
        """After a change or an effect anywhere: every cluster's controllers answer it."""
        for name, cluster in sorted(self._cloud.fleet.clusters.items()):
            if name in self._clusters or autoscaled(cluster):
                self.objects(cluster).answer()

    async def _serve(self, request: Request) -> Response:
        counted, code = ["unknown"], "OK"
        try:
            raw = await request.body() if request.method not in ("GET", "HEAD") else b""
            return await run_in_threadpool(self._answer, request, raw, counted)
        except StatusError as error:
            code = error.reason
            return _json(error.body(), error.code)
        except Exception:  # noqa: BLE001 - logged; a client still gets a Status that it can read
            _LOG.exception("%s %s failed", request.method, request.url.path)
            code = "InternalError"
            error = StatusError(500, code, "Internal error occurred")
            return _json(error.body(), error.code)
        finally:
            self._cloud.calls.count("kubernetes", counted[0], "rest", code)

    def _answer(self, request: Request, raw: bytes, counted: list[str]) -> Response:
        segments = [s for s in request.path_params["rest"].split("/") if s]
        counted[0] = "discovery"
        objects = self._objects(request.path_params)
        reads = request.method in ("GET", "HEAD")
        if segments in (["healthz"], ["readyz"], ["livez"]):
            return PlainTextResponse("ok")
        accept = request.headers.get("accept", "")
        if reads and segments[:1] == ["openapi"]:
            return self._openapi(segments[1:], accept, request.url.path, objects.kinds)
        if reads and (found := self._discover(segments, accept, request.url.netloc, objects.kinds)):
            return found
        target = parse_target(segments, objects.kinds)
        query = dict(request.query_params)
        counted[0] = _label(request.method, target, query.get("watch", ""))
        found = self._about(request, objects, target, raw, query)
        return versions.answer(target.served, found) if target.served else found

    def _about(
        self, request: Request, objects: ClusterObjects, target: Target, raw: bytes,
        query: dict[str, str],
    ) -> Response:  # fmt: skip
        """The answer about objects, in the version that they are kept in."""
        if request.method not in ("GET", "HEAD"):
            return self._write(request, objects, target, raw)
        if "get" not in target.kind.verbs:
            raise method_not_allowed(request.method)
        options = parse_options(query, target)
        table = wants_table(request.headers.get("accept", ""))
        if options.watch:
            lines = watch_lines(objects.store, target.kind, options, table, self._cloud.clock.now)
            return StreamingResponse(self._reads.beating(lines), media_type=_JSON)
        if target.name:
            return self._reads.one(objects, target, options, table, query)
        return self._reads.all(objects, target, options, table)

    def _write(
        self, request: Request, objects: ClusterObjects, target: Target, raw: bytes
    ) -> Response:
        form, agent = request.headers.get("content-type", ""), request.headers.get("user-agent", "")
        query = dict(request.query_params)
        ask = read_ask(target, query, form, raw, agent)
        for kind in (target.kind, target.served):
            if kind is not None:
                prepare(schema_of(kind))
        with self._cloud.lock:
            objects.store.refresh()
            outcome = self._written(objects, request, ask, query)
            if self._cloud.turns.inside:  # neither a trial nor a review
                objects.converge()
        headers = {}
        if outcome.warnings:
            # Quoted and escaped as JSON does it, which keeps the header ASCII.
            headers["warning"] = ", ".join(f"299 - {json.dumps(one)}" for one in outcome.warnings)
        answer = _json(outcome.body, outcome.code, headers)
        return self._reads.body(bytes(answer.body), outcome.code, headers)

    def _written(
        self, objects: ClusterObjects, request: Request, ask: Ask, query: dict[str, str]
    ) -> Outcome:
        target, state, method = ask.target, objects.state, request.method
        verb = _VERBS[method]
        if method == "DELETE" and not target.name:
            verb = "deletecollection"
        if not target.sub and verb not in target.kind.verbs:
            raise method_not_allowed(method)
        match method:
            case "POST" if target.name:
                return subresources.post(state, ask)
            case "POST" if target.kind in REVIEWS:
                reviewer = Reviewer(self._cloud, request.path_params, objects.kinds)
                return reviewer.answer(ask, dict(request.headers.items()))
            case "POST":
                return writes.create(state, ask)
            case "PUT" if target.name:
                return writes.update(state, ask)
            case "PATCH" if target.name:
                return writes.patch(state, ask)
            case "DELETE" if target.name and not target.sub:
                return deletes.delete(state, ask)
            case "DELETE" if not target.name:
                options = parse_options(query, target)
                listing = objects.store.peek(target.kind).values()
                chosen = [item for item in listing if options.matches(item)]
                return deletes.delete_all(state, ask, chosen)
            case _:
                raise method_not_allowed(method)

    def _objects(self, where: dict[str, str]) -> ClusterObjects:
        cluster = self._cloud.fleet.clusters.get(where["cluster"])
        here = (self._cloud.project.id, cluster.location if cluster else "")
        if cluster is None or (where["project"], where["location"]) != here:
            raise no_such_path()
        return self.objects(cluster)

    def objects(self, cluster: Cluster) -> ClusterObjects:
        """All that is in a cluster."""
        with self._lock:
            found = self._clusters.get(cluster.name)
            # One that was deleted and made again begins empty.
            if found is None or found.cluster is not cluster:
                found = self._clusters[cluster.name] = ClusterObjects(self._cloud, cluster)
            return found

    def _discover(
        self, segments: Sequence[str], accept: str, host: str, kinds: Kinds
    ) -> Response | None:
        newer = "as=APIGroupDiscoveryList" in accept and "v=v2;" in f"{accept};".replace(",", ";")
        match segments:
            case ["version"]:
                return _json(discovery.version_info(self._cloud.project.cluster_version))
            case ["api"] | ["apis"] if newer:
                body = json.dumps(discovery.aggregated(segments[0] == "api", kinds))
                return Response(body, media_type=discovery.AGGREGATED)
            case ["api"]:
                return _json(discovery.core_versions(host))
            case ["apis"]:
                return _json(discovery.group_list(kinds))
            case ["apis", group]:
                found = discovery.group_info(group, kinds)
            case ["api", version]:
                found = discovery.resource_list("", version, kinds)
            case ["apis", group, version]:
                found = discovery.resource_list(group, version, kinds)
            case _:
                return None
        if found is None:
            raise no_such_path()
        return _json(found)

    def _openapi(self, rest: list[str], accept: str, path: str, kinds: Kinds) -> Response:
        version = self._cloud.project.cluster_version
        if rest == ["v3"]:
            root = path.rstrip("/").removesuffix("/openapi/v3")
            return _json(openapi.index(kinds, root, version))
        if rest == ["v2"]:
            if "json" not in accept and "*/*" not in accept:
                # kubectl asks so about kinds that version 3 does not describe: nor does this one.
                return Response(openapi.NO_DEFINITIONS, media_type=openapi.PROTOBUF)
            return Response(openapi.second(kinds, version), media_type=_JSON)
        found = openapi.document(kinds, "/".join(rest[1:]), version) if rest[:1] == ["v3"] else None
        if found is None:
            raise no_such_path()
        return Response(found, media_type=_JSON)


def _label(method: str, target: Target, watch: str) -> str:
    """Verb and kind, for the count of calls: names of objects would make it endless."""
    verb = _VERBS.get(method) or (
        "watch" if watch in ("1", "true") else "get" if target.name else "list"
    )
    sub = f"/{target.sub}" if target.sub else ""
    return f"{verb} {target.kind.qualified}{sub}"


def _json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(body), status, headers, media_type=_JSON)
