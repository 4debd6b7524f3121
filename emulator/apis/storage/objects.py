"""Handlers for objects: reads, lists, changes, copies; uploads are uploads.py's."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fnmatch import translate
from typing import Any, Final

from emulator.apis.storage.asks import Answer, Ask
from emulator.apis.storage.buckets import turned
from emulator.apis.storage.errors import StorageError, no_object
from emulator.apis.storage.fields import (
    check_conditions,
    check_object_name,
    object_fields,
    patched,
    whole_number,
)
from emulator.apis.storage.messages import media_headers, object_resource
from emulator.apis.storage.model import Blob, storage_state
from emulator.context import Cloud
from emulator.wire.paging import page

_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_MOST_SOURCES: Final = 32


class Objects:
    """Objects."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._state = storage_state(cloud)

    def list(self, ask: Ask) -> Answer:
        query = ask.query
        self._state.bucket(ask.path["bucket"])
        entries = self._entries(ask)
        size = whole_number(query, "maxResults", 1000, 1000)
        scope = "/".join(query.get(n, "") for n in ("prefix", "delimiter", "startOffset",
                         "endOffset", "matchGlob", "versions"))  # fmt: skip
        shown, token = turned(
            lambda: page(entries, size, query.get("pageToken", ""), default=1000, most=1000,
                         scope=f"{ask.path['bucket']} {scope}")
        )  # fmt: skip
        items = [object_resource(b, ask.base) for b in shown if isinstance(b, Blob)]
        prefixes = [p for p in shown if isinstance(p, str)]
        return Answer(
            {"kind": "storage#objects"}
            | ({"items": items} if items else {})
            | ({"prefixes": prefixes} if prefixes else {})
            | ({"nextPageToken": token} if token else {})
        )

    def _entries(self, ask: Ask) -> list[Blob | str]:
        """Objects and, with a delimiter, prefixes, in the order of their names."""
        query = ask.query
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        start, end = query.get("startOffset", ""), query.get("endOffset", "")
        both = query.get("includeTrailingDelimiter", "").lower() == "true"
        fits = _glob(query.get("matchGlob", ""))
        bucket = self._state.bucket(ask.path["bucket"])
        with self._cloud.lock:
            found = list(bucket.live.values())
            if query.get("versions", "").lower() == "true":
                found += bucket.old
        if query.get("softDeleted", "").lower() == "true":
            found = []
        found.sort(key=lambda b: (b.name, b.generation))
        entries: dict[str, list[Blob | str]] = {}
        for blob in found:
            name = blob.name
            if not name.startswith(prefix) or name < start or (end and name >= end):
                continue
            if not fits(name):
                continue
            cut = name.find(delimiter, len(prefix)) if delimiter else -1
            if cut >= 0:
                group = name[: cut + len(delimiter)]
                entries.setdefault(group, [group])
                if not (both and name == group):
                    continue
            entries.setdefault(name, []).append(blob)
        return [entry for key in sorted(entries) for entry in entries[key]]

    def get(self, ask: Ask) -> Answer:
        blob = self._find(ask)
        check_conditions(ask.query, blob, reading=True)
        if ask.query.get("alt") == "media":
            return self._media(blob, ask.headers.get("range", ""))
        return Answer(object_resource(blob, ask.base))

    def _media(self, blob: Blob, asked: str) -> Answer:
        size = blob.content.size
        start, end, status = 0, size, 200
        headers = media_headers(blob)
        found = _RANGE.fullmatch(asked.strip())
        if found and (found[1] or found[2]):
            if found[1]:
                start = int(found[1])
                end = min(int(found[2]) + 1, size) if found[2] else size
                valid = start < size and (not found[2] or int(found[2]) >= start)
            else:
                start, valid = max(size - int(found[2]), 0), int(found[2]) > 0 and size > 0
            if not valid:
                raise StorageError(416, "The requested range cannot be satisfied.")
            status = 206
            headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
        headers["content-length"] = str(end - start)
        with self._cloud.lock:
            if not blob.content.path.exists():
                raise no_object(blob.bucket, blob.name)
            media = self._state.disk.read(blob.content, start, end)
        return Answer(None, status, headers, media)

    def patch(self, ask: Ask) -> Answer:
        return self._change(ask, patched)

    def update(self, ask: Ask) -> Answer:
        return self._change(
            ask, lambda old, new: {"storageClass": old["storageClass"]} | patched({}, new)
        )

    def _change(
        self, ask: Ask, merge: Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]
    ) -> Answer:
        changes = object_fields(ask.body)
        with self._cloud.lock:
            blob = self._find(ask)
            check_conditions(ask.query, blob)
            given = changes.pop("storageClass", None)
            if given not in (None, blob.fields["storageClass"]):
                raise StorageError(400, "An object's storage class changes by a rewrite.")
            return Answer(
                object_resource(self._state.put(blob, merge(blob.fields, changes)), ask.base)
            )

    def delete(self, ask: Ask) -> Answer:
        with self._cloud.lock:
            blob = self._find(ask)
            check_conditions(ask.query, blob)
            self._state.remove(blob, for_good="generation" in ask.query)
        return Answer(status=204)

    def copy(self, ask: Ask) -> Answer:
        return Answer(object_resource(self._copied(ask), ask.base))

    def rewrite(self, ask: Ask) -> Answer:
        """Done in one call, whatever the size."""
        blob = self._copied(ask)
        size = str(blob.content.size)
        return Answer({
            "kind": "storage#rewriteResponse", "totalBytesRewritten": size, "objectSize": size,
            "done": True, "resource": object_resource(blob, ask.base),
        })  # fmt: skip

    def move(self, ask: Ask) -> Answer:
        """A rename within the bucket."""
        if ask.path["object"] == ask.path["toObject"]:
            raise StorageError(400, "An object cannot be moved onto itself.")
        with self._cloud.lock:
            source = self._find(ask)
            new = self._copied(ask, bucket=ask.path["bucket"])
            self._state.remove(source, for_good=True)
        return Answer(object_resource(new, ask.base))

    def _copied(self, ask: Ask, bucket: str = "") -> Blob:
        changes = object_fields(ask.body)
        bucket, name = bucket or ask.path["toBucket"], check_object_name(ask.path["toObject"])
        with self._cloud.lock:
            source = self._state.get(
                ask.path["bucket"], ask.path["object"], ask.query.get("sourceGeneration", "")
            )
            check_conditions(ask.query, source, source=True)
            check_conditions(ask.query, self._state.find(bucket, name))
            # A body replaces the source's metadata as a whole, as with Google.
            fields = patched({}, changes) if changes else dict(source.fields)
            fields.setdefault("storageClass", self._default_class(bucket))
            content = self._state.disk.share(source.content)
            return self._state.add(bucket, name, content, fields, source.components)

    def compose(self, ask: Ask) -> Answer:
        bucket, name = ask.path["bucket"], check_object_name(ask.path["object"])
        given = ask.body.get("sourceObjects")
        destination = ask.body.get("destination") or {}
        if not isinstance(given, list) or not 0 < len(given) <= _MOST_SOURCES:
            raise StorageError(400, f"Compose takes 1 to {_MOST_SOURCES} source objects.")
        if not isinstance(destination, dict) or not all(isinstance(s, dict) for s in given):
            raise StorageError(400, 'Invalid value for: "sourceObjects" or "destination"')
        fields = patched({}, object_fields(destination))
        with self._cloud.lock:
            check_conditions(ask.query, self._state.find(bucket, name))
            sources = [self._source(bucket, s) for s in given]
            shared = [self._state.disk.share(s.content) for s in sources]
            fields.setdefault("storageClass", self._default_class(bucket))
        # Large parts take a while: read them outside the lock, from links of their own.
        draft = self._state.disk.draft()
        for content in shared:
            for chunk in self._state.disk.read(content):
                draft.write(chunk)
            content.path.unlink()
        count = sum(max(s.components, 1) for s in sources)
        whole = draft.finish(composed=True)
        try:
            with self._cloud.lock:
                check_conditions(ask.query, self._state.find(bucket, name))
                blob = self._state.add(bucket, name, whole, fields, count)
        except StorageError:
            draft.drop()
            raise
        return Answer(object_resource(blob, ask.base))

    def _source(self, bucket: str, given: Mapping[str, Any]) -> Blob:
        name, generation = str(given.get("name", "")), str(given.get("generation") or "")
        blob = self._state.get(bucket, name, generation)
        wanted = given.get("objectPreconditions")
        if isinstance(wanted, dict):
            check_conditions({k: str(v) for k, v in wanted.items()}, blob)
        return blob

    def _default_class(self, bucket: str) -> str:
        return str(self._state.bucket(bucket).fields.get("storageClass", "STANDARD"))

    def _find(self, ask: Ask) -> Blob:
        return self._state.get(
            ask.path["bucket"], ask.path["object"], ask.query.get("generation", "")
        )


