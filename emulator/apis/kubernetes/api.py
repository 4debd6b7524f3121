"""The HTTP side of every cluster's API: discovery, get, list, watch; JSON and Tables.

Which objects there are is model.py's, a watch's stream is watch.py's.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from emulator.apis.kubernetes import discovery
from emulator.apis.kubernetes.model import ClusterObjects
from emulator.apis.kubernetes.nodes import HEARTBEAT
from emulator.apis.kubernetes.requests import (
    Options,
    Target,
    make_token,
    parse_options,
    parse_target,
    read_token,
    wants_table,
)
from emulator.apis.kubernetes.status import (
    StatusError,
    expired,
    method_not_allowed,
    no_such_object,
    no_such_path,
)
from emulator.apis.kubernetes.store import Item
from emulator.apis.kubernetes.tables import table_columns, table_rows
from emulator.apis.kubernetes.watch import watch_lines
from emulator.clock import rfc3339

if TYPE_CHECKING:
    from emulator.apis.gke.model import Cluster
    from emulator.context import Cloud

_JSON: Final = "application/json"
_BEAT_S: Final = 300  # a kubelet whose node does not change reports it every five minutes


class KubernetesApi:
    """The API servers of all clusters of the project."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._clusters: dict[str, ClusterObjects] = {}
        self._lock = threading.Lock()

    def app(self) -> Starlette:
        """The ASGI application; paths start with /PROJECT/LOCATION/CLUSTER."""
        methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
        path = "/{project}/{location}/{cluster}{rest:path}"
        return Starlette(routes=[Route(path, self._serve, methods=methods)])

    def warm(self) -> None:
        """Make every cluster's objects in the background, so that the first list is quick."""
        for cluster in list(self._cloud.fleet.clusters.values()):
            objects = self._cluster_objects(cluster)
            threading.Thread(target=objects.store.refresh, name="kubernetes", daemon=True).start()

    async def _serve(self, request: Request) -> Response:
        label, code = "unknown", "OK"
        try:
            segments = [s for s in request.path_params["rest"].split("/") if s]
            label = _label(segments, request.query_params.get("watch", ""))
            return await run_in_threadpool(self._answer, request, segments)
        except StatusError as error:
            code = error.reason
            return _json(error.body(), error.code)
        finally:
            self._cloud.calls.count("kubernetes", label, "rest", code)

    def _answer(self, request: Request, segments: list[str]) -> Response:
        objects = self._objects(request.path_params)
        if request.method not in ("GET", "HEAD"):
            raise method_not_allowed(request.method)
        if segments in (["healthz"], ["readyz"], ["livez"]):
            return PlainTextResponse("ok")
        accept = request.headers.get("accept", "")
        if found := self._discover(segments, accept, request.url.netloc):
            return found
        target = parse_target(segments)
        options = parse_options(dict(request.query_params), target)
        table = wants_table(accept)
        if options.watch:
            lines = watch_lines(objects.store, target.kind, options, table, self._cloud.clock.now)
            return StreamingResponse(self._beating(lines), media_type=_JSON)
        if target.name:
            return self._get(objects, target, options, table)
        return self._list(objects, target, options, table)

    def _objects(self, where: dict[str, str]) -> ClusterObjects:
        cluster = self._cloud.fleet.clusters.get(where["cluster"])
        here = (self._cloud.project.id, cluster.location if cluster else "")
        if cluster is None or (where["project"], where["location"]) != here:
            raise no_such_path()
        return self._cluster_objects(cluster)

    def _cluster_objects(self, cluster: Cluster) -> ClusterObjects:
        with self._lock:
            if cluster.name not in self._clusters:
                self._clusters[cluster.name] = ClusterObjects(self._cloud, cluster)
            return self._clusters[cluster.name]

    def _discover(self, segments: Sequence[str], accept: str, host: str) -> Response | None:
        newer = "as=APIGroupDiscoveryList" in accept and "v=v2;" in f"{accept};".replace(",", ";")
        match segments:
            case ["version"]:
                return _json(discovery.version_info(self._cloud.project.cluster_version))
            case ["api"] | ["apis"] if newer:
                body = json.dumps(discovery.aggregated(core=segments[0] == "api"))
                return Response(body, media_type=discovery.AGGREGATED)
            case ["api"]:
                return _json(discovery.core_versions(host))
            case ["apis"]:
                return _json(discovery.group_list())
            case ["apis", group]:
                found = discovery.group_info(group)
            case ["api", version]:
                found = discovery.resource_list("", version)
            case ["apis", group, version]:
                found = discovery.resource_list(group, version)
            case _:
                return None
        if found is None:
            raise no_such_path()
        return _json(found)

    def _get(
        self, objects: ClusterObjects, target: Target, options: Options, table: bool
    ) -> Response:
        found = objects.store.list(target.kind)
        item = found[1].get((target.namespace, target.name)) if found else None
        if item is None:
            raise no_such_object(target.kind, target.name)
        if table:
            return self._table(target, [item], {}, options)
        return self._bytes(item.encoded)

    def _list(
        self, objects: ClusterObjects, target: Target, options: Options, table: bool
    ) -> Response:
        wanted, after = options.version if options.exact else None, ("", "")
        if options.token:
            wanted, after = read_token(options.token)
        found = objects.store.list(target.kind, wanted)
        if found is None:
            raise expired()
        version, listing = found
        items = [i for key, i in listing.items() if key > after and options.matches(i)]
        meta: dict[str, Any] = {"resourceVersion": str(version)}
        if options.limit and len(items) > options.limit:
            left = len(items) - options.limit
            items = items[: options.limit]
            meta["continue"] = make_token(version, items[-1].namespace, items[-1].name)
            if not options.selective:
                meta["remainingItemCount"] = left
        if table:
            return self._table(target, items, meta, options)
        head = {
            "kind": f"{target.kind.name}List",
            "apiVersion": target.kind.api_version,
            "metadata": meta,
        }
        body = json.dumps(head, separators=(",", ":"))[:-1].encode() + b',"items":['
        return self._bytes(body + b",".join(item.encoded for item in items) + b"]}")

    def _table(
        self, target: Target, items: list[Item], meta: dict[str, Any], options: Options
    ) -> Response:
        body = {
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": meta,
            "columnDefinitions": table_columns(target.kind),
            "rows": table_rows(target.kind, items, self._cloud.clock.now(), options.include),
        }
        return self._bytes(json.dumps(body, separators=(",", ":")).encode())

    def _bytes(self, body: bytes) -> Response:
        return Response(body.replace(HEARTBEAT.encode(), self._beat()), media_type=_JSON)

    async def _beating(self, lines: Any) -> Any:
        async for line in lines:
            yield line.replace(HEARTBEAT.encode(), self._beat())

    def _beat(self) -> bytes:
        """When the kubelets last reported."""
        return rfc3339(self._cloud.clock.now() // _BEAT_S * _BEAT_S).encode()


def _label(segments: list[str], watch: str) -> str:
    """Verb and kind, for the count of calls: names of objects would make it endless."""
    try:
        target = parse_target(segments)
    except StatusError:
        return "discovery"
    verb = "watch" if watch in ("1", "true") else "get" if target.name else "list"
    return f"{verb} {target.kind.qualified}"


def _json(body: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(body), status, media_type=_JSON)
