"""Audit records as flat rows, for CSV and JSON lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable

from core.plans import AuditEntry

Row = dict[str, str | float | None]


def export_rows(entries: Iterable[AuditEntry]) -> tuple[Row, ...]:
    """One row per intent; times are ISO 8601 UTC, costs USD per hour, None: unknown."""
    return tuple(_row(entry) for entry in entries)


def _row(entry: AuditEntry) -> Row:
    ended = entry.finished_at
    return {
        "intent": entry.intent,
        "at": entry.at.isoformat(),
        "finished_at": ended.isoformat() if ended else None,
        "duration_s": (ended - entry.at).total_seconds() if ended else None,
        "actor": entry.actor,
        "origin": entry.origin,
        "action": entry.action,
        "tier": entry.tier,
        "title": entry.title,
        "reason": entry.reason,
        "state": entry.state,
        "outcome": entry.outcome,
        "digest": entry.digest,
        "usd_per_hour_before": entry.cost.before_usd_per_hour if entry.cost else None,
        "usd_per_hour_after": entry.cost.after_usd_per_hour if entry.cost else None,
        "verdicts": "; ".join(f"{v.guard}={v.outcome.value}" for v in entry.verdicts),
        "consents": "; ".join(entry.consents),
        "approvals": "; ".join(entry.approvals),
        "overrides": "; ".join(f"{guard}: {why}" for guard, why in entry.overrides.items()),
        "calls": "; ".join(entry.calls),
        "tags": " ".join(entry.tags),
    }


def to_csv(entries: Iterable[AuditEntry]) -> str:
    """CSV with a header line; unknown is empty. Cells that a spreadsheet would run are quoted."""
    rows = export_rows(entries)
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: _harmless(value) for name, value in row.items()})
    return text.getvalue()


def _harmless(value: str | float | None) -> str | float | None:
    """A text that begins like a formula gets an apostrophe before it."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value


def to_json_lines(entries: Iterable[AuditEntry]) -> str:
    """One JSON object a line."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in export_rows(entries))
