"""Each fault that the emulator can make, during each step of making and taking down a tier; a kill
in the middle of it, and two consoles that want the same at once.

A run meets one fault at a step: each ends as it reports it, doing it again completes it, and
nothing of ours is left that no plan lists. Which step meets which fault turns from run to run. The
suite has one run, with a fault at every third step of making and of taking down;
HEARTWOOD_TEST_ALL_FAULTS=1 has as many as there are faults, at all steps, so that every step meets
each.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from control.wiring import Console
from core.actions.scale_slices import VERB as SET_GROUPS
from core.errors import PlanError
from core.fleet import assemble_fleet
from core.plans import AuditEntry, Outcome, Request, Step
from core.records import Snapshot, Source
from services.project import ProjectResources
from tests.control.fault_calls import ADDING, FAULTS, MAKING, OF_OPERATIONS, REMOVING, TAKING
from tests.control.test_chain import alone_console, healthy, models_come_and_go, until
from tests.control.test_console import INVENTORY
from tests.processes import ROOT, EmulatorProcess, start_emulator
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(900)
ENDS = ("succeeded", "failed", "refused", "cancelled")
MOST_RUNS = 40  # of one plan, each past at least one more fault
UP = [
    Request("provision_tier", "small", {"slices": 1, "replicas": 1}),
    Request("provision_tier", "dev", {"queued": True}),
]
DOWN = Request("tear_down_all", "platform", {})
ALL = bool(os.environ.get("HEARTWOOD_TEST_ALL_FAULTS"))
if ALL:
    UP.append(Request("provision_tier", "medium", {"slices": 1}))
TURNS = range(len(FAULTS)) if ALL else range(1)


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    """An empty project."""
    process = start_emulator("empty-project", speed=6000)
    yield process
    process.stop()


@pytest.fixture(scope="module")
def console(
    emulator: EmulatorProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Console]:
    """One Console for all runs."""
    built = alone_console(emulator, tmp_path_factory.mktemp("faults"))
    built.start()
    assert built.refresher.wait_for_first(Source, 200)
    yield built
    built.stop()


def sampled(calls: Any) -> list[tuple[int, tuple[str, str]]]:
    """The calls that meet a fault, each with its number."""
    return list(enumerate(calls))[:: 1 if ALL else 3]


class Faults:
    """The rules in force: one for each kind of step, each hits once."""

    def __init__(self, emulator: EmulatorProcess, calls: Any, turn: int) -> None:
        self._url = f"{emulator.rest_url}/_heartwood/faults"
        self._held: set[str] = set()
        self.clear()
        rules = []
        for index, (service, method) in sampled(calls):
            fault = FAULTS[(index + turn) % len(FAULTS)]
            rules.append({**fault, "service": service, "method": method, "times": 1})
        if rules:
            httpx.post(self._url, json=rules, trust_env=False).raise_for_status()

    def clear(self) -> None:
        """None holds any more."""
        httpx.delete(self._url, trust_env=False).raise_for_status()

    def let_go(self) -> None:
        """Operations that were held go on, once they were held."""
        for rule in self._rules():
            if rule.get("operation") == "stuck" and rule["hits"]:
                httpx.delete(f"{self._url}/{rule['id']}", trust_env=False).raise_for_status()
                self._held.add(f"{rule['service']} {rule['method']}")

    def met(self) -> set[str]:
        """The calls that met their fault."""
        hit = {f"{r['service']} {r['method']}" for r in self._rules() if r["hits"]}
        return hit | self._held

    def _rules(self) -> list[dict[str, Any]]:
        return list(httpx.get(self._url, trust_env=False).json()["faults"])


def run_once(console: Console, request: Request, faults: Faults) -> AuditEntry | None:
    """Plan and apply; the record of it. None: there is nothing to do any more."""
    try:
        judged = console.plan(request)
    except PlanError:
        return None
    wrong = [v for v in judged.verdicts if v.outcome in (Outcome.BLOCK, Outcome.APPROVAL)]
    assert wrong == []
    intent, end = console.submit(judged, judged.consents_needed), time.monotonic() + 300
    while (found := console.progress(intent)) is None or found.state not in ENDS:
        assert time.monotonic() < end, console.audit.log(intent)
        faults.let_go()
        time.sleep(0.1)
    entry = console.audit.entry(intent)
    assert entry is not None
    return entry


def hold_to_the_truth(console: Console, entry: AuditEntry, *, making: bool) -> None:
    """What the record says was done is so, and how many that are; a failure names its step."""
    resources = ProjectResources(console.clients)
    said = {p.detail for p in console.audit.log(entry.intent)}
    there = resources.list_present(tuple(step.resource for step in entry.steps))
    done = [s for s in entry.steps if _verified(s, said)]
    for step in done:
        stays = making or step.verb == SET_GROUPS
        assert (step.resource in there) is stays, f"{step.title} is said to be done"
    if entry.state == "succeeded":
        assert len(done) == len(entry.steps)
        return
    assert entry.state == "failed", entry.outcome
    assert f"{len(done)} of {len(entry.steps)} steps were done and stay" in entry.outcome
    failed = [s for s in entry.steps if f"({s.title})" in entry.outcome]
    assert failed
    assert not {s.resource for s in failed} & {s.resource for s in done}


def _verified(step: Step, said: set[str]) -> bool:
    noun = step.title.partition(" ")[2]
    words = (f"{noun} is there", f"{noun} is gone")
    if step.verb == SET_GROUPS:
        words = (f"server is to have {step.after['replicas']} replicas",)
    return any(line.startswith(tuple(f"verified: {w}" for w in words)) for line in said)


def to_the_end(console: Console, request: Request, faults: Faults, *, making: bool) -> int:
    """Again and again until it is done; how often it failed on the way."""
    for failures in range(MOST_RUNS):
        entry = run_once(console, request, faults)
        if entry is not None:
            hold_to_the_truth(console, entry, making=making)
            until(console, began_after(datetime.now(UTC)))
        if entry is None or entry.state == "succeeded":
            return failures
    raise AssertionError(f"not done after {MOST_RUNS} runs")


def began_after(then: datetime) -> Callable[[Snapshot], bool]:
    """Whether all of the inventory was read by reads that began after that."""

    def is_newer(snapshot: Snapshot) -> bool:
        for state in map(snapshot.sources.get, INVENTORY):
            if state is None or state.read_at is None or state.latency_ms is None:
                return False
            if state.read_at - timedelta(milliseconds=state.latency_ms) <= then:
                return False
        return True

    return is_newer


def under_faults(
    console: Console, emulator: EmulatorProcess, turn: int, calls: Any, *wishes: Request
) -> int:
    """Each wish to its end while each of these calls meets a fault; how often one failed."""
    faults = Faults(emulator, calls, turn)
    making = calls in (MAKING, ADDING)
    failed = sum(to_the_end(console, wish, faults, making=making) for wish in wishes)
    missed = {f"{s} {m}" for _, (s, m) in sampled(calls)} - faults.met()
    assert not missed - can_not_fail(turn, calls), "these steps call something else"
    faults.clear()
    return failed


@pytest.mark.parametrize("turn", TURNS)
def test_every_step_meets_a_fault(console: Console, emulator: EmulatorProcess, turn: int) -> None:
    """It fails where it must and says so, it is completed, and all is gone at the end."""
    resources = ProjectResources(console.clients)
    assert under_faults(console, emulator, turn, MAKING, *UP) > 0
    if ALL:
        for calls, before, delta in ((ADDING, 1, 1), (TAKING, 2, -1)):
            until(console, lambda s, n=before: len(medium_pools(s)) == n)
            until(console, lambda s, n=before: healthy(s, "hw-medium") == n)
            wish = Request("scale_tier", "medium", {"delta": delta})
            under_faults(console, emulator, turn, calls, wish)
    listed = {step.resource for step in console.plan(DOWN).plan.steps}
    ours = {r.name for r in resources.list_ours()}
    assert {name for name in ours - listed if "/nodePools/" not in name} == set()
    under_faults(console, emulator, turn, REMOVING, DOWN)
    assert resources.list_ours() == ()


def medium_pools(snapshot: Snapshot) -> list[str]:
    """Names of medium's node pools."""
    return [p.name for p in snapshot.node_pools or () if p.name.startswith("hw-medium")]


