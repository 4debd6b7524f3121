"""The router as the console holds it: what it keeps, who may use it, the suite that checks it."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from starlette.applications import Starlette

from control import command_route
from control.access import Actor, Role
from control.route_checks import FAIL, PASS, UNCHECKED, RouteCheck, RouteChecks, run_checks
from control.router import Router
from control.router_endpoint import RouterEndpoint
from control.settings import Settings, load_settings
from core.errors import ConfigError, Denied
from core.records import Snapshot
from core.specs import TierSpec
from tests import make
from tests.control.model_server import ModelServer
from tests.waiting import wait_until

BODY = {"model": "auto", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 1}


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    """A load balancer and every server behind it."""
    found = ModelServer({"/medium": "hw-medium", "/large": "hw-large", "/v1": "hw-small"})
    yield found
    found.stop()


@functools.cache
def world(port: int) -> Snapshot:
    """All tiers run; those behind the balancer are at that port, this machine at another path."""

    def moved(spec: TierSpec) -> TierSpec:
        url = f"http://127.0.0.1:{port}"
        if spec.is_local:
            return replace(spec, endpoint_url=f"{url}/edge")
        return replace(spec, endpoint_url=url if spec.backend_service else "")

    found = make.make_snapshot("full-fleet")
    balancer = found.load_balancer
    assert balancer is not None
    (url_map,) = balancer.url_maps
    matchers = tuple(replace(m, hosts=("*",)) for m in url_map.matchers)
    maps = (replace(url_map, matchers=matchers),)
    return replace(
        found, specs=tuple(moved(s) for s in found.specs),
        load_balancer=replace(balancer, url_maps=maps),
    )  # fmt: skip


def router_of(port: int, snapshot: Snapshot | None = None, **environ: str) -> Router:
    """A router over that world."""
    known = snapshot or world(port)
    variables = {"HEARTWOOD_LB_PORT": str(port), **environ}
    return Router(load_settings(environ=variables), lambda: known)


def test_what_was_decided_is_kept_up_to_a_limit_and_counted_beyond_it() -> None:
    """Newest first, with its end; no text of a request is in it."""
    router = router_of(1, HEARTWOOD_ROUTER__KEPT_DECISIONS="2")
    first, second, third = (router.route(BODY, "api") for _ in range(3))
    assert [r.id for r in router.recent()] == [third.id, second.id]
    assert router.find(first.id) is None
    assert router.counts() == {("local", "edge"): 3}
    assert router.in_flight() == {"local": 3}
    for routed in (first, second, third):
        router.ended(routed, "answered", 200, "local")
    assert router.in_flight() == {}
    kept = router.find(third.id)
    assert kept is not None
    assert (kept.outcome, kept.status, kept.landed) == ("answered", 200, "local")
    assert "hello" not in repr(router.recent())


def test_a_request_that_nobody_can_take_is_under_way_nowhere() -> None:
    """It is kept as refused."""
    unread = make.make_snapshot("unread")
    routed = router_of(1, unread).route(BODY, "api")
    assert (routed.outcome, routed.decision.tier) == ("refused", "")


def test_our_own_servers_key_goes_to_it_alone() -> None:
    """To the local tier, and to the emulated balancer before it; to no address that resembles."""
    router = router_of(8088, HEARTWOOD_SERVING_API_KEY="sesame")
    assert router.key_for("local", "http://elsewhere") == "sesame"
    assert router.key_for("small", "http://127.0.0.1:8088/simple") == "sesame"
    assert router.key_for("small", "http://127.0.0.1:80880") == ""
    assert router.key_for("small", "https://llm.example.com") == ""


def ask(router: Router, bound: str | None, **headers: str) -> httpx.Response:
    """One request at the endpoint of a console that listens on that address."""

    async def asked() -> httpx.Response:
        endpoint = RouterEndpoint(lambda: router, lambda: bound)
        transport = httpx.ASGITransport(Starlette(routes=endpoint.routes()))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            answer = await client.post("/router/v1/chat/completions", json=BODY, headers=headers)
        await endpoint.aclose()
        return answer

    return asyncio.run(asked())


@pytest.mark.parametrize(
    ("environ", "bound", "given", "status"),
    [
        ({}, "127.0.0.1", "", 200),
        ({}, "localhost", "", 200),
        ({}, "0.0.0.0", "", 403),
        ({}, None, "", 403),
        ({"HEARTWOOD_ROUTER_API_KEY": "k"}, "0.0.0.0", "k", 200),
        ({"HEARTWOOD_ROUTER_API_KEY": "k"}, "127.0.0.1", "", 401),
        ({"HEARTWOOD_ROUTER_API_KEY": "k"}, None, "other", 401),
        ({"HEARTWOOD_SERVING_API_KEY": "s"}, "127.0.0.1", "", 401),
        ({"HEARTWOOD_SERVING_API_KEY": "s"}, "127.0.0.1", "s", 200),
        ({"HEARTWOOD_SERVING_API_KEY": "s", "HEARTWOOD_ROUTER_API_KEY": "k"}, None, "s", 401),
    ],
)
def test_without_a_key_this_machine_alone_is_answered(
    server: ModelServer, environ: dict[str, str], bound: str | None, given: str, status: int
) -> None:
    """With one, whoever brings it; the server's key is no way around, nor does it leave us."""
    headers = {"authorization": f"Bearer {given}"} if given else {}
    answer = ask(router_of(server.port, **environ), bound, **headers)
    assert answer.status_code == status, answer.text
    if status == 200:
        sent = server.asked[-1][2].get("authorization", "")
        assert sent == (f"Bearer {environ['HEARTWOOD_SERVING_API_KEY']}"
                        if "HEARTWOOD_SERVING_API_KEY" in environ else "")  # fmt: skip


