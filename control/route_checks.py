"""The validation suite: sends a synthetic request per rule and looks where it landed.

By path at the load balancer's address, by request through the router's own endpoint, both over the
wire; told by the headers of the answers. One run at a time, in the background of the console, or on
the command line (`control/command_route.py`). Which requests is `core/route_cases.py`'s.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from starlette.applications import Starlette

from control.access import Actor, require
from control.router import Router
from control.router_admission import Admission
from control.router_endpoint import ID, PREFIX, TIER, RouterEndpoint
from core.errors import OpsError
from core.records import Snapshot
from core.route_cases import PathCase, RequestCase, path_cases, request_cases
from core.router import Decision, Rule
from services.chat_proxy import ChatProxy

BACKEND: Final = "x-heartwood-backend"
PASS: Final = "pass"
FAIL: Final = "fail"
UNCHECKED: Final = "not checked"
_TRIES: Final = 3
_HERE: Final = "127.0.0.1"
_PROBE: Final = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 1}


@dataclass(frozen=True, slots=True)
class RouteCheck:
    """One rule, and what its request found. `verdict` is PASS, FAIL or UNCHECKED."""

    way: str  # "by path" or "by request"
    rule: str
    sample: str
    expected: str
    found: str
    verdict: str
    note: str = ""
    took_ms: float | None = None


@dataclass(frozen=True, slots=True)
class CheckRun:
    """A run: `total` requests, of which `results` have an answer; `ended_at` None: it goes on."""

    started_at: datetime
    total: int
    results: tuple[RouteCheck, ...] = ()
    ended_at: datetime | None = None
    problem: str = ""

    @property
    def failed(self) -> int:
        """How many landed elsewhere, or nowhere."""
        return sum(check.verdict == FAIL for check in self.results)


Report = Callable[[int, RouteCheck | None], None]  # (how many there will be, the newest)


class RouteChecks:
    """Runs the suite in the background, one run at a time. Safe for threads."""

    def __init__(self, router: Router, snapshot: Callable[[], Snapshot]) -> None:
        self._router, self._snapshot = router, snapshot
        self._lock = threading.Lock()
        self._run: CheckRun | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def start(self, actor: Actor) -> bool:
        """Begin a run; False: one is under way.

        Raises:
            Denied: this person may not have requests sent to the tiers.
        """
        require(actor)
        with self._lock:
            if self._stopping.is_set() or (self._run and self._run.ended_at is None):
                return False
            self._run = CheckRun(datetime.now(UTC), 0)
            self._thread = threading.Thread(target=self._work, name="route-checks", daemon=True)
            self._thread.start()
            return True

    def latest(self) -> CheckRun | None:
        """The run under way, or the last one; None: there was none."""
        with self._lock:
            return self._run

    def stop(self) -> None:
        """Begin no further request, and wait for the one under way."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _work(self) -> None:
        problem = "it broke off"
        try:
            asyncio.run(run_checks(self._router, self._snapshot(), self._note))
            problem = ""
        except _Stopped:
            problem = "it was stopped"
        finally:
            with self._lock:
                if self._run is not None:
                    self._run = replace(self._run, ended_at=datetime.now(UTC), problem=problem)

    def _note(self, total: int, newest: RouteCheck | None) -> None:
        with self._lock:
            if self._run is not None:
                more = () if newest is None else (newest,)
                self._run = replace(self._run, total=total, results=(*self._run.results, *more))
        if self._stopping.is_set():
            raise _Stopped


class _Stopped(Exception):
    """The process ends."""


async def run_checks(router: Router, snapshot: Snapshot, report: Report) -> None:
    """Send every case and report what came of it, and of the rules that none called forth."""
    base, by_path = _paths(snapshot)
    by_request = request_cases(router.limits, _named(router))
    total = len(by_path) + len(by_request)
    report(total, None)
    proxy = ChatProxy(router.settings.router.silence_s)
    endpoint = RouterEndpoint(lambda: router, lambda: _HERE, origin="check")
    seen: dict[Rule, Decision] = {}
    try:
        for case in by_path:
            report(total, await _check_path(case, base, proxy, router))
        for case in by_request:
            decision, check = await _check_request(case, endpoint, router)
            if decision is not None:
                seen.setdefault(decision.rule, decision)
            report(total, check)
    finally:
        await proxy.aclose()
        await endpoint.aclose()
    for rule in [r for r in Rule if r not in seen]:
        total += 1
        why = _why_unseen(rule, seen, _local(router))
        report(total, RouteCheck("by request", rule.value, "–", "–", "–", UNCHECKED, why))


