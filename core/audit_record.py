"""One record of the audit as it is copied elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """A row of the record with its place in the chain.

    Attributes:
        seq: number in the chain, from 1.
        hash: over the row and the hash before it; no other record has it.
        kind: the table, such as "intents".
        at: when it was written, UTC.
        text: JSON object: seq, hash, kind, and the row's columns under "row".
    """

    seq: int
    hash: str
    kind: str
    at: datetime
    text: str
