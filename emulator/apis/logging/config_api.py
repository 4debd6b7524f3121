"""Handlers of google.logging.v2.ConfigServiceV2: sinks; the two log buckets are read only."""

from __future__ import annotations

import re
from typing import Any, Final

from google.cloud.logging_v2.types import logging_config as types
from google.protobuf import empty_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from emulator.apis.logging.model import BUCKETS, logging_state
from emulator.apis.logging.query import compile_query
from emulator.context import Cloud
from emulator.wire.call import Call
from emulator.wire.codec import plain
from emulator.wire.errors import ApiError, invalid, not_found
from emulator.wire.longrunning import LongRunning
from emulator.wire.masks import merge
from emulator.wire.names import check_project, parse_name
from emulator.wire.paging import page

_SERVICE: Final = "logging.googleapis.com"
_SINK_ID: Final = re.compile(r"[-A-Za-z0-9_.]{1,100}")
_ID: Final = r"[-A-Za-z0-9_.:]+"
_DESTINATION: Final = re.compile(
    rf"bigquery\.googleapis\.com/projects/{_ID}/datasets/\w+"
    r"|storage\.googleapis\.com/[a-z0-9][-a-z0-9_.]{1,220}[a-z0-9]"
    rf"|pubsub\.googleapis\.com/projects/{_ID}/topics/{_ID}"
    rf"|logging\.googleapis\.com/projects/({_ID})(/locations/{_ID}/buckets/{_ID})?"
)
_SHARED_WRITER: Final = "serviceAccount:cloud-logs@system.gserviceaccount.com"
# What an update without a mask writes, as Google keeps it for old callers.
_OLD_MASK: Final = ("destination", "filter", "include_children")
_OUTPUT_ONLY: Final = {"name", "writer_identity", "create_time", "update_time"}


