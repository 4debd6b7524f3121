"""`python -m control settings`: the settings in force, and where each comes from."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from control.settings import Settings, load_settings
from control.settings_sources import leaves

_SECRET_KEYS = ("database_url",)


def add_parser(commands: Any) -> None:
    """Add the subcommand `settings`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "settings", help="print the settings in force and where each comes from"
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="another file than heartwood.toml"
    )
    parser.add_argument("--json", action="store_true", help="as JSON, one object per key")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print them; ConfigError when they are wrong."""
    rows = [
        {"key": key, "value": value, "from": origin}
        for key, value, origin in settings_rows(load_settings(arguments.config))
    ]
    if arguments.json:
        json.dump(rows, sys.stdout, indent=1, ensure_ascii=False)
        sys.stdout.write("\n")
        return 0
    width = max(len(row["key"]) for row in rows)
    for row in rows:
        value = json.dumps(row["value"], ensure_ascii=False)
        sys.stdout.write(f"{row['key']:<{width}}  {value}   ({row['from']})\n")
    return 0


def settings_rows(settings: Settings) -> list[tuple[str, Any, str]]:
    """(dotted key, value, where it comes from) of every setting; passwords in URLs are masked."""
    tree = settings.model_dump(mode="json")
    return [(key, _masked(key, value), settings.origin(key)) for key, value in leaves(tree)]


def _masked(key: str, value: Any) -> Any:
    """A database URL without its password."""
    if not key.endswith(_SECRET_KEYS) or "@" not in str(value):
        return value
    head, _, tail = str(value).rpartition("@")
    scheme, _, identity = head.partition("://")
    user = identity.partition(":")[0]
    return f"{scheme}://{user}:***@{tail}"