def _why_unseen(rule: Rule, seen: Mapping[Rule, Decision], local: Collection[str]) -> str:
    """Why no sample called a rule forth; `local`: the tiers of this machine."""
    need = Rule.SIMPLE if rule is Rule.EDGE else rule
    went = next((d for d in seen.values() if d.need is need and d.rule is not Rule.NAMED), None)
    if went is None:
        return "no sample calls it forth while the tiers are as they are now"
    edge = next((c for c in went.considered if c.tier in local), None)
    if rule is Rule.EDGE and edge is not None:
        return f"{edge.title}: {edge.why}"
    return f"a {need} request goes by the rule {went.rule} now: {went.reason}"


def _paths(snapshot: Snapshot) -> tuple[str, Sequence[PathCase]]:
    """The load balancer's address, and a case per rule of its URL map."""
    balancer = snapshot.load_balancer
    urls = [urlsplit(s.endpoint_url) for s in snapshot.specs if s.backend_service]
    bases = [f"{u.scheme}://{u.netloc}" for u in urls if u.netloc]
    if balancer is None:
        return "", (PathCase("URL map", "", "", (), "the load balancer has not been read yet"),)
    if not bases:
        why = "no tier behind it has an endpoint_url"
        return "", tuple(replace(case, why_not=why) for case in path_cases(balancer))
    return bases[0], path_cases(balancer)


def _named(router: Router) -> str:
    """A tier that serves, rather one behind the load balancer."""
    seen = router.decide(_PROBE).considered
    serving = [c.tier for c in seen if c.serves]
    local = _local(router)
    return next((t for t in serving if t not in local), serving[0] if serving else "")


def _local(router: Router) -> Collection[str]:
    return {spec.name for spec in router.settings.tiers if spec.is_local}


async def _check_path(case: PathCase, base: str, proxy: ChatProxy, router: Router) -> RouteCheck:
    sample = f"POST {case.path}" + (f" at {case.host}" if case.host else "")
    expected = " or ".join(case.expected)
    blank = RouteCheck("by path", case.rule, sample, expected, "–", UNCHECKED, case.why_not)
    if case.why_not:
        return blank
    began = time.monotonic()
    headers = {"host": case.host} if case.host else {}
    try:
        async with proxy.ask(
            base, _PROBE, api_key=router.key_for("", base), headers=headers, path=case.path
        ) as answer:
            status, found = answer.status, answer.headers.get(BACKEND, "")
            await answer.whole()
    except OpsError as error:
        return replace(blank, verdict=FAIL, found="no answer", note=error.message)
    took_ms = (time.monotonic() - began) * 1e3
    if not found:
        note = f"HTTP {status}; the answer does not say which backend service gave it"
        return replace(blank, found="unknown", note=note, took_ms=took_ms)
    good = found in case.expected and status < 500
    told = found if status < 400 else f"{found}, HTTP {status}"
    return replace(blank, found=told, verdict=PASS if good else FAIL, took_ms=took_ms)


async def _check_request(
    case: RequestCase, endpoint: RouterEndpoint, router: Router
) -> tuple[Decision | None, RouteCheck]:
    """What is expected is decided before; asked again when the tiers were read anew between."""
    blank = RouteCheck("by request", "–", case.sample, "–", "–", UNCHECKED)
    if case.body is None:
        return None, replace(blank, note="the thresholds and tiers leave no such request")
    transport = httpx.ASGITransport(Starlette(routes=endpoint.routes()))
    key = Admission.of(router.settings, _HERE).key
    headers = {"authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(
        transport=transport, base_url=f"http://{_HERE}", timeout=None, headers=headers
    ) as client:
        for _ in range(_TRIES - 1):
            before, answer, took_ms = await _ask(case.body, client, router)
            kept = router.find(answer.headers.get(ID, ""))
            if kept is None or kept.decision.known_at == before.known_at:
                break
        else:
            before, answer, took_ms = await _ask(case.body, client, router)
    return before, _judged(blank, before, answer, took_ms)


async def _ask(
    body: Mapping[str, Any], client: httpx.AsyncClient, router: Router
) -> tuple[Decision, httpx.Response, float]:
    before = router.decide(body)
    began = time.monotonic()
    answer = await client.post(f"{PREFIX}/chat/completions", json=body)
    return before, answer, (time.monotonic() - began) * 1e3


def _judged(
    blank: RouteCheck, before: Decision, answer: httpx.Response, took_ms: float
) -> RouteCheck:
    found = answer.headers.get(TIER, "")
    told = found or "refused"
    if found and answer.status_code >= 400:
        told = f"{found}, HTTP {answer.status_code}"
    check = replace(
        blank, rule=before.rule.value, expected=before.tier or "refused", found=told,
        note=before.reason, took_ms=took_ms,
    )  # fmt: skip
    good = found == before.tier and (answer.status_code < 400) == bool(before.tier)
    return replace(check, verdict=PASS if good else FAIL)
