"""What reads answer: an object, a list with its pages, a Table, a pod's log."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from emulator.apis.kubernetes import logs, scaling
from emulator.apis.kubernetes.model import ClusterObjects
from emulator.apis.kubernetes.nodes import HEARTBEAT
from emulator.apis.kubernetes.requests import Options, Target, make_token, read_token
from emulator.apis.kubernetes.status import expired, method_not_allowed, no_such_object, too_new
from emulator.apis.kubernetes.store import Item
from emulator.apis.kubernetes.tables import table_columns, table_rows
from emulator.apis.kubernetes.watch import follow
from emulator.clock import rfc3339

if TYPE_CHECKING:
    from emulator.context import Cloud

_JSON: Final = "application/json"
_BEAT_S: Final = 300  # a kubelet whose node does not change reports it every five minutes


class Reads:
    """The answers for every cluster of the project."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def _log(self, objects: ClusterObjects, pod: Item, query: dict[str, str]) -> Response:
        now = self._cloud.clock.now()
        options = logs.read_options(query, pod, now)
        lines = logs.log_lines(pod, options, now)
        if not options.follow:
            return PlainTextResponse(logs.as_text(lines, options))
        followed = follow(objects.store, pod, options, lines, self._cloud.clock.now)
        return StreamingResponse(followed, media_type="text/plain")

    def one(
        self,
        objects: ClusterObjects,
        target: Target,
        options: Options,
        table: bool,
        query: dict[str, str],
    ) -> Response:
        """An object, its scale or its log."""
        found = objects.store.list(target.kind)
        item = found[1].get((target.namespace, target.name)) if found else None
        if item is None:
            raise no_such_object(target.kind, target.name)
        if target.sub == "scale":
            return JSONResponse(scaling.scale_of(item))
        if target.sub == "log":
            return self._log(objects, item, query)
        if target.sub not in ("", "status"):
            raise method_not_allowed("GET")
        if table:
            return self._table(target, [item], {}, options)
        return self.body(item.encoded)

    def all(
        self, objects: ClusterObjects, target: Target, options: Options, table: bool
    ) -> Response:
        """A page of a list."""
        wanted, after = options.version if options.exact else None, ("", "")
        if options.token:
            wanted, after = read_token(options.token)
        found = objects.store.list(target.kind, wanted)
        if found is None:
            raise expired()
        version, listing = found
        if (options.version or 0) > version and not options.token:
            raise too_new(options.version or 0, version)
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
            "kind": target.kind.list_kind,
            "apiVersion": target.kind.api_version,
            "metadata": meta,
        }
        body = json.dumps(head, separators=(",", ":"))[:-1].encode() + b',"items":['
        return self.body(body + b",".join(item.encoded for item in items) + b"]}")

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
        return self.body(json.dumps(body, separators=(",", ":")).encode())

    def body(self, body: bytes, code: int = 200, headers: dict[str, str] | None = None) -> Response:
        """JSON of objects as they are stored."""
        body = body.replace(HEARTBEAT.encode(), self._beat())
        return Response(body, code, headers, media_type=_JSON)

    async def beating(self, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The lines of a watch."""
        async for line in lines:
            yield line.replace(HEARTBEAT.encode(), self._beat())

    def _beat(self) -> bytes:
        """When the kubelets last reported."""
        return rfc3339(self._cloud.clock.now() // _BEAT_S * _BEAT_S).encode()