class Config(LongRunning):
    """Sinks."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self._sinks = logging_state(cloud).sinks

    def list_sinks(self, request: types.ListSinksRequest, call: Call) -> types.ListSinksResponse:
        self._check(request.parent, "parent")
        with self._cloud.lock:
            sinks = sorted(self._sinks.values(), key=lambda s: s.name)
        shown, token = page(
            sinks, request.page_size, request.page_token,
            scope=request.parent, default=100, most=1000,
        )  # fmt: skip
        return types.ListSinksResponse(sinks=shown, next_page_token=token)

    def get_sink(self, request: types.GetSinkRequest, call: Call) -> types.LogSink:
        return self._find(request.sink_name)

    def create_sink(self, request: types.CreateSinkRequest, call: Call) -> types.LogSink:
        self._check(request.parent, "parent")
        given = request.sink
        if _SINK_ID.fullmatch(given.name) is None:
            raise invalid(f"Invalid sink name '{given.name}'.", field="sink.name")
        self._check_sink(given)
        with self._cloud.lock:
            if given.name in self._sinks:
                raise ApiError("ALREADY_EXISTS", f"Sink {given.name} already exists")
            sink = _copy(given)
            sink.writer_identity = self._writer(sink, unique=request.unique_writer_identity)
            sink.create_time = sink.update_time = self._now()
            self._keep(sink, "created")
        return sink

    def update_sink(self, request: types.UpdateSinkRequest, call: Call) -> types.LogSink:
        with self._cloud.lock:
            current = self._find(request.sink_name)
            if current.name == "_Required":
                raise invalid("Sink _Required cannot be modified.", field="sink_name")
            mask = plain(request).update_mask
            if not mask.paths:
                mask.paths.extend(_OLD_MASK)
            if set(mask.paths) & _OUTPUT_ONLY:
                raise invalid("The update mask names a field that is output only.",
                              field="update_mask")  # fmt: skip
            sink = merge(request.sink, mask, current)
            self._check_sink(sink)
            shared = current.writer_identity == _SHARED_WRITER
            if current.writer_identity and not shared and _asked_shared(request, call):
                raise invalid(
                    "unique_writer_identity cannot be changed from true to false.",
                    field="unique_writer_identity",
                )
            unique = request.unique_writer_identity or not shared
            sink.writer_identity = self._writer(sink, unique=unique)
            sink.update_time = self._now()
            self._keep(sink, "updated")
        return sink

    def delete_sink(self, request: types.DeleteSinkRequest, call: Call) -> empty_pb2.Empty:
        with self._cloud.lock:
            sink = self._find(request.sink_name)
            if sink.name == "_Required":
                raise invalid("Sink _Required cannot be deleted.", field="sink_name")
            del self._sinks[sink.name]
            self._cloud.changed("logging.sink.deleted", self._name(sink.name), "")
        return empty_pb2.Empty()

    def list_buckets(
        self, request: types.ListBucketsRequest, call: Call
    ) -> types.ListBucketsResponse:
        place = parse_name("projects/{project}/locations/{location}", request.parent)
        self._check(f"projects/{place['project']}", "parent")
        found = sorted(BUCKETS) if place["location"] in ("-", "global") else []
        shown, token = page(
            found, request.page_size, request.page_token,
            scope=request.parent, default=100, most=1000,
        )  # fmt: skip
        return types.ListBucketsResponse(
            buckets=[self._bucket(b) for b in shown], next_page_token=token
        )

    def get_bucket(self, request: types.GetBucketRequest, call: Call) -> types.LogBucket:
        name = "projects/{project}/locations/{location}/buckets/{bucket}"
        parts = parse_name(name, request.name)
        self._check(f"projects/{parts['project']}", "name")
        if parts["location"] != "global" or parts["bucket"] not in BUCKETS:
            raise not_found(request.name)
        return self._bucket(parts["bucket"])

    def _bucket(self, name: str) -> types.LogBucket:
        made = Timestamp(seconds=int(self._cloud.clock.epoch()))
        return types.LogBucket(
            name=f"projects/{self._cloud.project.id}/locations/global/buckets/{name}",
            description="Audit bucket" if name == "_Required" else "Default bucket",
            create_time=made,
            update_time=made,
            retention_days=BUCKETS[name],
            locked=name == "_Required",
            lifecycle_state=types.LifecycleState.ACTIVE,
        )

    def _check_sink(self, sink: types.LogSink) -> None:
        if _DESTINATION.fullmatch(sink.destination) is None:
            raise invalid(
                f"Invalid destination '{sink.destination}': it must name a BigQuery dataset, a "
                "Cloud Storage bucket, a Pub/Sub topic or a log bucket.",
                field="sink.destination",
            )
        compile_query(sink.filter, "sink.filter")
        for exclusion in sink.exclusions:
            if not exclusion.name or not exclusion.filter:
                raise invalid("An exclusion needs a name and a filter.", field="sink.exclusions")
            compile_query(exclusion.filter, "sink.exclusions.filter")
        partitioned = sink.bigquery_options.use_partitioned_tables
        if partitioned and not sink.destination.startswith("bigquery."):
            raise invalid("bigquery_options are for BigQuery datasets.",
                          field="sink.bigquery_options")  # fmt: skip

    def _writer(self, sink: types.LogSink, *, unique: bool) -> str:
        """Who writes to the destination: nobody needs to within the project's own log buckets."""
        own = self._cloud.project
        found = _DESTINATION.fullmatch(sink.destination)
        if found and found[1] in (own.id, own.number):
            return ""
        if not unique:
            return _SHARED_WRITER
        return f"serviceAccount:service-{own.number}@gcp-sa-logging.iam.gserviceaccount.com"

    def _keep(self, sink: types.LogSink, verb: str) -> None:
        self._sinks[sink.name] = sink
        self._cloud.changed(f"logging.sink.{verb}", self._name(sink.name), "")

    def _find(self, asked: str) -> types.LogSink:
        parts = parse_name("projects/{project}/sinks/{sink}", asked, field="sink_name")
        check_project(self._cloud.project, parts["project"], service=_SERVICE)
        sink = self._sinks.get(parts["sink"])
        if sink is None:
            raise ApiError("NOT_FOUND", f"Sink {parts['sink']} does not exist")
        return sink

    def _check(self, parent: str, field: str) -> None:
        project = parse_name("projects/{project}", parent, field=field)["project"]
        check_project(self._cloud.project, project, service=_SERVICE)

    def _name(self, sink: str) -> str:
        return f"projects/{self._cloud.project.id}/sinks/{sink}"

    def _now(self) -> Timestamp:
        return Timestamp(seconds=int(self._cloud.clock.now()))


def _asked_shared(request: types.UpdateSinkRequest, call: Call) -> bool:
    """Whether a caller said "false"; over gRPC nobody can tell it from silence."""
    given = dict(call.query).get("uniqueWriterIdentity", "")
    return not request.unique_writer_identity and given.lower() == "false"


def _copy(sink: types.LogSink) -> Any:
    copied = types.LogSink()
    plain(copied).CopyFrom(plain(sink))
    return copied
