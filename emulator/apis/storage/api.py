"""The wire of Cloud Storage's JSON API: routes, bodies, batches, answers."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable, Mapping
from email.parser import BytesParser
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from emulator.apis.storage.asks import Answer, Ask
from emulator.apis.storage.buckets import Buckets
from emulator.apis.storage.disk import Draft
from emulator.apis.storage.errors import StorageError
from emulator.apis.storage.objects import Objects
from emulator.apis.storage.uploads import Uploads
from emulator.context import Cloud
from emulator.faults.naming import asked_http
from emulator.wire.errors import ApiError, to_envelope
from emulator.wire.partial import asked_for
from emulator.wire.rest import json_response

_LOG = logging.getLogger("emulator")
_B: Final = r"/b/(?P<bucket>[^/]+)"
_O: Final = rf"{_B}/o/(?P<object>[^/]+)"
_TO: Final = r"/b/(?P<toBucket>[^/]+)/o/(?P<toObject>[^/]+)"
_MOST_CALLS: Final = 100
Handler = Callable[[Ask], Answer]


class Storage:
    """The ASGI application behind every prefix."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        buckets, objects = Buckets(cloud), Objects(cloud)
        self._uploads = Uploads(cloud)
        served: tuple[tuple[str, str, str, Handler], ...] = (
            ("buckets.insert", "POST", "/b", buckets.insert),
            ("buckets.list", "GET", "/b", buckets.list),
            ("buckets.get", "GET", _B, buckets.get),
            ("buckets.patch", "PATCH", _B, buckets.patch),
            ("buckets.update", "PUT", _B, buckets.update),
            ("buckets.delete", "DELETE", _B, buckets.delete),
            ("buckets.getStorageLayout", "GET", f"{_B}/storageLayout", buckets.layout),
            ("managedFolders.list", "GET", f"{_B}/managedFolders", buckets.managed_folders),
            ("buckets.getIamPolicy", "GET", f"{_B}/iam", buckets.get_policy),
            ("buckets.setIamPolicy", "PUT", f"{_B}/iam", buckets.set_policy),
            ("buckets.testIamPermissions", "GET", f"{_B}/iam/testPermissions",
             buckets.test_permissions),
            ("projects.serviceAccount.get", "GET", r"/projects/(?P<project>[^/]+)/serviceAccount",
             buckets.service_account),
            ("objects.list", "GET", f"{_B}/o", objects.list),
            ("objects.get", "GET", _O, objects.get),
            ("objects.patch", "PATCH", _O, objects.patch),
            ("objects.update", "PUT", _O, objects.update),
            ("objects.delete", "DELETE", _O, objects.delete),
            ("objects.compose", "POST", f"{_O}/compose", objects.compose),
            ("objects.copy", "POST", f"{_O}/copyTo{_TO}", objects.copy),
            ("objects.rewrite", "POST", f"{_O}/rewriteTo{_TO}", objects.rewrite),
            ("objects.move", "POST", f"{_O}/moveTo/o/(?P<toObject>[^/]+)", objects.move),
        )  # fmt: skip
        self._routes = [
            (verb, re.compile("/v1" + path), name, handler) for name, verb, path, handler in served
        ]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one HTTP request."""
        request = Request(scope, receive)
        root, path = str(scope.get("root_path", "")), _path(request)
        base = f"{str(request.base_url).removesuffix('/').removesuffix(root)}/storage/v1"
        if root == "/batch/storage":
            body = await request.body()
            work = asyncio.to_thread(self._batch, request, body, base)
        elif root.endswith("/upload/storage"):
            found = re.fullmatch(r"/v1" + _B + "/o", path)
            draft = self._uploads.draft()
            async for chunk in request.stream():
                await asyncio.to_thread(draft.write, chunk)
            work = asyncio.to_thread(self._upload, request, found, draft, base)
        else:
            body = await request.body()
            headers = {k.lower(): v for k, v in request.headers.items()}
            work = asyncio.to_thread(
                self._call, request.method, path, request.query_params, headers, body, base
            )
        answer = await work
        await _response(answer)(scope, receive, send)

    def _call(
        self, verb: str, path: str, query: QueryParams, headers: Mapping[str, str], raw: bytes,
        base: str,
    ) -> Answer:  # fmt: skip
        for route_verb, pattern, name, handler in self._routes:
            found = pattern.fullmatch(path)
            if found and route_verb == verb:
                names = {k: unquote(v) for k, v in found.groupdict().items()}

                def work(names: dict[str, str] = names, handler: Handler = handler) -> Answer:
                    return handler(Ask(names, dict(query), _object(raw), base, headers, query))

                return self._run(name, work, query)
        return _refusal(StorageError(404, f"Not Found: {verb} {path}"))

    def _run(self, name: str, work: Callable[[], Answer], query: Mapping[str, str]) -> Answer:
        code = "OK"
        try:
            keep = asked_for(query)
            answer = work()
            if answer.body is None:
                return answer
            return Answer(keep(answer.body), answer.status, answer.headers)
        except StorageError as error:
            code = error.reason
            return _refusal(error)
        except ApiError as error:
            code = error.legacy_reason
            return _refusal(StorageError(400, error.message, code, "fields"))
        except Exception:  # noqa: BLE001 - a caller never gets less than Google's envelope
            _LOG.exception("storage %s failed", name)
            code = "backendError"
            return _refusal(StorageError(500, "Backend Error", code))
        finally:
            self._cloud.calls.count("storage", name, "rest", code)

    def _upload(
        self, request: Request, found: re.Match[str] | None, draft: Draft, base: str
    ) -> Answer:
        query = request.query_params
        headers = {k.lower(): v for k, v in request.headers.items()}
        kind, verb = query.get("uploadType", ""), request.method
        if found is None or verb not in ("POST", "PUT", "DELETE"):
            draft.drop()
            return _refusal(StorageError(404, f"Not Found: {verb} {request.url.path}"))
        names = {"bucket": unquote(found["bucket"])}

        def work() -> Answer:
            ask = Ask(names, dict(query), {}, base, headers, query)
            if "upload_id" in query:
                if verb != "DELETE":
                    return self._uploads.resume(ask, draft)
                return self._uploads.cancel(ask)
            if kind == "media":
                return self._uploads.media(ask, draft)
            if kind == "multipart":
                return self._uploads.multipart(ask, draft)
            if kind != "resumable":
                raise StorageError(400, f"Invalid uploadType '{kind}'.", location="uploadType")
            text = draft.finish().path.read_bytes()
            return self._uploads.start(Ask(names, dict(query), _object(text), base, headers, query))

        try:
            return self._run("objects.insert", work, query)
        finally:
            if not draft.kept:
                draft.drop()

    def _batch(self, request: Request, raw: bytes, base: str) -> Answer:
        """multipart/mixed with a whole HTTP request in each part."""
        kind = request.headers.get("content-type", "").encode("latin-1", "replace")
        whole = BytesParser().parsebytes(b"Content-Type: " + kind + b"\r\n\r\n" + raw)
        parts = whole.get_payload()
        if not whole.is_multipart() or not isinstance(parts, list):
            return _refusal(StorageError(400, "A batch must be multipart/mixed."))
        if len(parts) > _MOST_CALLS:
            return _refusal(StorageError(400, f"A batch takes at most {_MOST_CALLS} calls."))
        mark = "batch_heartwood"
        out: list[bytes] = []
        for part in parts:
            inner = part.get_payload(decode=True)
            if not isinstance(inner, bytes):
                inner = part.as_bytes().partition(b"\n\n")[2]
            answer = self._part(inner, base, request.headers.get("authorization", ""), len(out))
            head = f"--{mark}\r\nContent-Type: application/http\r\n"
            if number := part.get("Content-ID"):
                head += f"Content-ID: <response-{str(number).strip().lstrip('<')}\r\n"
            out.append(head.encode("ascii", "replace") + b"\r\n" + answer + b"\r\n")
        body = b"".join(out) + f"--{mark}--\r\n".encode()
        headers = {"content-type": f"multipart/mixed; boundary={mark}"}
        return Answer(None, 200, headers, [body])

    def _refused(
        self, verb: str, path: str, query: QueryParams, headers: Mapping[str, str]
    ) -> dict[str, Any] | None:
        """Status and body with which the gate refuses a batch's call; None when it may pass."""
        own = self._cloud.project.id
        asked = asked_http("/storage", "storage.googleapis.com", verb, path, query, own)
        if asked is None or self._cloud.gate is None:
            return None
        try:
            self._cloud.gate.admit(asked, headers, query)
        except ApiError as error:
            return {"status": error.http_status, "body": to_envelope(error, legacy=True)}
        return None

    def _part(self, raw: bytes, base: str, credentials: str, number: int) -> bytes:
        line, _, rest = raw.lstrip().partition(b"\n")
        words = line.decode("latin-1").split()
        if len(words) < 2:
            answer = _refusal(StorageError(400, "A part of the batch is no HTTP request."))
        else:
            message = BytesParser().parsebytes(rest)
            headers = {"authorization": credentials}
            headers |= {k.lower(): str(v) for k, v in message.items()}
            target = urlsplit(words[1])
            path = target.path.removeprefix("/storage")
            content = message.get_payload(decode=True)
            body = content if isinstance(content, bytes) else b""
            query = QueryParams(target.query)
            refused = self._cloud.decided(
                f"part {number}", lambda: self._refused(words[0], path, query, headers)
            )
            answer = (
                Answer(refused["body"], refused["status"])
                if refused
                else self._call(words[0], path, query, headers, body, base)
            )
        body = b"" if answer.body is None else json.dumps(answer.body).encode()
        if answer.media is not None:
            body = b"".join(answer.media)
        return (
            f"HTTP/1.1 {answer.status} Answer\r\nContent-Type: application/json; charset=UTF-8\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )


def _path(request: Request) -> str:
    """The path below the prefix, still percent-encoded: an object's name may hold slashes."""
    raw = request.scope.get("raw_path") or request.scope["path"].encode()
    path = raw.decode("latin-1").split("?", 1)[0]
    return path.removeprefix(request.scope.get("root_path", ""))


def _object(raw: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(raw) if raw.strip() else {}
    except (ValueError, RecursionError) as error:
        raise StorageError(400, f"Parse Error: {error}", "parseError") from error
    if not isinstance(body, dict):
        raise StorageError(400, "The body must be a JSON object.", "parseError")
    return body


def _refusal(error: StorageError) -> Answer:
    return Answer(error.envelope() if error.status != 304 else None, error.status)


def _response(answer: Answer) -> Response:
    if answer.media is not None:
        headers = {"content-type": "application/octet-stream", **answer.headers}
        return StreamingResponse(answer.media, answer.status, headers)
    if answer.body is None:
        return Response(b"", answer.status, dict(answer.headers))
    response = json_response(answer.body, answer.status)
    response.headers.update(dict(answer.headers))
    return response
