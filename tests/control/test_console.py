"""The wired Console over real wires: against the emulator, when it dies, and without it."""

from __future__ import annotations

import asyncio
import signal as signal_numbers
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from control.audit import FINAL_STATES
from control.audit_chain import verify
from control.route_checks import RouteCheck, run_checks
from control.settings import Settings, load_settings
from control.wiring import Console
from core.errors import Denied, PlanError
from core.fleet import State, assemble_fleet
from core.plans import Outcome, Request
from core.records import Alert, Source
from core.series import Signal
from tests.alert_policies import firing_policy
from tests.control.test_audit import record
from tests.processes import EmulatorProcess, start_emulator
from tests.waiting import wait_until

INVENTORY = (Source.GKE, Source.KUBE, Source.TPU, Source.VERTEX, Source.LOAD_BALANCER)


def settings_for(folder: Path, rest: str, grpc: str, **more: str) -> Settings:
    """Settings that point to that emulator and keep their data in the folder."""
    environ = {
        "HEARTWOOD_DATA_DIR": str(folder),
        "HEARTWOOD_EMULATOR_PORT": rest.rpartition(":")[2],
        "HEARTWOOD_EMULATOR_GRPC_PORT": grpc.rpartition(":")[2],
        "HEARTWOOD_SERVING_PORT": str(free_port()),
        **more,
    }
    return load_settings(environ=environ)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    """One emulator for this module."""
    process = start_emulator(speed=600)
    yield process
    process.stop()


@pytest.fixture
def console(emulator: EmulatorProcess, tmp_path: Path) -> Iterator[Console]:
    """A started Console on it."""
    built = Console(settings_for(tmp_path, emulator.rest_url, emulator.grpc_target))
    built.start()
    yield built
    built.stop()


def test_one_slice_is_scaled_from_plan_to_chart(console: Console) -> None:
    """Plan, verdicts, apply with progress, audit row, annotation, and the fleet follows."""
    assert console.refresher.wait_for_first(Source, 60)
    before = assemble_fleet(console.snapshot()).tier("small").slice_count.running
    judged = console.plan(Request("scale_tier", "small", {"delta": -1}))
    blocked = [v for v in judged.verdicts if v.outcome is Outcome.BLOCK]
    assert blocked == []
    assert any("tokens/s" in line for v in judged.verdicts for line in v.arithmetic)
    intent = console.submit(judged, judged.consents_needed, reason="quiet")
    wait_until(lambda: (found := console.progress(intent)) is not None and found.state != "running"
               and found.state != "confirmed")  # fmt: skip
    entry = console.audit.entry(intent)
    assert entry is not None
    assert (entry.state, entry.reason) == ("succeeded", "quiet")
    window = console.history(Signal.HOSTS, "1h").window
    wait_until(
        lambda: (
            assemble_fleet(console.snapshot()).tier("small").slice_count.running
            == (before or 0) - 1
        )
    )
    assert console.audit.annotations(window.start, window.end.replace(year=2099), "small")
    again = console.plan(Request("scale_tier", "small", {"delta": 1}))
    assert again.plan.steps[0].expected_s is not None


def test_the_record_is_copied_to_cloud_logging(emulator: EmulatorProcess, tmp_path: Path) -> None:
    """Each row is an entry of that log under its hash; written twice it is the same one."""
    log = {"HEARTWOOD_AUDIT__CLOUD_LOG": "heartwood-audit"}
    built = Console(settings_for(tmp_path, emulator.rest_url, emulator.grpc_target, **log))
    built.start()
    record(built.audit, "copied")
    built.stop()  # not before what is there has been copied
    assert [(s.behind, s.problem) for s in built.copies.states()] == [(0, "")]
    name = "projects/heartwood-demo/logs/heartwood-audit"
    answer = httpx.post(
        f"{emulator.rest_url}/logging/v2/entries:list",
        json={"resourceNames": ["projects/heartwood-demo"], "filter": f'logName="{name}"'},
    ).json()["entries"]
    told = [(e["insertId"], e["jsonPayload"]["hash"], e["labels"]["kind"]) for e in answer]
    head = verify(built.audit.engine).head
    assert [kind for _, _, kind in told] == ["intents", "intent_events"]
    assert told[-1][:2] == (head, head)


