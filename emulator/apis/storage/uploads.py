"""Handlers for uploads: media alone, multipart, resumable; bodies come as drafts on disk."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from email.message import Message
from typing import Any, Final

from emulator.apis.storage.asks import Answer, Ask
from emulator.apis.storage.disk import CHUNK, Content, Draft
from emulator.apis.storage.errors import StorageError
from emulator.apis.storage.fields import check_conditions, check_object_name, object_fields
from emulator.apis.storage.messages import object_resource
from emulator.apis.storage.model import Upload, storage_state
from emulator.context import Cloud
from emulator.wire.ranges import content_span, taken

_LONGEST_HEAD: Final = 1024 * 1024


class Uploads:
    """Uploads."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._state = storage_state(cloud)

    def draft(self) -> Draft:
        """An empty file for a body."""
        return self._state.disk.draft()

    def media(self, ask: Ask, draft: Draft) -> Answer:
        """uploadType=media: the body is the object."""
        name = check_object_name(ask.query.get("name"))
        content_type = ask.headers.get("content-type") or "application/octet-stream"
        fields = {"name": name, "contentType": content_type}
        return self._insert(ask, fields, draft)

    def multipart(self, ask: Ask, draft: Draft) -> Answer:
        """uploadType=multipart: a JSON part, then the object's."""
        body = draft.finish()
        fields, content_type, start, end = _parts(body, ask.headers.get("content-type", ""))
        if ask.query.get("name"):
            fields["name"] = ask.query["name"]
        fields.setdefault("contentType", content_type or "application/octet-stream")
        part = self.draft()
        for chunk in self._state.disk.read(body, start, end):
            part.write(chunk)
        return self._insert(ask, fields, part)

    def start(self, ask: Ask) -> Answer:
        """uploadType=resumable: a session, whose address the Location header tells."""
        fields = dict(ask.body)
        if ask.query.get("name"):
            fields["name"] = ask.query["name"]
        check_object_name(fields.get("name"))
        object_fields(fields)
        kind = ask.headers.get("x-upload-content-type")
        if kind:
            fields.setdefault("contentType", kind)
        bucket = ask.path["bucket"]
        with self._cloud.lock:
            self._state.bucket(bucket)
            check_conditions(ask.query, self._state.find(bucket, fields["name"]))
            key = self._state.begin(bucket, fields, dict(ask.query))
        root = ask.base.replace("/storage/v1", "/upload/storage/v1")
        where = f"{root}/b/{bucket}/o?uploadType=resumable&upload_id={key}"
        headers = {"location": where, "x-guploader-uploadid": key, "content-length": "0"}
        return Answer(None, 200, headers)

    def resume(self, ask: Ask, draft: Draft) -> Answer:
        """A chunk, the rest, or the question how far it is."""
        body, key = draft.finish(), ask.query.get("upload_id", "")
        upload = self._state.uploads.get(key)
        if upload is None or upload.bucket != ask.path["bucket"]:
            raise StorageError(404, "No such upload session.")
        with upload.lock:
            first, total = self._span(ask, body)
            if first is not None and first > upload.draft.size:
                raise StorageError(503, f"The chunk begins behind byte {upload.draft.size}.")
            if first is not None:
                new = taken(first, body.size, upload.draft.size, total)
                for chunk in self._state.disk.read(body, *new):
                    upload.draft.write(chunk)
            if total is None or upload.draft.size < total:
                return _incomplete(upload)
            with self._cloud.lock:
                if self._state.uploads.pop(key, None) is None:
                    raise StorageError(404, "No such upload session.")
        query = {k: v for k, v in upload.query.items() if k.startswith("if")}
        named = Ask(ask.path, {**ask.query, **query}, {}, ask.base, ask.headers, ask.many)
        return self._insert(named, upload.fields, upload.draft)

    def _span(self, ask: Ask, body: Content) -> tuple[int | None, int | None]:
        """First byte of the body (None: no body) and the whole size as far as it is known."""
        try:
            return content_span(ask.headers.get("content-range", ""), body.size)
        except ValueError as error:
            raise StorageError(400, str(error)) from error

    def cancel(self, ask: Ask) -> Answer:
        """DELETE on a session, which Google answers with 499."""
        with self._cloud.lock:
            upload = self._state.uploads.pop(ask.query.get("upload_id", ""), None)
        if upload is None:
            raise StorageError(404, "No such upload session.")
        upload.draft.drop()
        return Answer(None, 499, {"content-length": "0"})

    def _insert(self, ask: Ask, given: Mapping[str, Any], draft: Draft) -> Answer:
        """The object of a whole body; when it is refused the body goes."""
        bucket, content = ask.path["bucket"], draft.finish()
        try:
            name = check_object_name(given.get("name"))
            fields = {k: v for k, v in object_fields(given).items() if v is not None}
            if ask.query.get("contentEncoding"):
                fields["contentEncoding"] = ask.query["contentEncoding"]
            _check_hashes(given, ask.headers.get("x-goog-hash", ""), content)
            with self._cloud.lock:
                place = self._state.bucket(bucket)
                check_conditions(ask.query, self._state.find(bucket, name))
                fields.setdefault("storageClass", place.fields.get("storageClass", "STANDARD"))
                blob = self._state.add(bucket, name, content, fields)
                draft.kept = True
        except StorageError:
            draft.drop()
            raise
        return Answer(object_resource(blob, ask.base))


