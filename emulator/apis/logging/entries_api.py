"""Handlers of google.logging.v2.LoggingServiceV2: entries and log names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from google.api import label_pb2, monitored_resource_pb2
from google.cloud.logging_v2.types import log_entry
from google.cloud.logging_v2.types import logging as types
from google.protobuf import empty_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import code_pb2, status_pb2

from emulator.apis.logging.audit import LOG_ID, audit_entry
from emulator.apis.logging.model import Entry, logging_state, tree_of
from emulator.apis.logging.query import compile_query
from emulator.apis.logging.resources import RESOURCES
from emulator.apis.logging.sinks import route
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.codec import plain
from emulator.wire.errors import ApiError, invalid, not_found
from emulator.wire.longrunning import LongRunning
from emulator.wire.names import check_project
from emulator.wire.paging import page

SERVICE: Final = "logging.googleapis.com"
_MOST_BYTES: Final = 256 * 1024
_AHEAD_S: Final = 24 * 3600
_LOG_ID: Final = re.compile(r"(?:[-A-Za-z0-9_.]|%2[Ff]){1,511}")
_SOURCE: Final = re.compile(r"projects/([^/]+)(?:/locations/[^/]+/buckets/[^/]+(?:/views/[^/]+)?)?")


class Entries(LongRunning):
    """What is written, and what the project's changes left in its audit log."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self._state = logging_state(cloud)
        self._audited: list[Entry] = []

    def write_log_entries(
        self, request: types.WriteLogEntriesRequest, call: Call
    ) -> types.WriteLogEntriesResponse:
        good: list[Entry] = []
        bad: dict[int, ApiError] = {}
        for index, given in enumerate(request.entries):
            try:
                good.append(self._entry(given, request, index))
            except ApiError as error:
                bad[index] = error
        if bad and not request.partial_success:
            raise next(iter(bad.values()))
        if not request.dry_run:
            with self._cloud.lock:
                self._state.entries.extend(good)
                self._state.written += len(good)
                route(self._cloud, good)
        if bad:
            raise _partial(bad)
        return types.WriteLogEntriesResponse()

    def list_log_entries(
        self, request: types.ListLogEntriesRequest, call: Call
    ) -> types.ListLogEntriesResponse:
        self._check_sources(request.resource_names)
        if request.order_by not in ("", "timestamp asc", "timestamp desc"):
            raise invalid(
                f"Invalid order_by '{request.order_by}': it takes 'timestamp asc' and "
                "'timestamp desc'.",
                field="order_by",
            )
        fits = compile_query(request.filter)
        found = [e for e in self._all() if fits(e.tree)]
        found.sort(key=lambda e: e.at, reverse=request.order_by == "timestamp desc")
        shown, token = page(
            found, request.page_size, request.page_token,
            scope=f"{request.resource_names} {request.filter} {request.order_by}",
            default=50, most=1000,
        )  # fmt: skip
        return types.ListLogEntriesResponse(
            entries=[e.message for e in shown], next_page_token=token
        )

    def list_logs(self, request: types.ListLogsRequest, call: Call) -> types.ListLogsResponse:
        self._check_sources([*([request.parent] if request.parent else []),
                             *request.resource_names])  # fmt: skip
        names = sorted({e.log for e in self._all()})
        shown, token = page(
            names, request.page_size, request.page_token,
            scope=request.parent, default=50, most=1000,
        )  # fmt: skip
        return types.ListLogsResponse(log_names=shown, next_page_token=token)

    def delete_log(self, request: types.DeleteLogRequest, call: Call) -> empty_pb2.Empty:
        name = self._log_name(request.log_name, "log_name")
        if name.endswith(LOG_ID):
            raise ApiError("PERMISSION_DENIED", "Admin Activity audit logs cannot be deleted.")
        state = self._state
        with self._cloud.lock:
            kept = [e for e in state.entries if e.log != name]
            if len(kept) == len(state.entries):
                raise not_found(request.log_name)
            state.entries.clear()
            state.entries.extend(kept)
        return empty_pb2.Empty()

    def list_monitored_resource_descriptors(
        self, request: types.ListMonitoredResourceDescriptorsRequest, call: Call
    ) -> types.ListMonitoredResourceDescriptorsResponse:
        shown, token = page(
            list(RESOURCES.items()), request.page_size, request.page_token,
            scope="descriptors", default=100, most=1000,
        )  # fmt: skip
        return types.ListMonitoredResourceDescriptorsResponse(
            resource_descriptors=[
                monitored_resource_pb2.MonitoredResourceDescriptor(
                    type=kind, labels=[label_pb2.LabelDescriptor(key=n) for n in labels]
                )
                for kind, labels in shown
            ],
            next_page_token=token,
        )

    def _all(self) -> list[Entry]:
        with self._cloud.lock:
            changes = self._cloud.log.changes()
            for number in range(len(self._audited), len(changes)):
                message = audit_entry(self._cloud, number, changes[number])
                self._audited.append(Entry(changes[number].at, message, tree_of(message)))
            return [*self._audited, *self._state.entries]

    def _entry(self, given: Any, request: types.WriteLogEntriesRequest, index: int) -> Entry:
        """An entry with the request's defaults filled in."""
        entry = log_entry.LogEntry()
        message = plain(entry)
        message.CopyFrom(plain(given))
        where = f"entries[{index}]"
        entry.log_name = self._log_name(given.log_name or request.log_name, f"{where}.log_name")
        if not message.resource.type:
            message.resource.CopyFrom(plain(request).resource)
        self._check_resource(message.resource, where)
        for key, value in request.labels.items():
            if key not in message.labels:
                message.labels[key] = value
        now = self._cloud.clock.now()
        if not message.HasField("timestamp"):
            message.timestamp.CopyFrom(_stamp(now))
        message.receive_timestamp.CopyFrom(_stamp(now))
        at = message.timestamp.seconds + message.timestamp.nanos / 1e9
        if at > now + _AHEAD_S:
            raise invalid("Log entries cannot be more than 24 hours in the future.", field=where)
        if message.ByteSize() > _MOST_BYTES:
            raise invalid(f"Log entry is larger than {_MOST_BYTES} bytes.", field=where)
        if not message.insert_id:
            text = f"{self._cloud.seed}/{self._state.written}/{index}"
            message.insert_id = hashlib.blake2s(text.encode(), digest_size=8).hexdigest()
        return Entry(at, entry, tree_of(entry))

    def _check_resource(self, resource: Any, where: str) -> None:
        known = RESOURCES.get(resource.type)
        if known is None:
            raise invalid(
                f"Unknown monitored resource type '{resource.type}'.", field=f"{where}.resource"
            )
        for name in resource.labels:
            if name not in known:
                raise invalid(
                    f"Resource type {resource.type} has no label '{name}'.",
                    field=f"{where}.resource.labels",
                )
        if "project_id" in known and not resource.labels["project_id"]:
            resource.labels["project_id"] = self._cloud.project.id

    def _log_name(self, name: str, field: str) -> str:
        parent, _, log = name.partition("/logs/")
        log = log.replace("/", "%2F")
        kind, _, project = parent.partition("/")
        if kind != "projects" or not project or _LOG_ID.fullmatch(log) is None:
            raise invalid(f"Invalid log name '{name}': expected projects/P/logs/ID.", field=field)
        check_project(self._cloud.project, project, service=SERVICE)
        return f"projects/{self._cloud.project.id}/logs/{log}"

    def _check_sources(self, names: Sequence[str]) -> None:
        if not names:
            raise invalid("At least one resource name must be given.", field="resource_names")
        for name in names:
            found = _SOURCE.fullmatch(name)
            if found is None:
                raise invalid(f"Invalid resource name '{name}'.", field="resource_names")
            check_project(self._cloud.project, found[1], service=SERVICE)


def _stamp(at: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromMicroseconds(int(at * 1e6))
    return stamp


def _partial(bad: dict[int, ApiError]) -> ApiError:
    errors: Iterable[tuple[int, status_pb2.Status]] = (
        (index, status_pb2.Status(code=code_pb2.INVALID_ARGUMENT, message=error.message))
        for index, error in bad.items()
    )
    detail = types.WriteLogEntriesPartialErrors(log_entry_errors=dict(errors))
    first = next(iter(bad.values()))
    return ApiError(first.code.name, first.message, details=[plain(detail)], in_part=True)