def test_nobody_is_sent_to_a_tier_that_another_action_holds(console: Console) -> None:
    """What would get more requests is locked as well as what gives them; the plan says so too."""
    assert console.refresher.wait_for_first(Source, 60)
    place = {"place": "hw-serving tiers /complex/*", "to": "hw-small", "percent": 5}
    judged = console.plan(Request("shift_traffic", "medium", place))
    record(console.audit, "other")
    assert console.audit.lock_tier("small", "other") == "other"
    console.submit(judged, judged.consents_needed, intent="late")

    def ended() -> bool:
        found = console.progress("late")
        return found is not None and found.state in FINAL_STATES

    wait_until(ended)
    entry = console.audit.entry("late")
    assert entry is not None
    assert (entry.state, entry.calls) == ("refused", ())
    assert "another action on small is in progress (other)" in entry.outcome
    assert console.audit.lock_tier("medium", "other") == "other", "what it had locked is free"
    again = console.plan(Request("shift_traffic", "medium", place))
    assert "action_in_progress" in {v.guard for v in again.verdicts if v.outcome is Outcome.BLOCK}


def test_traffic_is_shifted_once_and_the_second_plan_is_told(console: Console) -> None:
    """Two clicks are one change; the same plan as another intent is stale; the record holds it."""
    assert console.refresher.wait_for_first(Source, 60)
    place = {"place": "hw-serving tiers /simple/*", "to": "hw-medium", "percent": 15}
    judged = console.plan(Request("shift_traffic", "small", place))
    assert [v for v in judged.verdicts if v.outcome is Outcome.BLOCK] == []
    ticks = judged.consents_needed
    with ThreadPoolExecutor(4) as pool:
        one = list(pool.map(lambda _: console.submit(judged, ticks, intent="one"), range(4)))
    assert set(one) == {"one"}
    ends = ("succeeded", "failed", "refused")
    wait_until(lambda: (p := console.progress("one")) is not None and p.state in ends)
    entry = console.audit.entry("one")
    assert entry is not None
    assert (entry.state, entry.tags[-1]) == ("succeeded", "traffic:shift:applied")
    again = console.submit(judged, ticks, intent="two")
    wait_until(lambda: (p := console.progress(again)) is not None and p.state in ends)
    second = console.audit.entry(again)
    assert second is not None
    assert second.state == "refused"
    assert "was 'hw-small 100' and is 'hw-small 85, hw-medium 15'" in second.outcome
    wait_until(lambda: "split: hw-small 85" in repr(console.snapshot().load_balancer))


def test_an_alert_is_acknowledged_in_the_record(
    console: Console, emulator: EmulatorProcess
) -> None:
    """An open alert, acknowledged, is so for the next plan; Monitoring has it open as before."""
    where = f"{emulator.rest_url}/monitoring/v3/projects/{console.settings.project.id}"
    policy = firing_policy("always", "medium")
    httpx.post(f"{where}/alertPolicies", json=policy, trust_env=False).raise_for_status()
    assert console.refresher.wait_for_first(Source, 60)

    def opened() -> Alert | None:
        console.refresh_now(Source.ALERTS)
        return next((a for a in console.snapshot().alerts or () if a.title == "always"), None)

    wait_until(lambda: opened() is not None)
    alert = opened()
    assert alert is not None
    assert alert.tier == "medium"
    request = Request("acknowledge_incident", "medium", {"alert": alert.name})
    judged = console.plan(request)
    assert [v for v in judged.verdicts if v.outcome is not Outcome.PASS] == []
    intent = console.submit(judged, (), reason="looking at it")
    wait_until(lambda: (p := console.progress(intent)) is not None and p.state == "succeeded")
    said = console.acknowledgements()[alert.name]
    assert (said.intent, said.reason) == (intent, "looking at it")
    with pytest.raises(PlanError, match="already"):
        console.plan(request)
    assert opened() == alert
    changed = console.plan(Request("change_budget", "medium", {"amount_usd": 9_300_000}))
    told = {v.guard: v.reason for v in changed.verdicts}
    assert "acknowledged" in told["incident_open"]
    assert "nothing was changed" in told["recently_changed"]


def test_calls_grow_with_views_and_not_with_viewers(console: Console) -> None:
    """Twenty viewers of the same charts read as often as one."""
    assert console.refresher.wait_for_first([Source.VERTEX], 60)
    # A read that takes longer than anybody waits for it is counted when it ends.
    wait_until(lambda: console.history(Signal.REQUESTS, "24h").problem is None)
    one = console.past.counts().reads

    def look(_: int) -> None:
        for signal in (Signal.REQUESTS, Signal.ERRORS, Signal.HBM):
            console.history(signal, "24h")
            console.snapshot()

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(look, range(20)))
    wait_until(lambda: console.history(Signal.HBM, "24h").problem is None)
    assert console.past.counts().reads == one + 1  # HBM is one more view, for all together