def _incomplete(upload: Upload) -> Answer:
    headers = {"content-length": "0"}
    if upload.draft.size:
        headers["range"] = f"bytes=0-{upload.draft.size - 1}"
    return Answer(None, 308, headers)


def _check_hashes(given: Mapping[str, Any], header: str, content: Content) -> None:
    """Hashes that a caller sends must be those of what arrived."""
    pairs = [p.strip().partition("=") for p in header.split(",") if p.strip()]
    wanted = [("MD5", given.get("md5Hash"), content.md5), ("CRC32C", given.get("crc32c"),
              content.crc32c)]  # fmt: skip
    for name, _, value in pairs:
        actual = {"md5": content.md5, "crc32c": content.crc32c}.get(name, value)
        wanted.append((name.upper(), value, actual))
    for name, claimed, actual in wanted:
        if claimed and claimed != actual:
            raise StorageError(
                400,
                f'Provided {name} hash "{claimed}" doesn\'t match calculated {name} hash '
                f'"{actual}".',
            )


def _parts(body: Content, content_type: str) -> tuple[dict[str, Any], str, int, int]:
    """Of a multipart/related body: the JSON part, the media's type, its first byte and its end."""
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_param("boundary")
    if header.get_content_type() != "multipart/related" or not isinstance(boundary, str):
        raise StorageError(400, "The body must be multipart/related with a boundary.")
    # gcloud writes it as Python does, between single quotes.
    mark = b"--" + boundary.strip("'").encode("latin-1", "replace")
    with body.path.open("rb") as file:
        head = file.read(_LONGEST_HEAD)
        file.seek(max(body.size - CHUNK, 0))
        tail = file.read()
    first = head.find(mark)
    second = head.find(b"\n" + mark, first + 1)
    media = _after_headers(head, second + 1)
    last = tail.rfind(b"\n" + mark)
    end = body.size - len(tail) + last
    if first < 0 or second < 0 or media < 0 or last < 0 or end < media - 1:
        raise StorageError(400, "The multipart body is malformed.")
    if end > 0 and tail[last - 1 : last] == b"\r":
        end -= 1
    try:
        fields = json.loads(head[_after_headers(head, first) : second])
    except (ValueError, RecursionError) as error:
        raise StorageError(400, f"Parse Error: {error}", "parseError") from error
    if not isinstance(fields, dict):
        raise StorageError(400, "The first part must be a JSON object.", "parseError")
    kind = re.search(rb"(?im)^content-type:[ \t]*([^\r\n]+)", head[second + 1 : media])
    return fields, kind[1].decode("latin-1").strip() if kind else "", media, max(end, media)


def _after_headers(text: bytes, start: int) -> int:
    """Where a part's content begins: behind the first empty line; -1 without one."""
    found = re.compile(rb"\r?\n\r?\n").search(text, max(start, 0))
    return found.end() if found else -1
