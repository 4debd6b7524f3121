"""`python -m control audit`: the record on the command line, also while no console runs."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from control.audit import Audit
from control.audit_chain import verify
from control.audit_export import to_csv, to_json_lines
from control.settings import load_settings
from control.store import open_store
from core.errors import ConfigError
from core.plans import AuditEntry

_ALL: Final = 1_000_000


def add_parser(commands: Any) -> None:
    """Add the subcommand `audit` with its own."""
    parser: argparse.ArgumentParser = commands.add_parser("audit", help="the record of all changes")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="another file than heartwood.toml"
    )
    what = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    listing = what.add_parser("list", help="the newest records, a line each")
    listing.add_argument("--limit", type=int, default=20, help="how many (default: %(default)s)")
    export = what.add_parser("export", help="all records that fit, as CSV or JSON lines")
    export.add_argument("--format", choices=("csv", "jsonl"), default="jsonl")
    export.add_argument("--out", type=Path, metavar="FILE", help="a file instead of the screen")
    for each in (listing, export):
        _add_filters(each)
    check = what.add_parser("verify", help="whether a record was changed, taken out or slipped in")
    check.add_argument("--expect", default="", metavar="HASH", help="a last hash noted earlier")
    parser.set_defaults(run=run)


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tier")
    parser.add_argument("--action")
    parser.add_argument("--actor", metavar="NAME")
    parser.add_argument("--state")
    parser.add_argument(
        "--since", type=_moment, metavar="TIME", help="such as 2026-11-21 or with T"
    )


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def run(arguments: argparse.Namespace) -> int:
    """Do it; 1 when the record does not verify, ConfigError when there is no readable one."""
    url = load_settings(arguments.config).data.database_url
    try:
        engine = open_store(url)
    except SQLAlchemyError as error:
        raise ConfigError(f"The record cannot be opened: {error}") from error
    try:
        if arguments.what == "verify":
            return _verify(engine, arguments.expect)
        entries = _entries(Audit(engine), arguments)
        if arguments.what == "list":
            for entry in entries:
                sys.stdout.write(_line(entry) + "\n")
            return 0
        text = to_csv(entries) if arguments.format == "csv" else to_json_lines(entries)
        if arguments.out is None:
            sys.stdout.write(text)
        else:
            arguments.out.write_text(text, encoding="utf-8")
        return 0
    finally:
        engine.dispose()


def _verify(engine: sa.Engine, expected: str) -> int:
    found = verify(engine, expected)
    if found.broken:
        sys.stdout.write(f"BROKEN after {found.records} good records: {found.broken}\n")
        return 1
    sys.stdout.write(f"{found.records} records fit; the last hash is {found.head}\n")
    return 0


def _entries(audit: Audit, arguments: argparse.Namespace) -> tuple[AuditEntry, ...]:
    return audit.entries(
        tier=arguments.tier,
        action=arguments.action,
        actor=arguments.actor,
        state=arguments.state,
        since=arguments.since,
        limit=getattr(arguments, "limit", _ALL),
    )


def _line(entry: AuditEntry) -> str:
    at = f"{entry.at:%Y-%m-%d %H:%M:%S}"
    return f"{at}  {entry.state:<10} {entry.actor:<12} {entry.title}  [{entry.intent}]"
