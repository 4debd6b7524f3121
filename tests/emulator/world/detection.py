"""What the console makes of a running emulator: one read of every source, and its findings."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import httpx

from control.history import preset_window
from control.readers import make_readers
from control.refresh import Partial
from control.settings import Settings, load_settings
from control.wiring import cloud_target
from core.problems import Finding, Severity
from core.records import Alert, Snapshot, Source, SourceState
from core.series import Series, Signal
from services.clients import Clients
from services.monitoring import Monitoring
from services.tier_rows import Inventory
from tests.processes import EmulatorProcess
from ui.derived import Weeks, derive

# What shows a story within minutes; prices stay, and the bill comes hours later.
_LASTING: Final = (Source.PRICES,)
_LIVELY: Final = (
    Source.GKE, Source.KUBE, Source.TPU, Source.VERTEX, Source.LOAD_BALANCER, Source.CHIPS,
    Source.LOAD,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Expected:
    """How soon a story is to be found out: its tiers blamed and its cause named.

    `cause` is a word of what is said of each affected tier; minutes are after the story's start.
    """

    minutes: int
    cause: str


EXPECTED: Final = {
    "black-friday": Expected(25, "times as many requests as usual"),
    "regional-outage": Expected(3, "nothing in zone us-central1-c answers"),
    "bad-rollout": Expected(6, "all of revision 0.33.0"),
    "chip-fault": Expected(1, "TPUDeviceUnhealthy"),
    "preemption-storm": Expected(5, "were taken away (pre-empted)"),
    "slow-weights": Expected(6, "load their weights slowly"),
    "hot-key": Expected(10, "a prefix that one server has cached"),
    "runaway-cost": Expected(1, "to no tier"),
}


def serious(findings: Iterable[Finding]) -> set[str]:
    """Tiers of which more than a note is made."""
    return {f.tier for f in findings if f.severity < Severity.NOTE}


def named(findings: Iterable[Finding], cause: str) -> set[str]:
    """Tiers of which that cause is told."""
    return {f.tier for f in findings if cause in f.sentence}


def affected(truth: Mapping[str, Any]) -> set[str]:
    """Tiers that a story hits, by its truth; "" for one that hits none."""
    return set(truth["story"]["tiers"]) or {""}


class Watcher:
    """Reads an emulator as the console does, and tells what is wrong."""

    def __init__(self, emulator: EmulatorProcess) -> None:
        self.url = emulator.rest_url
        settings = _settings(emulator)
        self._clients = Clients(cloud_target(settings))
        readers = make_readers(settings, self._clients, None)
        for reader in readers:
            if reader.prepare is not None and reader.source in (*_LIVELY, *_LASTING):
                reader.prepare()
        self._reads = {reader.source: reader.read for reader in readers}
        self._monitoring = Monitoring(self._clients)
        self._days: dict[Signal, list[Series]] = {}
        self._first = Snapshot(_now(), settings.tiers, {})
        self._first = self._read(self._first, _LASTING)

    def close(self) -> None:
        """Let go of the connections."""
        self._clients.close()

    def tell(self, scenario: str, starts_in_s: float = 0.0) -> dict[str, Any]:
        """Switch to a scenario; the truth about it."""
        place = f"{self.url}/_heartwood/scenarios/{scenario}"
        answer = httpx.post(place, json={"starts_in_s": starts_in_s}, timeout=60, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def calm(self) -> None:
        """End the story that runs; not even its past is left."""
        self.tell("normal", -6 * 3600.0)

    def begin(self, name: str, minutes: float) -> dict[str, Any]:
        """Have the story begun so long ago, and what it makes be there; the truth."""
        truth = self.tell(name, -60.0 * minutes)
        if name == "runaway-cost" and truth["running"]["state"] == "running":
            self._wait_for_pool()
        return truth

    def _wait_for_pool(self) -> None:
        end = time.monotonic() + 60
        while not any(
            p.name.startswith("retry-") and p.node_count for p in self.snapshot().node_pools or ()
        ):
            assert time.monotonic() < end

    def snapshot(self) -> Snapshot:
        """All of it as it is now."""
        return self._read(self._first, _LIVELY)

    def alerts(self) -> tuple[Alert, ...]:
        """Those that Cloud Monitoring's policies have open."""
        return self._read(self._first, (Source.ALERTS,)).alerts or ()

    def findings(self) -> tuple[Finding, ...]:
        """What the console's Overview would say."""
        snapshot = self.snapshot()
        requests, errors = self._read_series(snapshot, "6h", Signal.REQUESTS, Signal.ERRORS)
        (solved,) = self._read_series(snapshot, "6h", Signal.SOLVED)
        for signal in (Signal.SOLVED, Signal.REQUESTS):
            if signal not in self._days:  # of which no story moves what counts: the days before
                (self._days[signal],) = self._read_series(snapshot, "7d", signal)
        found = derive(
            snapshot,
            _paired(requests, errors),
            _paired(solved, self._days[Signal.SOLVED]),
            _paired(requests, self._days[Signal.REQUESTS]),
        )
        return found.findings

    def _read_series(self, snapshot: Snapshot, span: str, *signals: Signal) -> list[list[Series]]:
        window = preset_window(span, _now())
        read = self._monitoring.read_series_group(
            signals, snapshot.specs, window, Inventory.of(snapshot)
        )
        return [read[signal] for signal in signals]

    def _read(self, snapshot: Snapshot, sources: tuple[Source, ...]) -> Snapshot:
        first = [s for s in sources if s in (Source.GKE, Source.TPU, Source.VERTEX)]
        for several in (first, [s for s in sources if s not in first]):
            with ThreadPoolExecutor(4) as pool:
                found = [pool.submit(self._reads[source], snapshot) for source in several]
            for future in found:
                fields = future.result()
                assert not isinstance(fields, Partial), fields
                snapshot = replace(snapshot, **fields)
        now = _now()  # how old a read is, is not what is watched here
        states = {s: SourceState(s, 15.0, now, now) for s in (*snapshot.sources, *sources)}
        return replace(snapshot, taken_at=now, sources=states)


def _settings(emulator: EmulatorProcess) -> Settings:
    ports = {
        "HEARTWOOD_EMULATOR_PORT": emulator.rest_url.rpartition(":")[2],
        "HEARTWOOD_EMULATOR_GRPC_PORT": emulator.grpc_target.rpartition(":")[2],
        "HEARTWOOD_DATA_DIR": str(emulator.data_dir),
    }
    return load_settings(environ=ports)


def _paired(one: list[Series], other: list[Series]) -> Weeks:
    """By tier; both lists are in the tiers' order."""
    return {a.tier: (a, b) for a, b in zip(one, other, strict=True)}


def _now() -> datetime:
    return datetime.now(UTC)
