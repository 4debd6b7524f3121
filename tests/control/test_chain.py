"""Tiers of every kind from nothing and back, over real wires: each is made, serves, and goes.

One of single-host slices on GKE meets kills and faults in `test_truth_under_faults.py`.
"""

from __future__ import annotations

import json
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
from core.plans import Outcome, Request
from core.pricing import tier_rate
from core.records import Snapshot, Source
from core.workload_template import model_of, template_of
from services.project import ProjectResources
from tests.control.test_console import INVENTORY, settings_for
from tests.processes import ROOT, EmulatorProcess, start_emulator
from tests.waiting import wait_until

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
    assert built.refresher.wait_for_first(Source, 200)
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


def models_come_and_go(console: Console, emulator: EmulatorProcess, tier: str) -> None:
    """Weights from a bucket, a volume filled with them, all servers with them, and back again."""
    storage, project = emulator.rest_url, console.settings.project.id
    made = httpx.post(f"{storage}/storage/v1/b?project={project}", json={"name": "hw-weights-here"},
                      trust_env=False)  # fmt: skip
    made.raise_for_status()
    put = f"{storage}/upload/storage/v1/b/hw-weights-here/o?uploadType=media&name=qwen/w.bin"
    httpx.post(put, content=b"w" * 1000, trust_env=False).raise_for_status()
    wanted = {"weights": "gs://hw-weights-here/qwen/", "model": "Qwen3-8B", "size_gib": 20}
    judged = console.plan(Request("deploy_model", tier, wanted))
    assert apply(console, judged).startswith("succeeded")
    name = judged.plan.steps[-1].resource
    assert model_of(template_of(ProjectResources(console.clients).get(name).body)) == "Qwen3-8B"
    until(console, lambda s: healthy(s, f"hw-{tier}") == 1)
    with pytest.raises(PlanError, match="already"):
        console.plan(Request("deploy_model", tier, wanted))
    back = console.plan(Request("roll_back", tier, {}))
    usual = console.snapshot().spec(tier).model
    assert f"from Qwen3-8B to {usual}" in back.plan.title
    assert apply(console, back).startswith("succeeded")
    template = template_of(ProjectResources(console.clients).get(name).body)
    assert model_of(template) == usual
    assert "volumes" not in json.dumps(template)


def slices_come_and_go(console: Console) -> None:
    """One more multi-host slice, and one less: pools and groups of pods together."""
    for delta, after in ((1, 2), (-1, 1)):
        judged = console.plan(Request("scale_tier", "medium", {"delta": delta}))
        assert judged.plan.chip_delta == 16 * delta
        assert apply(console, judged).startswith("succeeded")
        until(console, lambda s, n=after: assemble_fleet(s).tier("medium").slice_count.ready == n)
        until(console, lambda s, n=after: healthy(s, "hw-medium") == n)


def test_tiers_of_every_kind_are_made_and_taken_down(
    console: Console, emulator: EmulatorProcess
) -> None:
    """Multi-host slices, TPU nodes, replicas on Vertex: all show as ready, and nothing is left."""
    resources = ProjectResources(console.clients)
    assert resources.list_ours() == ()
    wishes: tuple[tuple[str, dict[str, int | bool]], ...] = (
        ("medium", {"slices": 1, "spot": True}), ("dev", {}), ("small", {"replicas": 1}),
    )  # fmt: skip
    for tier, wanted in wishes:
        judged = console.plan(Request("provision_tier", tier, wanted))
        assert apply(console, judged).startswith("succeeded")
        until(console, lambda s, t=tier: assemble_fleet(s).tier(t).slice_count.ready == 1)
        snapshot = console.snapshot()
        made = assemble_fleet(snapshot).tier(tier)
        assert [p.spot for part in made.parts for p in part.slices] == [bool(wanted.get("spot"))]
        rate = tier_rate(made, snapshot.prices).usd_per_hour
        assert rate == pytest.approx(judged.plan.cost.after_usd_per_hour), "as the plan said"
    with pytest.raises(PlanError, match="missing"):
        console.plan(Request("provision_tier", *wishes[-1]))
    slices_come_and_go(console)
    models_come_and_go(console, emulator, "medium")
    down = console.plan(Request("tear_down_all", "platform", {}))
    assert down.plan.chip_delta == -28
    assert apply(console, down).startswith("succeeded")
    assert resources.list_ours() == ()
    with pytest.raises(PlanError, match="nothing"):
        console.plan(Request("tear_down_all", "platform", {}))


def test_a_tier_stopped_in_the_making_is_taken_back(console: Console) -> None:
    """What its steps had made goes again, also what all tiers share; a second time nothing is left
    to take back, and what is made anew meanwhile is not touched."""
    resources = ProjectResources(console.clients)
    before = resources.list_ours()
    judged = console.plan(Request("provision_tier", "small", {"slices": 1}))
    intent = console.submit(judged, judged.consents_needed)
    pool = next(s.title for s in judged.plan.steps if "/nodePools/hw-small" in s.resource)

    def reached() -> bool:
        said = {line.detail for line in console.audit.log(intent)}
        return any(detail.startswith(f"{pool}: ") for detail in said)

    wait_until(reached, 300)
    wish = Request("take_back", "small", {"intent": intent})
    console.cancel(intent)
    wait_until(lambda: console.audit.entry(intent).finished_at is not None, 300)  # type: ignore[union-attr]
    assert len(resources.list_ours()) > 5
    until(console, lambda s: any(p.name.startswith("hw-small") for p in s.node_pools or ()))
    back = console.plan(wish)
    made = {judged.plan.steps[number - 1].resource for number in console.audit.begun(intent)}
    assert {step.resource for step in back.plan.steps} <= made | {
        step.resource for step in back.plan.steps if step.after.get("goes_with")
    }
    assert apply(console, back).startswith("succeeded")
    assert resources.list_ours() == before == ()
    stay = resources.list_present(tuple(sorted(made)))
    assert {name for name in stay if not name.startswith("//serviceusage.")} == set()
    with pytest.raises(PlanError, match="nothing to take back"):
        console.plan(wish)
