"""Watches: a stream of changes as they come, with bookmarks, until the client's time is up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any, Final

from starlette.concurrency import run_in_threadpool

from emulator.apis.kubernetes.logs import LogOptions, as_text, log_lines
from emulator.apis.kubernetes.requests import Options
from emulator.apis.kubernetes.resources import Kind
from emulator.apis.kubernetes.status import StatusError, expired
from emulator.apis.kubernetes.store import Change, Item, ObjectStore
from emulator.apis.kubernetes.tables import table_columns, table_rows

_LOOK_S: Final = 0.2
_BOOKMARK_S: Final = 30.0


async def watch_lines(
    store: ObjectStore, kind: Kind, options: Options, table: bool, now: Callable[[], float]
) -> AsyncIterator[bytes]:
    """The lines of a watch.

    From no version, or 0, it begins with all objects as ADDED; from a version that is forgotten it
    ends with an ERROR of code 410, upon which clients list anew.
    """
    encode = _Encoder(kind, table, options.include, now)
    version = options.version
    if not version or options.initial_events:
        found = await run_in_threadpool(store.list, kind)
        assert found is not None  # the newest list is always there
        version, listing = found
        for item in listing.values():
            if options.matches(item):
                yield encode.line("ADDED", item)
        if options.initial_events:
            yield encode.bookmark(version, initial_end=True)
    end, marked = now() + options.timeout_s, now()
    while now() < end:
        changes = await run_in_threadpool(store.changes_since, version, kind)
        if changes is None:
            yield json.dumps({"type": "ERROR", "object": expired().body()}).encode() + b"\n"
            return
        for change in changes:
            version = change.version
            if told := _as_selected(change, options):
                yield encode.line(told, change.item)
        if options.bookmarks and now() - marked >= _BOOKMARK_S:
            marked = now()
            version = max(version, await run_in_threadpool(store.refresh))
            yield encode.bookmark(version)
        await asyncio.sleep(_LOOK_S)


async def follow(
    store: ObjectStore,
    pod: Item,
    options: LogOptions,
    lines: list[tuple[float, str]],
    now: Callable[[], float],
) -> AsyncIterator[bytes]:
    """A log as it goes on, until its pod is gone or over."""
    told = max((at for at, _ in lines), default=0.0)
    yield as_text(lines, options).encode()
    uid = pod.body["metadata"].get("uid")
    while True:
        await asyncio.sleep(_LOOK_S)
        found = await run_in_threadpool(store.list, pod.kind)
        current = found[1].get((pod.namespace, pod.name)) if found else None
        if current is None or current.body["metadata"].get("uid") != uid:
            return
        try:
            written = log_lines(current, replace(options, tail=None, since=None), now())
        except StatusError:  # the container is no longer there
            return
        fresh = [line for line in written if line[0] > told]
        if fresh:
            told = fresh[-1][0]
            yield as_text(fresh, options).encode()
        if current.body.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            return


def _as_selected(change: Change, options: Options) -> str | None:
    """The change as one is told it who sees selected objects only; None: not at all."""
    if change.type == "DELETED":
        return "DELETED" if options.matches(change.item) else None
    before = change.before is not None and options.matches(change.before)
    if options.matches(change.item):
        return "MODIFIED" if before else "ADDED"
    return "DELETED" if before else None


class _Encoder:
    """Turns changes into lines, as objects or as Tables of one row."""

    def __init__(self, kind: Kind, table: bool, include: str, now: Callable[[], float]) -> None:
        self._kind, self._table, self._include, self._now = kind, table, include, now
        self._columns_sent = False

    def line(self, change: str, item: Item) -> bytes:
        """One change."""
        body = item.encoded
        if self._table:
            rows = table_rows(self._kind, [item], self._now(), self._include)
            body = self._as_table(rows, item.version)
        return b'{"type":"' + change.encode() + b'","object":' + body + b"}\n"

    def bookmark(self, version: int, initial_end: bool = False) -> bytes:
        """Says up to where all was told."""
        meta: dict[str, Any] = {"resourceVersion": str(version)}
        if initial_end:
            meta["annotations"] = {"k8s.io/initial-events-end": "true"}
        body = {"kind": self._kind.name, "apiVersion": self._kind.api_version, "metadata": meta}
        encoded = json.dumps(body, separators=(",", ":")).encode()
        if self._table:
            row = {"cells": [""] * len(self._kind.columns), "object": body}
            encoded = self._as_table([row], version)
        return b'{"type":"BOOKMARK","object":' + encoded + b"}\n"

    def _as_table(self, rows: list[dict[str, Any]], version: int) -> bytes:
        # Clients learn the columns from the first table alone.
        columns = None if self._columns_sent else table_columns(self._kind)
        self._columns_sent = True
        table = {
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": {"resourceVersion": str(version)},
            "columnDefinitions": columns,
            "rows": rows,
        }
        return json.dumps(table, separators=(",", ":")).encode()
