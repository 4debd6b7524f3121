"""Changes at instants of their own: what is made again comes out the same."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.clock import Clock
from emulator.context import make_cloud
from emulator.disturbance import Disturbance, Wanted, disturbed
from emulator.journal.changes import Changes, Made
from emulator.journal.http import Body, Loop
from emulator.journal.reading import may_be_query, query_reads, reads
from emulator.operations import Operations
from emulator.server import load_apis
from emulator.settings import Settings
from emulator.turns import Turns
from emulator.wire.errors import ApiError, invalid
from emulator.wire.mount import Mount


@dataclass
class _Project:
    """A state that only notes what happened, when, and under which id."""

    seen: list[Any] = field(default_factory=list)
    wall: float = 1000.0

    def __post_init__(self) -> None:
        self.clock = Clock(1.0, 0.0, wall=lambda: self.wall)
        self.turns = Turns(self.clock, 7)
        self.operations = Operations(self.clock, threading.RLock(), self.turns)
        self.changes = Changes(self.turns)

    def act(self, what: str, duration_s: float, refuse: bool) -> Made:
        """A change: an id, and an operation whose effect begins another one."""
        name = self.turns.new_id("op")
        if refuse:
            raise invalid("no")
        self.seen.append((what, self.clock.now(), name))
        self.operations.start(name, "s", what, duration_s, self._effect(what, duration_s))
        return Made(name, True, 0)

    def _effect(self, what: str, duration_s: float) -> Callable[[], None]:
        def effect() -> None:
            name = self.turns.new_id("op")
            self.seen.append((f"{what} done", self.clock.now(), name))
            if duration_s > 1:
                then = self._effect(f"{what}+", duration_s / 2)
                self.operations.start(name, "s", what, duration_s / 2, then)

        return effect


_STEPS = st.lists(
    st.tuples(
        st.floats(0, 5), st.sampled_from(["change", "refused", "look"]), st.floats(0.01, 12)
    ),
    max_size=25,
)  # fmt: skip


@given(_STEPS)
def test_made_again_it_is_the_same(steps: list[tuple[float, str, float]]) -> None:
    """Whoever looked in between, and whatever was refused: the same happens at the same instants,
    with the same ids, when only the accepted changes are made again.
    """
    live, journal = _Project(), []
    for number, (pause_s, kind, duration_s) in enumerate(steps):
        live.wall += pause_s
        if kind == "look":
            live.operations.settle()
            continue
        noted: list[float] = []

        def act(
            number: int = number, duration_s: float = duration_s, refuse: bool = kind == "refused",
            noted: list[float] = noted,
        ) -> Made:  # fmt: skip
            noted.append(live.clock.now())
            return live.act(f"c{number}", duration_s, refuse)

        try:
            live.changes.make({}, act)
        except ApiError:
            continue
        journal.append((noted[0], f"c{number}", duration_s))
    live.wall += 100
    live.operations.settle()

    again = _Project()
    for at, what, duration_s in journal:
        with again.turns.again(at, {}):
            again.act(what, duration_s, False)
    again.wall = live.wall
    again.operations.settle()
    assert again.seen == live.seen


def test_a_reader_that_holds_a_lock_does_not_wait_for_a_change() -> None:
    """Settling is skipped while somebody has a turn: two locks in two orders would stop both."""
    project = _Project()
    entered, go_on = threading.Event(), threading.Event()

    def slow() -> Made:
        entered.set()
        assert go_on.wait(10)
        return Made(None, True, 0)

    project.changes.make({}, lambda: project.act("first", 1.0, False))
    changing = threading.Thread(target=project.changes.make, args=({}, slow))
    changing.start()
    assert entered.wait(10)
    project.wall += 10
    project.operations.settle()
    assert [what for what, _, _ in project.seen] == ["first"]
    go_on.set()
    changing.join(10)
    project.operations.settle()
    assert [what for what, _, _ in project.seen] == ["first", "first done"]


def test_what_was_decided_is_not_decided_again() -> None:
    """A value that the state does not hold comes from the journal when a change is made again."""
    turns = Turns(Clock(), 7)
    with turns.take() as turn:
        assert turns.decided("k", lambda: 1) == 1
        assert turns.decided("k", lambda: 2) == 1
        assert turns.decided("nothing", lambda: None) is None
    assert turn.decided == {"k": 1}
    with turns.again(turn.at, turn.decided):
        assert turns.decided("k", lambda: 3) == 1
    assert turns.decided("k", lambda: 4) == 4


# Served methods that are no GET and yet read. One that changes something must not be added here,
# unless its handler makes the change itself, as pull's does.
READING = {
    "get_health", "get_iam_policy", "get_notification_channel_verification_code",
    "list_instances", "list_log_entries", "list_managed_instances", "list_network_endpoints",
    "predict", "pull", "query_grantable_roles", "query_testable_permissions", "raw_predict",
    "test_iam_permissions", "validate", "wait", "wait_operation",
}  # fmt: skip


def test_which_methods_read() -> None:
    """Every GET reads; of the others those above; all else is written down."""
    others: set[str] = set()
    for mount in load_apis(make_cloud(Settings())):
        for method in mount.methods() if isinstance(mount, Mount) else ():
            request = method.request()
            verbs = {rule.verb for rule in method.rules}
            if verbs == {"GET"}:
                assert reads(method, request), method.name
            elif hasattr(mount.handler, method.name) and reads(method, request) and verbs:
                others.add(method.name)
    assert others <= READING, others - READING


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"query": "select 1"}, True),
        ({"query": " -- why\n /* x */ (SELECT 1);"}, True),
        ({"query": "WITH a AS (SELECT 1) SELECT * FROM a"}, True),
        ({"query": "SELECT 1; DROP TABLE d.t"}, False),
        ({"query": "CREATE TABLE d.t AS SELECT 1"}, False),
        ({"query": "SELECTED"}, False),
        ({"query": "DROP TABLE d.t", "dryRun": True}, True),
        ({"configuration": {"query": {"query": "SELECT 1"}}}, True),
        ({"configuration": {"query": {"query": "SELECT 1", "destinationTable": {"a": 1}}}}, False),
        ({"configuration": {"copy": {}}}, False),
        (None, False),
    ],
)
def test_which_queries_read(body: Any, found: bool) -> None:
    """A single SELECT whose rows go nowhere, and whatever is only tried."""
    assert query_reads(body) is found


def test_where_queries_are_asked() -> None:
    """BigQuery's paths with and without the version."""
    for prefix in ("/bigquery", "/bigquery/v2", "/bigquery/bigquery/v2"):
        assert may_be_query("POST", f"{prefix}/projects/p/queries")
        assert may_be_query("POST", f"{prefix}/projects/p/jobs")
    assert not may_be_query("POST", "/bigquery/v2/projects/p/datasets")


