"""Writes copies of the audit's records to Cloud Logging. What is copied `control/` decides."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from core.audit_record import AuditRecord
from services.clients import Clients
from services.project.asking import ask

_TIMEOUT_S: Final = 20.0


class AuditLog:
    """One log of the project."""

    def __init__(self, clients: Clients, log_id: str) -> None:
        self._clients = clients
        self._log = f"projects/{clients.project}/logs/{quote(log_id, safe='')}"

    def write(self, records: Sequence[AuditRecord]) -> None:
        """Write them; twice is once, since Cloud Logging knows an entry by its insert id.

        Raises:
            OpsError: they were not written.
        """
        entries = [self._entry(record) for record in records]
        request = {"log_name": self._log, "entries": entries}
        ask(self._clients, self._log, self._method, request, _TIMEOUT_S)

    def _method(self) -> Any:
        from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2Client
        from google.cloud.logging_v2.services.logging_service_v2.transports.grpc import (
            LoggingServiceV2GrpcTransport,
        )

        client: Any = self._clients.grpc(
            "entries", LoggingServiceV2Client, LoggingServiceV2GrpcTransport
        )
        return client.write_log_entries

    def _entry(self, record: AuditRecord) -> Any:
        from google.cloud.logging_v2.types import LogEntry
        from google.protobuf.json_format import ParseDict

        entry: Any = LogEntry()
        body = {
            "resource": {"type": "global", "labels": {"project_id": self._clients.project}},
            "timestamp": record.at.isoformat(),
            "severity": "NOTICE",
            "insertId": record.hash,
            "labels": {"kind": record.kind},
            "jsonPayload": json.loads(record.text),
        }
        ParseDict(body, LogEntry.pb(entry))
        return entry
