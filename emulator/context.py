"""`Cloud`: what all APIs of one emulated project share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from emulator.calls import CallCounter
from emulator.clock import Clock
from emulator.journal.changes import Changes
from emulator.log import ActionLog, Change
from emulator.operations import Operations
from emulator.scenario import SCENARIOS, Project, Scenario
from emulator.settings import Settings
from emulator.turns import Turns

if TYPE_CHECKING:
    from emulator.apis.gke.model import Fleet
    from emulator.exchanges import Exchanges
    from emulator.faults.gate import Gate
    from emulator.tls import ClusterAccess

T = TypeVar("T")


@dataclass(slots=True)
class Endpoints:
    """Where the running emulator listens; set before `on_start` hooks run."""

    rest_url: str = ""
    grpc_target: str = ""
    lb_url: str = ""
    tls: ClusterAccess | None = None


@dataclass
class Cloud:
    """One emulated project: its starting state, clock, log of changes, operations and stores.

    Attributes:
        lock: guards changes of any store; short sections only.
        endpoints: the addresses, once bound.
        disabled_services: services that the project has disabled, e.g. "tpu.googleapis.com", with
            their titles; Service Usage keeps it, the wire refuses their calls.
        scratch_dir: where APIs may keep files that the next start makes again; None: in the
            system's temporary place.
        gate: what every call passes (identity, permissions, faults); the process sets it.
        exchanges: where requests and answers are noted, if anywhere (`--record`).
    """

    settings: Settings
    scenario: Scenario
    clock: Clock
    log: ActionLog = field(default_factory=ActionLog)
    calls: CallCounter = field(default_factory=CallCounter)
    endpoints: Endpoints = field(default_factory=Endpoints)
    lock: threading.RLock = field(default_factory=threading.RLock)
    disabled_services: dict[str, str] = field(default_factory=dict)
    exchanges: Exchanges | None = None
    gate: Gate | None = None
    scratch_dir: Path | None = None

    def __post_init__(self) -> None:
        self.turns = Turns(self.clock, self.settings.seed)
        self.operations = Operations(self.clock, self.lock, self.turns)
        self.changes = Changes(self.turns)
        self._stores: dict[type, object] = {}
        self._starts: list[Callable[[], None]] = []
        self._stops: list[Callable[[], None]] = []

    @property
    def project(self) -> Project:
        """Identity of the project."""
        return self.scenario.project

    @property
    def seed(self) -> int:
        """Seed of everything that looks like chance."""
        return self.settings.seed

    @cached_property
    def fleet(self) -> Fleet:
        """GKE's clusters, pools and nodes: the hosts that Kubernetes, NEGs and world share."""
        from emulator.apis.gke.model import Fleet

        return Fleet(self)

    def store(self, kind: type[T], make: Callable[[], T]) -> T:
        """The one instance of a product's state class, made on first use."""
        with self.lock:
            if kind not in self._stores:
                # Whoever looks first, and when: the starting state is the same.
                with self.clock.at(self.clock.started_at):
                    self._stores[kind] = make()
            found = self._stores[kind]
        assert isinstance(found, kind)
        return found

    @property
    def replaying(self) -> bool:
        """Whether an earlier process's changes are made again: what they passed then, they pass."""
        return self.turns.replaying

    def new_id(self, kind: str, digest_size: int = 16) -> str:
        """A new id in hex: the same calls get the same ids (turns.py)."""
        return self.turns.new_id(kind, digest_size)

    def decided(self, key: str, decide: Callable[[], Any]) -> Any:
        """A JSON value that the state does not hold, decided once per change (turns.py)."""
        return self.turns.decided(key, decide)

    def changed(
        self, kind: str, resource: str, tier: str, **data: str | int | float | bool | None
    ) -> None:
        """Note in the log that a change has taken effect now."""
        self.log.append(Change(self.clock.now(), kind, resource, tier, data))

    def on_start(self, hook: Callable[[], None]) -> None:
        """Run the hook once both ports are bound."""
        self._starts.append(hook)

    def on_stop(self, hook: Callable[[], None]) -> None:
        """Run the hook when the emulator stops; last registered first."""
        self._stops.append(hook)

    def started(self) -> None:
        """Run the start hooks (the process calls this)."""
        self.operations.run()
        for hook in self._starts:
            hook()

    def stopped(self) -> None:
        """Run the stop hooks (the process calls this)."""
        self.operations.stop()
        for hook in reversed(self._stops):
            hook()


def make_cloud(settings: Settings, started_at: float | None = None) -> Cloud:
    """A fresh project for these settings; `started_at` (Unix seconds) if that was earlier."""
    clock = Clock(settings.speed) if started_at is None else Clock(settings.speed, started_at)
    return Cloud(settings, SCENARIOS[settings.scenario], clock)
