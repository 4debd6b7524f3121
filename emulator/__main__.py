"""`python -m emulator`: the command line; `python -m emulator env` prints shell lines."""

from __future__ import annotations

import atexit
import logging
import os
import sys

from emulator.settings import SettingsError, parse


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    if arguments[:1] == ["env"]:
        from emulator import env

        return env.main(arguments[1:])
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would tell of every request
    from emulator.scenarios.files import ScenarioError

    try:
        settings = parse(arguments)
    except (ScenarioError, SettingsError) as error:
        print(f"emulator: {error}", file=sys.stderr)
        return 2
    from emulator.faults.rules import RuleError
    from emulator.journal.folder import StateError
    from emulator.server import PortInUse, serve

    try:
        serve(settings, lambda line: print(line, flush=True))
    except (PortInUse, RuleError, StateError) as error:
        print(f"emulator: {error}", file=sys.stderr)
        return 2
    return 0


def _leave(status: list[int]) -> None:
    """End the process at once: freeing a fleet's objects one by one would take seconds."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status[0])


if __name__ == "__main__":
    ended = [1]
    atexit.register(_leave, ended)  # the first to be registered is the last to be called
    try:
        ended[0] = main(sys.argv[1:])
    except SystemExit as asked:  # --help
        ended[0] = asked.code if isinstance(asked.code, int) else 1
