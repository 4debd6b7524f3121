"""A tier from nothing and back, over real wires: the whole chain is made, serves, and goes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from control.planning import Judged
from control.settings import Settings
from control.wiring import Console
from core.errors import PlanError
from core.fleet import assemble_fleet
from core.plans import Outcome, Request, order_of
from core.records import Snapshot
from services.project import ProjectResources
from tests.control.test_console import INVENTORY, settings_for, wait_until
from tests.processes import ROOT, EmulatorProcess, start_emulator

pytestmark = pytest.mark.timeout(600)  # two whole chains each; a busy machine is slow


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    """An empty project."""
    process = start_emulator("empty-project", speed=3000)
    yield process
    process.stop()


def alone_settings(folder: Path, database: str, rest: str, grpc: str) -> Settings:
    """Settings in which no tier is production, else a second person has to approve tear-downs."""
    whole = (ROOT / "heartwood.toml").read_text().replace("production = false\n", "")
    file = folder / "heartwood.toml"
    file.write_text(re.sub(r'(?m)^title = "', 'production = false\ntitle = "', whole))
    config = {"HEARTWOOD_CONFIG": str(file), "HEARTWOOD_DATABASE_URL": database}
    return settings_for(folder, rest, grpc, **config)


def alone_console(emulator: EmulatorProcess, folder: Path) -> Console:
    """A Console on it in which no tier is production; its database is audit.db."""
    database = f"sqlite:///{folder / 'audit.db'}"
    return Console(alone_settings(folder, database, emulator.rest_url, emulator.grpc_target))


@pytest.fixture
def console(emulator: EmulatorProcess, tmp_path: Path) -> Iterator[Console]:
    """A started Console on it."""
    built = alone_console(emulator, tmp_path)
    built.start()
    assert built.refresher.wait_for_first(INVENTORY, 200)
    yield built
    built.stop()


def apply(console: Console, judged: Judged) -> str:
    """Apply a plan whatever its warnings; how it ended."""
    blocked = [v for v in judged.verdicts if v.outcome in (Outcome.BLOCK, Outcome.APPROVAL)]
    assert blocked == []
    intent = console.submit(judged, judged.consents_needed)

    def ended() -> bool:
        found = console.progress(intent)
        return found is not None and found.state in ("succeeded", "failed", "refused", "cancelled")

    wait_until(ended, 300)
    entry = console.audit.entry(intent)
    assert entry is not None
    return f"{entry.state}: {entry.outcome}"


def until(console: Console, true: Callable[[Snapshot], bool]) -> None:
    """Until it is true of the Snapshot."""

    def look() -> bool:
        console.refresh_now(*INVENTORY)
        time.sleep(0.2)
        return true(console.snapshot())

    wait_until(look, 120)


def healthy(snapshot: Snapshot, service: str) -> int | None:
    """Healthy endpoints of a backend service."""
    for found in snapshot.load_balancer.backend_services if snapshot.load_balancer else ():
        if found.name == service and found.backends:
            return found.backends[0].healthy
    return None


def models_come_and_go(console: Console, emulator: EmulatorProcess) -> None:
    """Weights from a bucket, a volume filled with them, all servers with them, and back again."""
    storage, project = emulator.rest_url, console.settings.project.id
    made = httpx.post(f"{storage}/storage/v1/b?project={project}", json={"name": "hw-weights-here"},
                      trust_env=False)  # fmt: skip
    made.raise_for_status()
    put = f"{storage}/upload/storage/v1/b/hw-weights-here/o?uploadType=media&name=qwen/w.bin"
    httpx.post(put, content=b"w" * 1000, trust_env=False).raise_for_status()
    wanted = {"weights": "gs://hw-weights-here/qwen/", "model": "Qwen3-8B", "size_gib": 20}
    judged = console.plan(Request("deploy_model", "small", wanted))
    assert apply(console, judged).startswith("succeeded")
    name = judged.plan.steps[-1].resource
    template = ProjectResources(console.clients).get(name).body["spec"]["template"]
    server = template["spec"]["containers"][0]
    assert server["command"][:3] == ["vllm", "serve", "/models"]
    assert server["command"][-2:] == ["--served-model-name", "Qwen3-8B"]
    until(console, lambda s: healthy(s, "hw-small") == 2)
    with pytest.raises(PlanError, match="already"):
        console.plan(Request("deploy_model", "small", wanted))
    back = console.plan(Request("roll_back", "small", {}))
    assert "from Qwen3-8B to Llama-3.1-8B-Instruct" in back.plan.title
    assert apply(console, back).startswith("succeeded")
    template = ProjectResources(console.clients).get(name).body["spec"]["template"]
    assert "volumes" not in template["spec"]
    assert template["spec"]["containers"][0]["command"][2] == "Llama-3.1-8B-Instruct"


def test_a_tier_is_made_from_nothing_and_taken_down_again(
    console: Console, emulator: EmulatorProcess
) -> None:
    """One plan makes all; the Snapshot shows it serving; one plan leaves nothing of ours."""
    before = {r.name for r in ProjectResources(console.clients).list_ours()}
    judged = console.plan(Request("provision_tier", "small", {"slices": 2}))
    starts = [n for n, needed in enumerate(order_of(judged.plan.steps)) if not needed]
    assert len(starts) > 3  # what needs nothing begins at once
    assert apply(console, judged) == f"succeeded: {len(judged.plan.steps)} of " + (
        f"{len(judged.plan.steps)} steps done and verified"
    )
    until(console, lambda s: healthy(s, "hw-small") == 2)
    until(console, lambda s: assemble_fleet(s).tier("small").slice_count.ready == 2)
    models_come_and_go(console, emulator)
    with pytest.raises(PlanError, match="missing"):
        console.plan(Request("provision_tier", "small", {"slices": 2}))
    down = console.plan(Request("tear_down_all", "platform", {}))
    assert down.plan.chip_delta == -8
    assert apply(console, down).startswith("succeeded")
    assert {r.name for r in ProjectResources(console.clients).list_ours()} == before == set()
    with pytest.raises(PlanError, match="nothing"):
        console.plan(Request("tear_down_all", "platform", {}))