@pytest.mark.parametrize("thread", [True, False])
def test_a_routers_threads_make_the_change(thread: bool) -> None:
    """A handler that works in a thread, however started, sees its change's instant and ids."""
    turns = Turns(Clock(), 7)
    seen: list[tuple[bool, float]] = []

    def work() -> None:
        seen.append((turns.inside, Clock().now()))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["body"] == b"body"
        if thread:
            await asyncio.to_thread(work)
        else:
            await asyncio.get_running_loop().run_in_executor(None, work)
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    with turns.take() as turn:
        assert Loop().run(app, {}, Body(b"body")).status == 204
    assert seen == [(True, turn.at)]


def test_a_finished_operation_is_forgotten_later() -> None:
    """After 14 days at the speed of operations, two hours at least, whether it was looked at."""
    project = _Project()
    for speed, kept_s in ((1.0, 14 * 86400.0), (86400.0, 7200.0)):
        project.clock.speed = speed
        with project.turns.take():
            done = project.operations.start(f"op-{speed}", "s", "t", 0.0, lambda: None)
            cancelled = project.operations.start(f"no-{speed}", "s", "t", speed, lambda: None)
            assert project.operations.running_on("s", "t") is done
            project.operations.cancel(cancelled)
        project.wall += kept_s - 1
        project.operations.settle()
        assert project.operations.of("s") == [done, cancelled]
        assert project.operations.running_on("s", "t") is None
        project.wall += 2
        project.operations.settle()
        assert project.operations.of("s") == project.operations.all() == []


def test_effects_begin_nothing_for_the_call_that_settles_them() -> None:
    """A rule on a call is not for what effects begin that its thread happens to settle."""
    project = _Project()
    with project.turns.take():
        project.act("a", 2.0, False)
    project.wall += 5
    wanted = Wanted(Disturbance("rule"), lambda: True)
    with disturbed(wanted):
        project.operations.settle()
        with project.turns.take():
            own = project.operations.start("own", "s", "t", 0.0, lambda: None)
    (first, begun) = (j for j in project.operations.all() if j is not own)
    assert (first.disturbance, begun.disturbance) == (None, None)
    assert own.disturbance == Disturbance("rule")


def test_what_fails_when_due_fails_alone() -> None:
    """Whoever comes by is not refused for it, and what is due later is done."""
    project = _Project()

    def fail() -> None:
        raise RecursionError

    project.operations.at(1001.0, fail)
    project.operations.at(1002.0, lambda: project.seen.append("later"))
    project.wall = 1003.0
    project.operations.settle()
    assert project.seen == ["later"]
