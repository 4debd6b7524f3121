"""What is wrong now, worst first: the findings at the head of the Overview.

Ranks facts that other modules derived; it decides no state itself. Causes that take more than a
look at one record are found in `core/host_findings.py`, `core/server_findings.py`,
`core/spread.py` and `core/surge.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Final

from core.answers import WorseAnswers
from core.finding import Finding, Severity
from core.fleet import Fleet, FleetTier, State
from core.forecast import Forecast
from core.host_findings import host_findings
from core.ownership import Unassigned
from core.pricing import unassigned_rate
from core.records import Snapshot, Source, SourceState
from core.server_findings import server_findings
from core.slo import Standing, TierSlo
from core.spread import uneven_findings
from core.surge import Surge, surge_findings
from core.wording import plural

_STALE_INTERVALS: Final = 5
_SCRAPED_WITHIN_S: Final = 900.0  # after its start
_SMALL_SHARE: Final = 0.5  # of the slices that a tier is meant to have
_MUCH_USD_PER_HOUR: Final = 100.0  # for resources of no tier
_OF_LATE: Final = timedelta(hours=1)
_EXTRAS: Final = (Source.RECOMMENDER,)  # nothing but a panel of their own rests on them
_A_ROW: Final = 3  # so many pools made of late are no single mistake
# Objective → what may relieve it.
_RELIEF: Final = {
    "availability": "See on Traffic which requests fail, and since when; shift traffic, scale, or"
    " roll back what was changed then",
    "TTFT p95": "See on Traffic whether requests queue: then scale it or shift traffic; else look"
    " at what its servers changed",
    "latency p95": "See on Traffic whether requests queue or answers are longer; scale it or shift"
    " traffic",
}


def what_is_wrong(
    snapshot: Snapshot,
    fleet: Fleet,
    slos: Mapping[str, TierSlo],
    forecasts: Mapping[str, Forecast] | None = None,
    worse: Mapping[str, WorseAnswers] | None = None,
    surges: Mapping[str, Surge] | None = None,
) -> tuple[Finding, ...]:
    """Findings, worst first, production before other tiers; empty: nothing known to be wrong.

    A cause stands before what is worst of its tier, since that comes of it.
    """
    findings: list[Finding] = []
    for tier in fleet.tiers:
        findings += _objectives(tier, slos.get(tier.name))
        findings += _tier_state(tier)
        findings += uneven_findings(tier, snapshot)
        findings += _answers(tier, (worse or {}).get(tier.name))
        findings += surge_findings(tier.spec, (surges or {}).get(tier.name))
    findings += host_findings(snapshot, fleet)
    findings += server_findings(snapshot)
    findings += _backends(snapshot)
    findings += _unmetered(snapshot)
    findings += _sources(snapshot)
    findings += _budgets((forecasts or {}).values())
    findings += _unassigned(snapshot, fleet)
    production = {s.name: s.production for s in snapshot.specs}
    worst: dict[str, Severity] = {}
    for one in findings:
        worst[one.tier] = min(one.severity, worst.get(one.tier, one.severity))

    def place(one: Finding) -> tuple[int, int, bool]:
        causes = one.is_cause and one.severity < Severity.NOTE
        severity = worst[one.tier] if causes else one.severity
        return severity, _rank(one.tier, production), not causes

    return tuple(sorted(findings, key=place))


def _rank(tier: str, production: Mapping[str, bool]) -> int:
    """Within a severity: what users of production feel, then other tiers, then all else."""
    return 2 if not tier else 0 if production.get(tier) else 1


def _tier_state(tier: FleetTier) -> Iterable[Finding]:
    reasons = "; ".join(tier.reasons)
    if tier.state is State.DEGRADED:
        nothing = tier.slice_count.ready == 0
        severity = Severity.CRITICAL if nothing else Severity.WARNING
        yield Finding(
            severity,
            tier.name,
            f"{tier.spec.title} is degraded: {reasons}",
            None,
            "fleet",
            "See on Fleet which slices: restart one whose hosts are well, or shift its traffic",
        )
    elif tier.state in (State.EMPTY, State.STOPPED):
        yield Finding(
            Severity.WARNING,
            tier.name,
            f"{tier.spec.title} is {tier.state}: {reasons}",
            None,
            "fleet",
            "Scale it up, or tear it down if nobody needs it",
        )
    elif tier.state is State.PROVISIONING:
        yield Finding(
            Severity.NOTE,
            tier.name,
            f"{tier.spec.title} is starting: {reasons}",
            None,
            "fleet",
            "Nothing: machines, images and weights take minutes; Fleet shows how far it is",
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
        "Scale it to what the settings say, or change the settings if that is how it shall be",
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
            _RELIEF[objective.name],
        )


def _answers(tier: FleetTier, worse: WorseAnswers | None) -> Iterable[Finding]:
    if worse is None:
        return
    yield Finding(
        Severity.WARNING if tier.spec.production else Severity.NOTE,
        tier.name,
        f"{tier.spec.title}: answers solve {worse.now_ratio:.1%} of an evaluation's tasks, usually"
        f" {worse.usual_ratio:.1%}",
        None,
        "traffic",
        "Look at its last roll-out: the answers of another revision or model may be worse",
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
            "See on Fleet whether hosts or servers of these members are not ready",
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
                " unknown: a collector must send them",
                None,
                "connections",
                "Set up the collector (README, Connecting a real project)",
            )


def _sources(snapshot: Snapshot) -> Iterable[Finding]:
    for state in snapshot.sources.values():
        severity = Severity.NOTE if state.source in _EXTRAS else Severity.WARNING
        if state.problem is not None:
            yield Finding(
                severity,
                "",
                f"{source_title(state)} {_lost(state)}: {state.problem.message}",
                state.failing_since,
                "connections",
                state.problem.hint.removesuffix(".")
                or "See on Connections as whom it is read and what it answers",
            )
            continue
        age_s = state.age_s(snapshot.taken_at)
        if age_s is not None and age_s > max(60.0, _STALE_INTERVALS * state.interval_s):
            yield Finding(
                severity,
                "",
                f"{source_title(state)} was last read {age_s / 60:.0f} min ago",
                state.read_at,
                "connections",
                "See on Connections whether it is being read; plans refuse data so old",
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
    "alerts": "Alerts (Cloud Monitoring)",
    "quotas": "Quotas (Cloud Quotas)",
    "machine_types": "Machine types (Compute Engine)",
    "reservations": "Reservations (Compute Engine)",
    "recommender": "Recommender",
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
            "See on Cost what it is spent on; scale down, or change the budget",
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
    late = _made_of_late(snapshot, paid)
    row = f"; {late} of them were made within the last hour" if late >= _A_ROW else ""
    yield Finding(
        Severity.WARNING if usd >= _MUCH_USD_PER_HOUR else Severity.NOTE,
        "",
        f"{plural(len(paid), 'resource')} with {chips:,} chips {whose} to no tier{told}{row}",
        None,
        "fleet",
        "Find what keeps making them and stop it, then clean up what belongs to nobody (Fleet)"
        if row
        else "Give them a tier's label, or clean up what belongs to nobody (Fleet)",
        is_cause=bool(row),
    )


def _made_of_late(snapshot: Snapshot, paid: Iterable[Unassigned]) -> int:
    """How many node pools of no tier have their first nodes since an hour."""
    first = {u.name: snapshot.taken_at for u in paid if u.kind == "node pool"}
    known: set[str] = set()
    for host in snapshot.hosts or ():
        if host.pool in first and host.created_at is not None:
            known.add(host.pool)
            first[host.pool] = min(first[host.pool], host.created_at)
    return sum(first[name] > snapshot.taken_at - _OF_LATE for name in known)