def can_not_fail(turn: int, calls: Any) -> set[str]:
    """Calls without an operation that a fault of operations was meant for."""
    return {
        f"{service} {method}"
        for index, (service, method) in sampled(calls)
        if FAULTS[(index + turn) % len(FAULTS)]["preset"] in OF_OPERATIONS
        and service not in ("compute", "container")
    }


Second = tuple["subprocess.Popen[bytes]", Path]


@pytest.fixture
def second(
    console: Console, emulator: EmulatorProcess, tmp_path: Path
) -> Iterator[Callable[[], Second]]:
    """Starts another console on the same database, as often as it is killed."""
    started: list[subprocess.Popen[bytes]] = []
    (tmp_path / "orders").touch()

    def start() -> Second:
        (tmp_path / "ready").unlink(missing_ok=True)
        database = console.settings.data.database_url
        where = (str(tmp_path), database, emulator.rest_url, emulator.grpc_target)
        command = [sys.executable, "-m", "tests.control.console_on_emulator", *where]
        started.append(subprocess.Popen(command, cwd=ROOT))
        wait_until((tmp_path / "ready").exists, 200)
        return started[-1], tmp_path

    yield start
    for process in started:
        process.kill()
        process.wait()


def order(folder: Path, words: str) -> None:
    """One more for the other console."""
    with (folder / "orders").open("a", encoding="utf-8") as file:
        file.write(f"{words}\n")


