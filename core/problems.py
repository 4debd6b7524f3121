"""What is wrong now, worst first: the findings at the head of the Overview.

Ranks facts that other modules derived; it decides no state itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Final

from core.answers import WorseAnswers
from core.fleet import Fleet, FleetTier, State
from core.forecast import Forecast
from core.pricing import unassigned_rate
from core.records import Snapshot, SourceState
from core.slo import Standing, TierSlo
from core.wording import plural

_STALE_INTERVALS: Final = 5
_SCRAPED_WITHIN_S: Final = 900.0  # after its start
_SMALL_SHARE: Final = 0.5  # of the slices that a tier is meant to have
_CRASHING: Final = "CrashLoopBackOff"
_MANY_RESTARTS: Final = 2  # of a server that is not ready now
_HOT_RATIO: Final = 0.9  # TensorCore utilisation of one slice, and of the middle one beside it
_FEWEST_SLICES: Final = 4  # of fewer, one alone tells little
_CALM_RATIO: Final = 0.65
_MUCH_USD_PER_HOUR: Final = 100.0  # for resources of no tier


class Severity(IntEnum):
    """Worst first."""

    CRITICAL = 0
    WARNING = 1
    NOTE = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    `tier` "": concerns all. `since` None: not known. `page` is the url_path of the page that shows
    more.
    """

    severity: Severity
    tier: str
    sentence: str
    since: datetime | None
    page: str


def what_is_wrong(
    snapshot: Snapshot,
    fleet: Fleet,
    slos: Mapping[str, TierSlo],
    forecasts: Mapping[str, Forecast] | None = None,
    worse: Mapping[str, WorseAnswers] | None = None,
) -> tuple[Finding, ...]:
    """Findings, worst first, production before other tiers; empty: nothing known to be wrong."""
    findings: list[Finding] = []
    for tier in fleet.tiers:
        findings += _objectives(tier, slos.get(tier.name))
        findings += _tier_state(tier)
        findings += _uneven(tier)
        findings += _answers(tier, (worse or {}).get(tier.name))
    findings += _servers(snapshot)
    findings += _backends(snapshot)
    findings += _unmetered(snapshot)
    findings += _sources(snapshot)
    findings += _budgets((forecasts or {}).values())
    findings += _unassigned(snapshot, fleet)
    production = {s.name: s.production for s in snapshot.specs}
    return tuple(sorted(findings, key=lambda f: (f.severity, _rank(f.tier, production))))


def _rank(tier: str, production: Mapping[str, bool]) -> int:
    """Within a severity: what users of production feel, then other tiers, then all else."""
    return 2 if not tier else 0 if production.get(tier) else 1


def _tier_state(tier: FleetTier) -> Iterable[Finding]:
    reasons = "; ".join(tier.reasons)
    if tier.state is State.DEGRADED:
        nothing = tier.slice_count.ready == 0
        severity = Severity.CRITICAL if nothing else Severity.WARNING
        yield Finding(
            severity, tier.name, f"{tier.spec.title} is degraded: {reasons}", None, "fleet"
        )
    elif tier.state in (State.EMPTY, State.STOPPED):
        yield Finding(
            Severity.WARNING,
            tier.name,
            f"{tier.spec.title} is {tier.state}: {reasons}",
            None,
            "fleet",
        )
    elif tier.state is State.PROVISIONING:
        yield Finding(
            Severity.NOTE, tier.name, f"{tier.spec.title} is starting: {reasons}", None, "fleet"
        )
    elif tier.state is State.RUNNING:
        yield from _smaller_than_meant(tier)


def _smaller_than_meant(tier: FleetTier) -> Iterable[Finding]:
    """All that is there runs, yet it is less than the settings say."""
    there, wanted = tier.slice_count.running, tier.slice_count.wanted
    if there is None or there >= wanted:
        return
    much = tier.spec.production and there <= wanted * _SMALL_SHARE
    yield Finding(
        Severity.WARNING if much else Severity.NOTE,
        tier.name,
        f"{tier.spec.title} runs with {there} of the {wanted} slices that it is meant to have",
        None,
        "fleet",
    )


