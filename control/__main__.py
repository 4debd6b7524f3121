"""`python -m control`: Heartwood's command line. Each subcommand is a module with `add_parser`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from control import (
    audit_command,
    command_approvals,
    command_jobs,
    command_plan,
    command_route,
    show_settings,
)
from core.errors import ConfigError

COMMANDS = (
    show_settings, audit_command, command_plan, command_approvals, command_jobs, command_route,
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit status, 2 when the settings are wrong."""
    parser = argparse.ArgumentParser(prog="python -m control", description="Heartwood's commands.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add_parser(commands)
    arguments = parser.parse_args(argv)
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
        return status
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