def test_killed_in_the_middle_and_told_of_another(
    console: Console, emulator: EmulatorProcess, second: Callable[[], Second]
) -> None:
    """A console killed in the parallel chain goes on where it stood, and what it made serves; of
    two that take it down at once one wins."""
    Faults(emulator, (), 0)
    process, folder = second()
    order(folder, "provision_tier small chain")
    (folder / "chain.go").touch()

    wait_until((folder / "chain.told").exists, 120)
    assert (folder / "chain.told").read_text() == "submitted"

    def verified() -> int:
        found, log = console.progress("chain"), console.audit.log("chain")
        assert found is not None
        assert found.state not in ENDS[1:], log
        return sum(p.detail.startswith("verified") for p in log)

    wait_until(lambda: verified() >= 3, 300)
    process.kill()  # SIGKILL: nothing is said or given back
    process.wait()
    before = verified()
    assert before < 29
    process, folder = second()
    wait_until(lambda: console.progress("chain").state in ENDS, 300)  # type: ignore[union-attr]
    entry = console.audit.entry("chain")
    assert entry is not None
    assert entry.outcome == "29 of 29 steps done and verified"
    begun = [p.detail for p in console.audit.log("chain") if p.detail.endswith(": begins")]
    assert len(begun) == len(set(begun)) == 29  # nothing was begun twice, and not from here
    until(console, lambda s: healthy(s, "hw-small") == 1)
    until(console, lambda s: assemble_fleet(s).tier("small").slice_count.ready == 1)
    models_come_and_go(console, emulator, "small")
    race(console, folder)
    assert ProjectResources(console.clients).list_ours() == ()
    (folder / "end").touch()
    assert process.wait(60) == 0


def race(console: Console, folder: Path) -> None:
    """Both consoles apply the same tear-down at the same instant."""
    judged = console.plan(DOWN)
    order(folder, "tear_down_all platform theirs")
    wait_until((folder / "theirs.planned").exists, 120)
    (folder / "theirs.go").touch()
    mine = console.submit(judged, judged.consents_needed, intent="mine")
    wait_until((folder / "theirs.told").exists, 120)
    assert (folder / "theirs.told").read_text() == "submitted"
    both = (mine, "theirs")
    wait_until(lambda: all(console.progress(i).state in ENDS for i in both), 300)  # type: ignore[union-attr]
    entries = {e.state: e for i in both if (e := console.audit.entry(i)) is not None}
    assert set(entries) == {"succeeded", "refused"}
    told = entries["refused"].outcome
    assert "is in progress" in told or told.startswith("Stale"), told