def _objectives(tier: FleetTier, slo: TierSlo | None) -> Iterable[Finding]:
    for objective in slo.objectives if slo else ():
        if objective.standing not in (Standing.MISSED, Standing.AT_RISK):
            continue
        missed = objective.standing is Standing.MISSED
        severe = missed and tier.spec.production
        serious = missed or objective.alarming
        yield Finding(
            Severity.CRITICAL if severe else Severity.WARNING if serious else Severity.NOTE,
            tier.name,
            f"{tier.spec.title}: {objective.name} objective {objective.standing}:"
            f" {objective.sentence}",
            None,
            "traffic",
        )


def _answers(tier: FleetTier, worse: WorseAnswers | None) -> Iterable[Finding]:
    if worse is None:
        return
    yield Finding(
        Severity.WARNING if tier.spec.production else Severity.NOTE,
        tier.name,
        f"{tier.spec.title}: answers solve {worse.now_ratio:.1%} of an evaluation's tasks, usually"
        f" {worse.usual_ratio:.1%}: look at its last roll-out",
        None,
        "traffic",
    )


def _backends(snapshot: Snapshot) -> Iterable[Finding]:
    balancer = snapshot.load_balancer
    owners = {s.backend_service: s for s in snapshot.specs if s.backend_service}
    for service in balancer.backend_services if balancer else ():
        known = [b for b in service.backends if b.healthy is not None and b.unhealthy is not None]
        bad = sum(b.unhealthy or 0 for b in known)
        members = bad + sum(b.healthy or 0 for b in known)
        if not bad:
            continue
        spec = owners.get(service.name)
        yield Finding(
            Severity.CRITICAL if bad == members else Severity.WARNING,
            spec.name if spec else "",
            f"Backend service {service.name}: {bad} of {members} members are unhealthy",
            None,
            "traffic",
        )


def _servers(snapshot: Snapshot) -> Iterable[Finding]:
    """Server pods that crash again and again, or that do not serve on hosts that are ready."""
    ready_hosts = {(h.cluster, h.name) for h in snapshot.hosts or () if h.ready}
    for spec in snapshot.specs:
        own = [p for p in snapshot.pods or () if spec.namespace and p.namespace == spec.namespace]
        waiting = [p for p in own if not p.ready and not p.ending]
        crashing = [p for p in waiting if p.reason == _CRASHING or p.restarts >= _MANY_RESTARTS]
        if crashing:
            most = max(p.restarts for p in crashing)
            yield Finding(
                Severity.WARNING,
                spec.name,
                f"{spec.title}: {len(crashing)} of {plural(len(own), 'server pod')} crash again"
                f" and again ({most} restarts of one at most)",
                None,
                "fleet",
            )
        slow = [p for p in waiting if p not in crashing and (p.cluster, p.host) in ready_hosts]
        if slow:
            yield Finding(
                Severity.NOTE,
                spec.name,
                f"{spec.title}: {len(slow)} of {plural(len(own), 'server pod')} run on ready hosts"
                " and do not serve: they load weights, or wait for others of their slice",
                None,
                "fleet",
            )