def test_a_tier_that_does_not_answer_is_told_as_such() -> None:
    """502 with its name; the decision is kept with what went wrong."""
    router = router_of(1)  # port 1 refuses
    answer = ask(router, "127.0.0.1")
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "tier_unavailable"
    assert answer.headers["x-heartwood-tier"] == "local"
    assert router.recent()[0].outcome.startswith("Unavailable")
    assert router.in_flight() == {}


def suite(router: Router, snapshot: Snapshot) -> dict[tuple[str, str], RouteCheck]:
    """What the checks find, by way and sample (or rule, where none was sent)."""
    found: list[RouteCheck] = []
    asyncio.run(
        run_checks(router, snapshot, lambda _, check: found.append(check) if check else None)
    )
    return {(c.rule if c.way == "by path" or c.sample == "–" else c.sample, c.way): c
            for c in found}  # fmt: skip


def test_each_rule_is_checked_by_a_request_that_lands(server: ModelServer) -> None:
    """By path and by request; a rule that nothing calls forth now is not said to hold."""
    known = world(server.port)
    found = suite(router_of(server.port, known), known)
    verdicts = {name: check.verdict for (name, _), check in found.items()}
    assert verdicts == {
        "/medium/*": PASS, "/v1/medium/*": FAIL, "/large/*": PASS, "any other path": PASS,
        "the model is a tier's name": PASS, "short and simple": PASS,
        "simple, too long for the edge": PASS, "moderate": PASS, "complex": PASS,
        "overflow": UNCHECKED, "least_busy": UNCHECKED, "last_resort": UNCHECKED,
        "none": UNCHECKED,
    }  # fmt: skip
    wrong = found["/v1/medium/*", "by path"]  # the server takes all of /v1 for hw-small
    assert (wrong.expected, wrong.found) == ("hw-medium", "hw-small")
    assert found["complex", "by request"].found == "large"


def test_a_request_that_lands_elsewhere_fails(server: ModelServer) -> None:
    """The router sends it to one tier, and the answer comes from another."""
    known = world(server.port)
    server.services["/medium"] = "hw-large"
    try:
        found = suite(router_of(server.port, known), known)
    finally:
        server.services["/medium"] = "hw-medium"
    check = found["moderate", "by request"]
    assert (check.verdict, check.expected, check.found) == (FAIL, "medium", "large")


def test_the_suite_runs_in_the_background_one_at_a_time(server: ModelServer) -> None:
    """Who may not act has nothing sent; a second start while one runs begins none."""
    known = world(server.port)
    router = router_of(server.port, known)
    checks = RouteChecks(router, lambda: known)
    with pytest.raises(Denied):
        checks.start(Actor("vic", "console", may_act=False, role=Role.VIEWER))
    assert checks.latest() is None
    ada = Actor("ada", "console")
    assert checks.start(ada)
    wait_until(lambda: (run := checks.latest()) is not None and run.ended_at is not None)
    run = checks.latest()
    assert run is not None
    assert (run.failed, run.problem, len(run.results)) == (1, "", run.total)
    assert {r.origin for r in router.recent()} == {"check"}
    checks.stop()
    assert not checks.start(ada)


class _Read:
    """What `python -m control route` needs of a console, all sources read."""

    def __init__(self, settings: Settings) -> None:
        snapshot = world(settings.ports.lb)
        self.router = Router(settings, lambda: snapshot)
        self.snapshot = lambda: snapshot
        self.refresher = self.clients = self

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...
    def wait_for_first(self, *_: Any) -> bool:
        """They were."""
        return True


@pytest.fixture
def own_logs() -> Iterator[None]:
    """The command line sets logging up for the whole process: as it was, afterwards."""
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("own_logs")
def test_the_command_line_explains_and_checks(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rules in words, a decision with every tier, the checks with a status of 1 for a failure."""
    from control.__main__ import main

    monkeypatch.setattr(command_route, "Console", _Read)
    monkeypatch.setenv("HEARTWOOD_LB_PORT", str(server.port))
    assert main(["route", "rules"]) == 0
    assert "2. edge" in capsys.readouterr().out
    assert main(["route", "explain", "Compare them and explain why"]) == 0
    told = capsys.readouterr().out
    assert "medium, by the rule moderate" in told
    assert "→ medium" in told
    assert main(["route", "explain", "x", "--model", "large", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rule"] == "named"
    assert main(["route", "explain", "x", "--model", "dev"]) == 3
    capsys.readouterr()
    assert main(["route", "explain", "x", "--max-tokens", "0"]) == 1
    assert "max_tokens" in capsys.readouterr().err
    assert main(["route", "check"]) == 1
    told = capsys.readouterr().out
    assert "expected hw-medium, found hw-small" in told
    assert "8 passed, 1 failed, 4 not checked" in told


def test_thresholds_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    """A request cannot be complex before it is no longer simple."""
    file = tmp_path / "heartwood.toml"
    file.write_text("[router]\nsimple_score = 0.6\ncomplex_score = 0.4\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="simple_score is at most complex_score"):
        load_settings(file, {})
