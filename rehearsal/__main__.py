"""`python -m rehearsal`: run docs/rehearsal.md against an emulator of its own."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rehearsal.blocks import DOCUMENT, Block, read_blocks
from rehearsal.recording import RECORDING, condense
from rehearsal.running import StepFailed, run_blocks, start_emulator

_NEEDED = ("gcloud", "bq", "kubectl", "curl", "openssl")


def main(arguments: Sequence[str]) -> int:
    """Run every step; 1 when one fails, 2 when a command is not installed."""
    parser = argparse.ArgumentParser(prog="python -m rehearsal", description=__doc__)
    parser.add_argument("--speed", type=float, default=3000.0, help="of the emulator")
    parser.add_argument(
        "--record", action="store_true", help="write rehearsal/recorded.jsonl anew, for the replay"
    )
    parser.add_argument("--document", type=Path, default=DOCUMENT, help="(docs/rehearsal.md)")
    chosen = parser.parse_args(arguments)
    missing = [name for name in _NEEDED if shutil.which(name) is None]
    if missing:
        names = ", ".join(missing)
        sys.stderr.write(f"not installed: {names}; the tests replay the recorded rehearsal\n")
        return 2
    with tempfile.TemporaryDirectory(prefix="heartwood-rehearsal-") as name:
        blocks = read_blocks(chosen.document.read_text(encoding="utf-8"))
        return _rehearse(blocks, Path(name), chosen.speed, record=chosen.record)


def _rehearse(blocks: list[Block], folder: Path, speed: float, *, record: bool) -> int:
    raw = folder / "exchanges.jsonl"
    emulator = start_emulator(folder, speed, raw if record else None)
    work = folder / "work"
    work.mkdir()
    steps: list[tuple[str, int]] = []
    began = time.monotonic()

    def done(block: Block, took_s: float) -> None:
        steps.append((block.title, len(raw.read_bytes().splitlines()) if record else 0))
        sys.stdout.write(f"{took_s:7.1f} s  {block.title}\n")
        sys.stdout.flush()

    try:
        run_blocks(blocks, emulator.environment(), work, done)
    except StepFailed as error:
        sys.stderr.write(f"failed: {error}\n")
        return 1
    finally:
        emulator.stop()
    took_s = time.monotonic() - began
    sys.stdout.write(f"{took_s:7.1f} s  in all: {len(blocks)} blocks, nothing is left\n")
    if record:
        condense(raw, steps, RECORDING)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
