"""Handlers of google.pubsub.v1.Subscriber: those of its bases, and snapshots."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import empty_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from google.pubsub_v1.types import pubsub as types

from emulator.apis.iam.model import iam_state
from emulator.apis.pubsub import checks
from emulator.apis.pubsub.delivery import Delivering
from emulator.apis.pubsub.model import DAY_S, Snapshot
from emulator.wire.call import Call
from emulator.wire.codec import plain
from emulator.wire.errors import failed_precondition
from emulator.wire.masks import merge
from emulator.wire.paging import page

_LIFE_S: Final = 7 * DAY_S
_LEAST_S: Final = 3600.0


class Subscriber(Delivering):
    """The whole service."""

    def create_snapshot(self, request: types.CreateSnapshotRequest, call: Call) -> types.Snapshot:
        project = self._cloud.project
        checks.check_labels(request.labels)
        with self._cloud.lock:
            found = self._attached(request.subscription)
            given = request.name or (
                f"projects/{project.id}/snapshots/s{self._cloud.new_id('pubsub.snapshot', 8)}"
            )
            name = checks.check_name(project, "snapshots", given)
            if name in self._state.snapshots:
                raise checks.taken(name)
            now, held = self._cloud.clock.now(), found.backlog.unacked
            oldest = min((d.message.published_at for d in held.values()), default=now)
            until = now + _LIFE_S - (now - oldest)
            if until - now < _LEAST_S:
                raise failed_precondition(
                    "The snapshot would expire in less than an hour: the oldest message of the "
                    "backlog is too old."
                )
            made = types.Snapshot(
                name=name, topic=found.message.topic, labels=dict(request.labels),
                expire_time=_stamp(until),
            )  # fmt: skip
            messages = {serial: d.message for serial, d in held.items()}
            iam_state(self._cloud).policies.forget(name)  # of one that expired
            self._state.snapshots[name] = Snapshot(made, until, messages)
            self._cloud.changed("pubsub.snapshot.created", name, "")
        return made

    def get_snapshot(self, request: types.GetSnapshotRequest, call: Call) -> types.Snapshot:
        return self._snapshot(request.snapshot).message

    def list_snapshots(
        self, request: types.ListSnapshotsRequest, call: Call
    ) -> types.ListSnapshotsResponse:
        checks.check_parent(self._cloud.project, request.project)
        with self._cloud.lock:
            self._state.settle()
            found = [s.message for _, s in sorted(self._state.snapshots.items())]
        shown, token = page(
            found, request.page_size, request.page_token,
            scope=request.project, default=100, most=1000,
        )  # fmt: skip
        return types.ListSnapshotsResponse(snapshots=shown, next_page_token=token)

    def update_snapshot(self, request: types.UpdateSnapshotRequest, call: Call) -> types.Snapshot:
        with self._cloud.lock:
            found = self._snapshot(request.snapshot.name)
            mask = plain(request).update_mask
            checks.check_mask("Snapshot", mask.paths, found.message)
            wanted = merge(request.snapshot, mask, found.message)
            checks.check_labels(wanted.labels)
            inside: Any = plain(wanted)
            until, now = inside.expire_time.seconds, self._cloud.clock.now()
            asked = any(path.partition(".")[0] == "expire_time" for path in mask.paths)
            if asked and not now < until <= now + _LIFE_S:
                raise checks.bad_argument("snapshot.expire_time")
            found.message, found.expires_at = wanted, float(until)
            self._cloud.changed("pubsub.snapshot.updated", str(wanted.name), "")
        return wanted

    def delete_snapshot(self, request: types.DeleteSnapshotRequest, call: Call) -> empty_pb2.Empty:
        with self._cloud.lock:
            name = str(self._snapshot(request.snapshot).message.name)
            del self._state.snapshots[name]
            iam_state(self._cloud).policies.forget(name)
            self._cloud.changed("pubsub.snapshot.deleted", name, "")
        return empty_pb2.Empty()

    def _snapshot(self, given: str) -> Snapshot:
        name = checks.check_name(self._cloud.project, "snapshots", given)
        with self._cloud.lock:
            self._state.settle()
            found = self._state.snapshots.get(name)
        if found is None:
            raise checks.not_there(name)
        return found


def _stamp(at: float) -> Timestamp:
    return Timestamp(seconds=int(at))
