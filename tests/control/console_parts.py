"""An executor with a real record and real workflows on a fake GKE; run as a script, a process.

`python -m tests.control.console_parts FOLDER [submit INTENT]` starts the executor, submits if told,
and stays until every intent has ended: the process that the kill tests kill.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from control.access import Actor
from control.appliers import Appliers, node_pools
from control.audit import Audit
from control.executor import Executor
from control.history import History
from control.planning import Planning
from control.settings import Settings, load_settings
from control.single_executor import DirectoryLock
from control.store import open_store
from core.plans import Request
from core.records import Snapshot, Source
from core.series import Series, Signal, Window
from core.specs import TierSpec
from services.tier_rows import Inventory
from tests.control.fake_gke import FakeGke
from tests.make import make_series, make_snapshot

ACTOR = Actor("ada", "test")


class QuietMonitoring:
    """Little demand on every tier."""

    def read_series_group(
        self,
        signals: Sequence[Signal],
        specs: Sequence[TierSpec],
        window: Window,
        known: Inventory | None = None,
    ) -> dict[Signal, list[Series]]:
        """Series around 10 in each signal's unit."""
        return {s: [make_series(t.name, s, window, 10.0) for t in specs] for s in signals}


class Parts:
    """What the Console wires, over a folder."""

    def __init__(self, folder: Path) -> None:
        self.gke = FakeGke(folder)
        self.settings: Settings = load_settings(environ={"HEARTWOOD_DATA_DIR": str(folder)})
        self.audit = Audit(open_store(self.settings.data.database_url))
        self.refreshed: list[Source] = []
        self.base = make_snapshot("normal", datetime.now(UTC))
        self.history = History(QuietMonitoring(), self.settings.tiers, lambda: None)
        self.planning = Planning(self.settings, self.snapshot, self.history, self.audit)
        self.executor = Executor(
            self.audit,
            self.planning,
            Appliers([node_pools.product(self.gke)]),
            self.snapshot,
            lambda *sources: self.refreshed.extend(sources),
            self.settings.data.workflow_database_url,
            DirectoryLock(folder),
            retry_first_s=0.05,
            retry_max_s=0.2,
        )

    def snapshot(self) -> Snapshot:
        """The world as read now, with the fake's pools."""
        return replace(self.base, node_pools=tuple(self.gke._pools()))

    def age(self, seconds: float) -> None:
        """Let all sources grow old."""
        sources = {
            k: replace(s, read_at=s.read_at - timedelta(seconds=seconds) if s.read_at else None)
            for k, s in self.base.sources.items()
        }
        self.base = replace(self.base, sources=sources)

    def submit(self, delta: int = -1, intent: str = "") -> str:
        """Plan and submit a change of small, agreeing to all that is asked."""
        judged = self.planning.plan(Request("scale_tier", "small", {"delta": delta}))
        return self.executor.submit(
            judged.plan, judged.verdicts, judged.consents_needed, ACTOR, intent=intent
        )

    def wait(self, intent: str, *states: str, timeout_s: float = 120.0) -> str:
        """The intent's state once it is one of these; fails when it is not in time."""
        end = time.monotonic() + timeout_s
        while True:
            found = self.audit.progress(intent)
            if found is not None and found.state in states:
                return found.state
            assert time.monotonic() < end, f"{found} is not {states}"
            time.sleep(0.02)


def details(parts: Parts, intent: str) -> str:
    """All that was recorded of an intent."""
    return "\n".join(p.detail for p in parts.audit.log(intent))


def wait_for(true: Callable[[], bool], timeout_s: float = 120.0) -> None:
    """Until it is true."""
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def main(arguments: Sequence[str]) -> None:
    """Run until all intents have ended."""
    parts = Parts(Path(arguments[0]))
    parts.executor.start()
    if len(arguments) > 1:
        parts.submit(intent=arguments[2])
    while parts.audit.unfinished():
        time.sleep(0.05)
    parts.executor.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