def _glob(pattern: str) -> Callable[[str], bool]:
    """matchGlob: * stays within a segment, ** does not, {a,b} are alternatives."""
    if not pattern:
        return lambda _name: True
    if len(pattern) > 1024:
        raise StorageError(400, "The glob is too long.", location="matchGlob")
    alternatives = [pattern]
    while found := re.search(r"\{([^{}]*)\}", alternatives[0]):
        first = alternatives.pop(0)
        alternatives += [
            first[: found.start()] + choice + first[found.end() :] for choice in found[1].split(",")
        ]
        if len(alternatives) > 100:
            raise StorageError(400, "The glob has too many alternatives.", location="matchGlob")
    compiled = [_compiled(a) for a in alternatives]
    return lambda name: any(c.fullmatch(name) for c in compiled)


def _compiled(pattern: str) -> re.Pattern[str]:
    parts: list[str] = []
    for piece in re.split(r"(\*\*/?|\*|\?|\[[^\]]+\])", pattern):
        if piece in ("**", "**/"):
            parts.append(".*")
        elif piece == "*":
            parts.append("[^/]*")
        elif piece == "?":
            parts.append("[^/]")
        elif piece.startswith("[") and piece.endswith("]"):
            parts.append(translate(piece).removeprefix("(?s:").removesuffix(r")\Z"))
        else:
            parts.append(re.escape(piece))
    return re.compile("".join(parts), re.DOTALL)
