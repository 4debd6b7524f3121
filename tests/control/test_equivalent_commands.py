"""The commands that a plan tells reach what the executor reaches."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from control.access import Actor, Role
from control.audit import FINAL_STATES, utc_now
from control.planning import Judged
from control.settings import Settings
from control.wiring import Console, cloud_target
from core.plans import Outcome, Request
from core.records import Source
from core.specs import PartKind
from services.clients import Clients
from services.project import ProjectResources
from tests.control.command_runs import NEEDED, NOT_HERE, VARIABLE, RealCommands, Replayed, Runner
from tests.control.test_chain import alone_settings
from tests.control.test_console import INVENTORY
from tests.processes import EmulatorProcess, start_emulator
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(900)

_NOT_TOLD: Final = {
    # Ids, times and versions.
    "creationTimestamp", "id", "fingerprint", "createTime", "etag", "instanceGroupUrls",
    "managedFields", "resourceVersion", "lastTransitionTime", "lastUpdateTime",
    "portName",  # gcloud writes http, which groups of network endpoints ignore
}  # fmt: skip
_SHIFT: Final = {"place": "hw-serving tiers /small/*", "to": "hw-none", "percent": 20}
LIFE: Final = (
    Request("provision_tier", "small", {"slices": 2}),
    Request("scale_tier", "small", {"delta": 1}),
    Request("drain_tier", "small", {}),
    Request("restore_tier", "small", {}),
    Request("shift_traffic", "small", _SHIFT),
    Request("tear_down_all", "platform", {}),
)


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    """What the executor changes."""
    running = start_emulator("empty-project", speed=3000)
    yield running
    running.stop()


def gke_alone(folder: Path, running: EmulatorProcess) -> Settings:
    """Settings in which no tier is production, and small has no replicas on Vertex."""
    database = f"sqlite:///{folder / 'audit.db'}"
    found = alone_settings(folder, database, running.rest_url, running.grpc_target)
    tiers = tuple(
        replace(t, parts=tuple(p for p in t.parts if p.kind is not PartKind.VERTEX))
        for t in found.tiers
    )
    return found.model_copy(update={"tiers": tiers})


@pytest.fixture
def console(emulator: EmulatorProcess, tmp_path: Path) -> Iterator[Console]:
    """A started Console on it."""
    built = Console(gke_alone(tmp_path, emulator))
    built.start()
    assert built.refresher.wait_for_first(Source, 200)
    yield built
    built.stop()


@pytest.fixture
def commands(tmp_path: Path) -> Runner:
    """What the commands change."""
    if not os.environ.get(VARIABLE):
        return Replayed()
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    folder = tmp_path / "shell"
    folder.mkdir()
    return RealCommands(folder)


def apply(console: Console, judged: Judged) -> None:
    """Apply a plan, whatever speaks against it: here it is about what it does."""
    blocked = [v.guard for v in judged.verdicts if v.outcome is Outcome.BLOCK]
    intent = console.submit(
        judged,
        judged.consents_needed,
        actor=Actor("ada", "test", role=Role.ADMIN),
        overrides=dict.fromkeys(blocked, "nobody is served by an emulator of tests"),
    )

    def ended() -> bool:
        found = console.progress(intent)
        return found is not None and found.state in FINAL_STATES

    wait_until(ended, 300)
    entry = console.audit.entry(intent)
    assert entry is not None
    assert entry.state == "succeeded", entry.outcome


def read_again(console: Console) -> None:
    """Have the next plan rest on what is there now."""
    began = utc_now()
    console.refresh_now(*INVENTORY)

    def read() -> bool:
        moments = [console.snapshot().sources[source].read_at for source in INVENTORY]
        return all(at is not None and at > began for at in moments)

    wait_until(read, 120)


def state(resources: ProjectResources, names: Iterable[str]) -> Mapping[str, Any]:
    """What exists of these, without what no two projects share and what gcloud adds."""
    found = {name: resources.get(name) for name in sorted(names)}
    return {name: told(f.body) if f is not None else None for name, f in found.items()}


def told(node: Any) -> Any:
    """The node without the fields in `_NOT_TOLD`."""
    if isinstance(node, Mapping):
        return {k: told(v) for k, v in node.items() if k not in _NOT_TOLD}
    return [told(item) for item in node] if isinstance(node, list | tuple) else node


def test_the_commands_reach_what_the_executor_reaches(
    console: Console, commands: Runner, tmp_path: Path
) -> None:
    """After every plan of a tier's life both projects hold the same; in the end nothing of ours."""
    clients = Clients(cloud_target(gke_alone(tmp_path, commands.emulator)))
    ours, theirs = ProjectResources(console.clients), ProjectResources(clients)
    names: set[str] = set()
    try:
        for request in LIFE:
            judged = console.plan(request)
            names |= {s.resource for s in judged.plan.steps if s.resource.startswith("//")}
            names -= {s.resource for s in judged.plan.steps if s.command.startswith(NOT_HERE)}
            commands.run(judged.plan.steps)
            apply(console, judged)
            assert state(theirs, names) == state(ours, names), request.action
            read_again(console)
        assert theirs.list_ours() == ours.list_ours() == ()
    finally:
        clients.close()
        commands.end()