def test_without_an_emulator_everything_starts_and_says_why(tmp_path: Path) -> None:
    """Every source fails with a hint, nothing hangs, and no tier is said to be off."""
    nowhere = f"127.0.0.1:{free_port()}"
    console = Console(settings_for(tmp_path, nowhere, f"127.0.0.1:{free_port()}"))
    started = time.monotonic()
    console.start()
    assert time.monotonic() - started < 5
    assert console.refresher.wait_for_first(Source, 60)
    states = console.snapshot().sources
    assert all(s.problem is not None and s.problem.hint for s in states.values())
    assert {t.state for t in assemble_fleet(console.snapshot()).tiers} == {State.UNKNOWN}
    reading = console.history(Signal.REQUESTS, "1h")
    assert reading.problem is not None
    console.stop()


def test_a_killed_emulator_is_survived(tmp_path: Path) -> None:
    """Values stay with their age while it is dead; all is read again when it is back."""
    first = start_emulator(speed=600)
    ports = {
        "HEARTWOOD_EMULATOR_PORT": first.rest_url.rpartition(":")[2],
        "HEARTWOOD_EMULATOR_GRPC_PORT": first.grpc_target.rpartition(":")[2],
    }
    console = Console(
        settings_for(
            tmp_path,
            first.rest_url,
            first.grpc_target,
            HEARTWOOD_REFRESH__GKE_S="1",
            HEARTWOOD_REFRESH__KUBE_S="1",
        )
    )
    console.start()
    second: EmulatorProcess | None = None
    try:
        assert console.refresher.wait_for_first(Source, 60)
        pools = console.snapshot().node_pools
        assert pools
        first.process.kill()
        first.process.wait()

        def failing(source: Source) -> bool:
            return console.snapshot().sources[source].problem is not None

        wait_until(lambda: failing(Source.GKE) and failing(Source.KUBE))
        dead = console.snapshot().sources[Source.GKE]
        assert console.snapshot().node_pools == pools
        assert dead.failing_since is not None
        assert dead.read_at is not None
        second = start_emulator(speed=600, environment=ports)
        wait_until(lambda: not failing(Source.GKE) and not failing(Source.KUBE))
    finally:
        console.stop()
        first.stop()
        if second is not None:
            second.stop()


def test_a_stopped_emulator_delays_no_page(
    emulator: EmulatorProcess, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hangs, it does not refuse: all charts are there within seconds, old ones with values."""
    signals = (Signal.REQUESTS, Signal.TENSORCORE, Signal.LATENCY_P95, Signal.HBM)
    for signal in signals[:2]:
        wait_until(lambda s=signal: console.history(s, "1h").problem is None)
    real = time.monotonic
    emulator.process.send_signal(signal_numbers.SIGSTOP)
    try:
        monkeypatch.setattr(time, "monotonic", lambda: real() + 600)
        started = real()
        found = [console.history(signal, "1h") for signal in signals]
        assert real() - started < 5
    finally:
        emulator.process.send_signal(signal_numbers.SIGCONT)
    assert all(reading.problem is not None for reading in found)
    assert [bool(reading.series) for reading in found] == [True, True, False, False]
    wait_until(lambda: console.history(Signal.HBM, "1h").problem is None)


def test_answers_of_the_emulated_balancer_tell_where_requests_landed(
    emulator: EmulatorProcess, tmp_path: Path
) -> None:
    """By path and by request; that no server stands behind it here is a tier's answer as well."""
    port = {"HEARTWOOD_LB_PORT": emulator.lb_url.rpartition(":")[2]}
    console = Console(settings_for(tmp_path, emulator.rest_url, emulator.grpc_target, **port))
    found: list[RouteCheck] = []
    console.refresher.start()
    try:
        assert console.refresher.wait_for_first([*INVENTORY, Source.LOAD, Source.PRICES], 60)
        asyncio.run(
            run_checks(
                console.router,
                console.snapshot(),
                lambda _, check: found.append(check) if check else None,
            )
        )
    finally:
        console.refresher.stop()
        console.clients.close()
    sent = [check for check in found if check.took_ms is not None]
    assert {"/simple/*", "/complex/*", "any other path", "named"} <= {c.rule for c in sent}
    for check in sent:
        assert check.found.partition(",")[0] in check.expected.split(" or "), check


def test_read_only_means_nobody_may_act(emulator: EmulatorProcess, tmp_path: Path) -> None:
    """Plans can be looked at; submitting is refused in the handler, whatever the page shows."""
    settings = settings_for(
        tmp_path, emulator.rest_url, emulator.grpc_target, HEARTWOOD_READ_ONLY="true"
    )
    console = Console(settings)
    console.start()
    try:
        assert console.refresher.wait_for_first(Source, 60)
        judged = console.plan(Request("scale_tier", "small", {"delta": -1}))
        assert not console.actor().may_act
        with pytest.raises(Denied):
            console.submit(judged, judged.consents_needed)
    finally:
        console.stop()
