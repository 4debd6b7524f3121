"""What the console makes of a running emulator: one read of every source, and its findings."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import httpx

from control.history import preset_window
from control.readers import make_readers
from control.refresh import Partial
from control.settings import Settings, load_settings
from control.wiring import cloud_target
from core.problems import Finding
from core.records import Alert, Snapshot, Source, SourceState
from core.series import Series, Signal
from services.clients import Clients
from services.monitoring import Monitoring
from services.tier_rows import Inventory
from tests.processes import EmulatorProcess
from ui.derived import Solved, derive

# What shows a story within minutes; prices stay, and the bill comes hours later.
_LASTING: Final = (Source.PRICES,)
_LIVELY: Final = (
    Source.GKE, Source.KUBE, Source.TPU, Source.VERTEX, Source.LOAD_BALANCER, Source.CHIPS,
    Source.LOAD,
)  # fmt: skip


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

    def snapshot(self) -> Snapshot:
        """All of it as it is now."""
        return self._read(self._first, _LIVELY)

    def alerts(self) -> tuple[Alert, ...]:
        """Those that Cloud Monitoring's policies have open."""
        return self._read(self._first, (Source.ALERTS,)).alerts or ()

    def findings(self) -> tuple[Finding, ...]:
        """What the console's Overview would say."""
        snapshot = self.snapshot()
        signals = (Signal.REQUESTS, Signal.ERRORS)
        window = preset_window("6h", _now())
        read = self._monitoring.read_series_group(
            signals, snapshot.specs, window, Inventory.of(snapshot)
        )
        pairs = {
            spec.name: (_of(read[signals[0]], spec.name), _of(read[signals[1]], spec.name))
            for spec in snapshot.specs
        }
        burning = {name: (a, b) for name, (a, b) in pairs.items() if a and b}
        return derive(snapshot, burning, self._solved(snapshot)).findings

    def _solved(self, snapshot: Snapshot) -> Solved:
        newest, before = (
            self._monitoring.read_series(
                Signal.SOLVED, snapshot.specs, preset_window(span, _now()), Inventory.of(snapshot)
            )
            for span in ("6h", "7d")
        )
        return {one.tier: (one, other) for one, other in zip(newest, before, strict=True)}

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


def _of(series: list[Series], tier: str) -> Series | None:
    return next((one for one in series if one.tier == tier), None)


def _now() -> datetime:
    return datetime.now(UTC)
