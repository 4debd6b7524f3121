"""Cloud Logging's sinks into BigQuery, each with its own writer's right to write there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from core.cloud_resources import LOGGING, CloudResource, owner_of, path_of
from core.errors import Conflict, NotFound
from services import calls
from services.clients import Clients
from services.gke import OperationState
from services.project.asking import ask
from services.project.product import Found, Json, delete_if_there, done

_TIMEOUT_S: Final = 20.0
_WRITERS: Final = ("WRITER", "roles/bigquery.dataEditor")


class SinkResources:
    """A name is //logging.googleapis.com/projects/P/sinks/NAME."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def get(self, name: str) -> Found | None:
        """The sink; its body tells who writes for it."""
        path = path_of(name)
        try:
            found: Any = self._call(path, "get_sink", {"sink_name": path})
        except NotFound:
            return None
        with calls.converting(path):
            owner = owner_of({}, str(found.description))
            dataset, writer = _dataset(str(found.destination)), _email(str(found.writer_identity))
            if dataset and not self._may_write(dataset, writer):
                return Found({}, owner, False, "its writer may not write", half=True)
            return Found({}, owner)

    def create(self, name: str, body: Json) -> str:
        """Make it, with a writer of its own."""
        from google.cloud.logging_v2.types import LogSink
        from google.protobuf.json_format import ParseDict

        path = path_of(name)
        parent, _, short = path.rpartition("/sinks/")
        made: Any = LogSink()
        ParseDict({**body, "name": short}, LogSink.pb(made))
        request = {"parent": parent, "sink": made, "unique_writer_identity": True}
        try:
            found: Any = self._call(path, "create_sink", request, calls.ONCE)
        except Conflict:
            found = self._call(path, "get_sink", {"sink_name": path})
        dataset = _dataset(str(found.destination))
        if dataset:
            self._let_write(dataset, _email(str(found.writer_identity)))
        return ""

    def delete(self, name: str) -> str:
        """Delete it."""
        path = path_of(name)
        request = {"sink_name": path}
        return delete_if_there(lambda: self._call(path, "delete_sink", request, calls.ONCE))

    def get_operation(self, name: str) -> OperationState:
        """Sinks have none."""
        return done(name)

    def list_ours(self) -> tuple[CloudResource, ...]:
        """Sinks whose description says so."""
        parent = f"projects/{self._clients.project}"
        pager = self._call(parent, "list_sinks", {"parent": parent})
        with calls.converting(parent):
            found = [(str(s.name), owner_of({}, str(s.description))) for s in pager]
        base = f"//{LOGGING}/{parent}/sinks/"
        return tuple(CloudResource(base + n, o) for n, o in found if o is not None)

    def _may_write(self, dataset: str, writer: str) -> bool:
        """Whether that account stands in the dataset's list as a writer."""
        try:
            found: Any = self._on_dataset(dataset, lambda c, t: c.get_dataset(dataset, timeout=t))
        except NotFound:
            return False
        return any(e.role in _WRITERS and e.entity_id == writer for e in found.access_entries)

    def _let_write(self, dataset: str, writer: str) -> None:
        """Add that account to the dataset's list."""
        from google.cloud.bigquery import AccessEntry

        found: Any = self._on_dataset(dataset, lambda c, t: c.get_dataset(dataset, timeout=t))
        entry = AccessEntry("WRITER", "userByEmail", writer)
        found.access_entries = [*found.access_entries, entry]
        fields = ["access_entries"]
        self._on_dataset(dataset, lambda c, t: c.update_dataset(found, fields, timeout=t))

    def _on_dataset(self, dataset: str, method: Callable[[Any, float], Any]) -> Any:
        client: Any = self._clients.bigquery()
        return self._clients.call(
            lambda t: method(client, t), resource=dataset, timeout_s=_TIMEOUT_S, policy=calls.ONCE
        )

    def _call(
        self, path: str, method: str, request: Any, policy: calls.RetryPolicy = calls.READ
    ) -> Any:
        def bound() -> Any:
            from google.cloud.logging_v2.services.config_service_v2 import ConfigServiceV2Client
            from google.cloud.logging_v2.services.config_service_v2.transports.grpc import (
                ConfigServiceV2GrpcTransport,
            )

            client: Any = self._clients.grpc(
                "sinks", ConfigServiceV2Client, ConfigServiceV2GrpcTransport
            )
            return getattr(client, method)

        return ask(self._clients, path, bound, request, _TIMEOUT_S, policy)


def _dataset(destination: str) -> str:
    """project.dataset of a destination; "" where it is no dataset."""
    _, _, path = destination.partition("bigquery.googleapis.com/projects/")
    return path.replace("/datasets/", ".")


def _email(identity: str) -> str:
    return identity.partition(":")[2]
