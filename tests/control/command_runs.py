"""Runs the equivalent commands of plans against an emulator: with gcloud and kubectl, or replayed.

Recorded once with the real commands (`HEARTWOOD_TEST_COMMANDS=1` runs and records them anew), what
they sent is kept in `commands.jsonl` beside this file, so that tests need none of them. How a
recording is made and sent again is the rehearsal's (`rehearsal/`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from core.plans import Step
from rehearsal.recording import condense
from rehearsal.replay import Replay, read_recording
from tests.processes import ROOT, EmulatorProcess, start_emulator

COMMANDS: Final = Path(__file__).with_name("commands.jsonl")
VARIABLE: Final = "HEARTWOOD_TEST_COMMANDS"
NEEDED: Final = ("gcloud", "kubectl", "bq", "yq")
_LIMIT_S: Final = 180
# gcloud's commands for budgets know no other address than the real cloud's.
NOT_HERE: Final = "gcloud billing budgets"


def can_run_here(step: Step) -> bool:
    """Whether the step's command can be pointed at an emulator, and is one."""
    return not step.command.startswith((NOT_HERE, "#"))


class Runner(Protocol):
    """What takes the steps of a plan to an emulator."""

    emulator: EmulatorProcess

    def run(self, steps: Sequence[Step]) -> None:
        """Do all of them, one after the other."""
        ...

    def end(self) -> None:
        """Stop the emulator."""
        ...


class RealCommands:
    """A shell with the commands; what they send is recorded."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._raw = folder, folder / "exchanges.jsonl"
        self.emulator = start_emulator(
            "empty-project", speed=3000, record=False, arguments=["--record", str(self._raw)]
        )
        self._steps: list[tuple[str, int]] = []
        own = {
            **os.environ,
            "HEARTWOOD_EMULATOR_PORT": self.emulator.rest_url.rsplit(":", 1)[1],
            "HEARTWOOD_DATA_DIR": str(self.emulator.data_dir),
            "CLOUDSDK_CONFIG": str(folder / "gcloud"),
            "HOME": str(folder),
        }
        told = subprocess.run(
            [sys.executable, "-m", "emulator", "env", "--json"],
            cwd=ROOT, env=own, capture_output=True, text=True, check=True,
        )  # fmt: skip
        self._environment = {**own, **json.loads(told.stdout)}

    def run(self, steps: Sequence[Step]) -> None:
        """Each in a shell of its own; one that fails fails the test with what it said."""
        for step in filter(can_run_here, steps):
            ran = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", step.command],
                cwd=self._folder, env=self._environment, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=_LIMIT_S,
                check=False,
            )  # fmt: skip
            assert ran.returncode == 0, f"{step.title}: {step.command}\n{ran.stdout}"
            self._steps.append((step.command, len(self._raw.read_bytes().splitlines())))

    def end(self) -> None:
        """Keep what was recorded."""
        self.emulator.stop()
        condense(self._raw, self._steps, COMMANDS)


class Replayed:
    """What the commands sent, sent again; it must have been these commands."""

    def __init__(self) -> None:
        # Not checked with the others: gcloud's own requests are not all as documented (nulls).
        self.emulator = start_emulator("empty-project", speed=3000, record=False)
        self._replay = Replay(self.emulator.rest_url)
        self._lines = list(read_recording(COMMANDS))

    def run(self, steps: Sequence[Step]) -> None:
        """Their requests; every answer has the recorded status."""
        for step in filter(can_run_here, steps):
            for _ in self._replay.run(self._taken(step.command)):
                pass
            assert not self._replay.wrong, self._replay.wrong

    def _taken(self, command: str) -> Iterator[dict[str, Any]]:
        """The lines of one step, which leave the recording."""
        head, self._lines = self._lines[0], self._lines[1:]
        assert head == {"step": command}, f"recorded is {head}: run with {VARIABLE}=1"
        while self._lines and "step" not in self._lines[0]:
            yield self._lines.pop(0)

    def end(self) -> None:
        """All of it was sent."""
        self.emulator.stop()
        assert self._lines == []
