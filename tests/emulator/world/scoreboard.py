"""How soon each story is found out, over several seeds, as a table for docs/scenarios.md.

    .venv/bin/python -m tests.emulator.world.scoreboard 1 2 3 [STORY …]

reads all sources over the real wires at each of some minutes after the start of each story (of
those named, or of all but runaway-cost, whose node pools are made as time really passes). It takes
minutes a seed. `test_detection.py` holds the limits.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Final

from emulator.scenario import SCENARIOS
from tests.emulator.world.detection import EXPECTED, Watcher, affected, named, serious
from tests.processes import start_emulator

ASKED_MIN: Final = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30)
STORIES: Final = tuple(name for name in EXPECTED if name != "runaway-cost")
AFTER_MIN: Final = (5, 15, 30, 45, 60)  # after a story's end


@dataclass
class Row:
    """Of one story, a value per seed; None: not within what was asked."""

    blamed: list[int | None] = field(default_factory=list[int | None])
    caused: list[int | None] = field(default_factory=list[int | None])
    quiet: list[int | None] = field(default_factory=list[int | None])
    wrong: int = 0
    looks: int = 0


def watch(watcher: Watcher, name: str, row: Row) -> None:
    """Look at one story at several times after its start, and after its end."""
    blamed: int | None = None
    caused: int | None = None
    watcher.calm()
    for minute in ASKED_MIN:  # each start replaces all of the later one before
        hit = affected(watcher.begin(name, minute))
        found = watcher.findings()
        row.looks += 1
        row.wrong += bool(serious(found) - hit)
        if blamed is None and serious(found) >= hit:
            blamed = minute
        if caused is None and named(found, EXPECTED[name].cause) == hit:
            caused = minute
        if blamed is not None and caused is not None:
            break
    row.blamed.append(blamed)
    row.caused.append(caused)
    story = SCENARIOS[name].story
    assert story is not None
    for minute in AFTER_MIN:
        watcher.begin(name, story.lasts_min + minute)
        if not serious(watcher.findings()):
            row.quiet.append(minute)
            return
    row.quiet.append(None)


def told(values: list[int | None]) -> str:
    """One value where all agree, else the least and the most."""
    known = [v for v in values if v is not None]
    if not known:
        return "never"
    low, high = min(known), max(known)
    missed = (
        f" ({len(values) - len(known)} of {len(values)} not)" if len(known) < len(values) else ""
    )
    return (f"{low}" if low == high else f"{low} to {high}") + missed


def main() -> None:
    """Print the table over the seeds and stories that are named."""
    seeds = [int(word) for word in sys.argv[1:] if word.isdigit()] or [7]
    stories = [word for word in sys.argv[1:] if word in STORIES] or list(STORIES)
    rows = {name: Row() for name in stories}
    calm: list[str] = []
    for seed in seeds:
        running = start_emulator("preemption-storm", speed=1, seed=seed)
        watcher = Watcher(running)
        try:
            watcher.calm()
            calm += [f.sentence for f in watcher.findings() if f.tier in serious((f,))]
            for name, row in rows.items():
                watch(watcher, name, row)
        finally:
            watcher.close()
            running.stop()
    lines = [
        f"seeds {seeds}; without a story: {calm or 'nothing worse than a note'}",
        "| story | tiers blamed after | cause named after | other tiers blamed | quiet again |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| `{name}` | {told(row.blamed)} min | {told(row.caused)} min"
        f" | {row.wrong} of {row.looks} looks | {told(row.quiet)} min |"
        for name, row in rows.items()
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