def _uneven(tier: FleetTier) -> Iterable[Finding]:
    """One slice runs at its limit while the others have room: the requests are badly spread."""
    used: list[tuple[float, str]] = []
    for one in tier.slices:
        ratios = [r.tensorcore_utilisation_ratio for h in one.hosts for r in h.readings]
        known = [ratio for ratio in ratios if ratio is not None]
        if known:
            used.append((sum(known) / len(known), one.name))
    if len(used) < _FEWEST_SLICES:
        return
    used.sort()
    (hottest, name), (middle, _) = used[-1], used[len(used) // 2]
    if hottest >= _HOT_RATIO and middle <= _CALM_RATIO:
        yield Finding(
            Severity.WARNING,
            tier.name,
            f"{tier.spec.title}: requests are spread unevenly: chips at {hottest:.0%} on {name},"
            f" at {middle:.0%} or less on most other slices",
            None,
            "fleet",
        )


def _unmetered(snapshot: Snapshot) -> Iterable[Finding]:
    """A local server that serves, and of which Cloud Monitoring has no figure."""
    server = snapshot.server
    if server is None or not server.ready or (server.uptime_s or 0.0) < _SCRAPED_WITHIN_S:
        return
    for spec in snapshot.specs:
        load = (snapshot.loads or {}).get(spec.name)
        if not spec.is_local or load is None:
            continue
        if load.requests_per_s is None and load.requests_running is None:
            yield Finding(
                Severity.NOTE,
                spec.name,
                f"{spec.title}: no metric of its server reaches Cloud Monitoring, so its load is"
                " unknown: a collector must send them (README, Connecting a real project)",
                None,
                "connections",
            )


def _sources(snapshot: Snapshot) -> Iterable[Finding]:
    for state in snapshot.sources.values():
        if state.problem is not None:
            yield Finding(
                Severity.WARNING,
                "",
                f"{source_title(state)} {_lost(state)}: {state.problem.message}",
                state.failing_since,
                "connections",
            )
            continue
        age_s = state.age_s(snapshot.taken_at)
        if age_s is not None and age_s > max(60.0, _STALE_INTERVALS * state.interval_s):
            yield Finding(
                Severity.WARNING,
                "",
                f"{source_title(state)} was last read {age_s / 60:.0f} min ago",
                state.read_at,
                "connections",
            )


def _lost(state: SourceState) -> str:
    return "is read in part" if state.is_partial else "cannot be read"


def source_title(state: SourceState) -> str:
    """The source in words for a person."""
    return _TITLES.get(state.source.value, state.source.value)


_TITLES: Final = {
    "gke": "GKE",
    "kube": "Kubernetes",
    "tpu": "Cloud TPU API",
    "vertex": "Vertex",
    "load_balancer": "Load balancer",
    "load": "Load (Cloud Monitoring)",
    "chips": "Chip metrics (Cloud Monitoring)",
    "prices": "Price catalogue",
    "costs": "Billing export (BigQuery)",
    "budgets": "Budgets",
    "inference": "Inference server",
}


def _budgets(forecasts: Iterable[Forecast]) -> Iterable[Finding]:
    for f in forecasts:
        amount = f.budget.amount_usd
        if amount is None or f.reached_on is None or f.month_end_usd is None:
            continue
        spent_up = f.spent_usd is not None and f.spent_usd >= amount
        when = "is spent" if spent_up else f"will be spent on {f.reached_on:%d %B}"
        yield Finding(
            Severity.CRITICAL if spent_up else Severity.WARNING,
            f.tier,
            f"The budget of {f.tier} (${amount:,.0f}) {when};"
            f" ${f.month_end_usd:,.0f} by the end of the month",
            None,
            "cost",
        )


def _unassigned(snapshot: Snapshot, fleet: Fleet) -> Iterable[Finding]:
    paid = [u for u in fleet.unassigned or () if u.chips]
    if not paid:
        return
    chips = sum(u.chips for u in paid)
    rates = [unassigned_rate(u, snapshot.prices).usd_per_hour for u in paid]
    usd = sum(rate for rate in rates if rate is not None)
    least = "at least" if None in rates else "about"
    told = f", at {least} ${usd:,.0f} an hour" if usd else ""
    whose = "belongs" if len(paid) == 1 else "belong"
    yield Finding(
        Severity.WARNING if usd >= _MUCH_USD_PER_HOUR else Severity.NOTE,
        "",
        f"{plural(len(paid), 'resource')} with {chips:,} chips {whose} to no tier{told}",
        None,
        "fleet",
    )
