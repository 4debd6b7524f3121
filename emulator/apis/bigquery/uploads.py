"""Load jobs whose rows come with the request: at once (multipart), or in pieces (resumable).

A session's rows stay in memory until the last piece is there; what they become is jobs.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from emulator.apis.bigquery import loads
from emulator.apis.bigquery.errors import BigQueryError
from emulator.context import Cloud
from emulator.wire.ranges import content_span, taken

_MOST_BYTES: Final = 256 * 1024 * 1024
Job = Mapping[str, Any]


@dataclass(slots=True)
class _Session:
    job: Job
    data: bytearray = field(default_factory=bytearray)


class Uploads:
    """Uploads of the project.

    Args:
        check: refuses what is no load job. load: runs the job; what it answers.
    """

    def __init__(
        self,
        cloud: Cloud,
        check: Callable[[Job], None],
        load: Callable[[Request, Job, bytes], dict[str, Any]],
    ) -> None:
        self._cloud, self._check, self._load = cloud, check, load
        self._sessions: dict[str, _Session] = {}

    def answer(self, request: Request, raw: bytes, root: str) -> dict[str, Any] | Response:
        """The job once its rows are all there, else how far the upload is.

        Args:
            root: the address of BigQuery as the caller named it.

        Raises:
            BigQueryError: it is refused.
        """
        kind = request.query_params.get("uploadType")
        if key := request.query_params.get("upload_id"):
            return self._go_on(request, key, raw)
        if kind == "multipart" and request.method == "POST":
            job, rows = loads.parts_of(request.headers.get("content-type", ""), raw)
            return self._load(request, job, rows)
        if kind == "resumable" and request.method == "POST":
            return self._begin(request, raw, root)
        raise BigQueryError("invalid", f"Invalid uploadType: {kind}", "uploadType")

    def _begin(self, request: Request, raw: bytes, root: str) -> Response:
        job = loads.body_of(raw)
        self._check(job)
        with self._cloud.lock:
            key = self._cloud.new_id("bigquery.upload")
            self._sessions[key] = _Session(job)
        where = f"{root}{request.url.path.removeprefix(request.scope.get('root_path', ''))}"
        return Response(headers={
            "location": f"{where}?uploadType=resumable&upload_id={key}",
            "x-guploader-uploadid": key,
        })  # fmt: skip

    def _go_on(self, request: Request, key: str, raw: bytes) -> dict[str, Any] | Response:
        with self._cloud.lock:
            session = self._sessions.get(key)
            if session is None:
                raise BigQueryError("notFound", f"Not found: Upload session {key}")
            if request.method == "DELETE":
                del self._sessions[key]
                return Response(status_code=499)
            total = self._take(session, request.headers.get("content-range", ""), raw)
            if total is None or len(session.data) < total:
                return _incomplete(session)
            del self._sessions[key]
        return self._load(request, session.job, bytes(session.data))

    def _take(self, session: _Session, header: str, raw: bytes) -> int | None:
        """Add what is new of a piece; the size of the whole as far as it is known."""
        try:
            first, total = content_span(header, len(raw))
        except ValueError as error:
            raise BigQueryError("invalid", str(error)) from error
        if first is not None:
            have = len(session.data)
            if first > have:
                raise BigQueryError("invalid", f"The piece begins behind byte {have}.")
            if max(first + len(raw), total or 0) > _MOST_BYTES:
                raise BigQueryError(
                    "notImplemented", f"The emulator takes at most {_MOST_BYTES} bytes of rows."
                )
            begin, end = taken(first, len(raw), have, total)
            session.data += raw[begin:end]
        return total


def _incomplete(session: _Session) -> Response:
    headers = {"range": f"bytes=0-{len(session.data) - 1}"} if session.data else {}
    return Response(status_code=308, headers=headers)
