"""Which tier takes a request: what holds for every fleet, and the rules one by one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.settings import load_settings
from core.fleet import assemble_fleet
from core.load import Quantiles, TierLoad
from core.records import Snapshot, Source
from core.router import Decision, Rule, decide
from core.router_request import Points, RequestFeatures, read_request
from core.router_tiers import TierFacts, survey
from core.router_words import busy_in_words, rules_in_words
from core.specs import Objectives, PartKind, PartSpec, TierSpec
from tests import make

LIMITS = load_settings(environ={}).router.limits
NAMES = ("edge", "a", "b", "c")


Case = tuple[RequestFeatures, tuple[TierFacts, ...], dict[str, int]]


def any_load(chance: random.Random) -> TierLoad:
    """Figures on both sides of the thresholds; None: unknown."""
    return TierLoad(
        "x", make.NOW, 300,
        error_ratio=chance.choice((None, 0.0, 0.01)),
        ttft=Quantiles(None, chance.choice((None, 50.0, 900.0))),
        latency=Quantiles(None, chance.choice((None, 50.0, 900.0))),
        generation_tokens_per_s=10.0,
        tensorcore_utilisation_ratio=chance.choice((None, 0.1, 0.5)),
        requests_waiting=chance.choice((None, 0.0, 2.0, 3.0, 300.0)),
        kv_cache_ratio=chance.choice((None, 0.1, 0.5, 0.99)),
    )  # fmt: skip


def any_tier(chance: random.Random, name: str) -> TierFacts:
    """Off, busy, or one of which nobody knows anything; the edge is this machine."""
    kind = PartKind.LOCAL if name == "edge" else PartKind.GKE_SINGLE_HOST
    spec = TierSpec(
        name, name.title(), (PartSpec(kind, 1),),
        objectives=Objectives(None, chance.choice((None, 60.0, 6e4)), chance.choice((None, 6e4))),
        measured_tokens_per_s_per_slice=chance.choice((None, 10.0, 20.0, 30.0)),
        model_parameters=chance.choice((None, 1e8, 8e9, 70e9, 200e9, 200e9)),
        production=chance.random() < 0.7,
    )  # fmt: skip
    serves = chance.random() < 0.8
    return TierFacts(
        spec, "http://x" if serves else "", "" if serves else "it is off",
        chance.choice((None, 1, 4)), chance.choice((None, any_load(chance), any_load(chance))),
        chance.choice((None, 4)), chance.choice((None, None, 4096)),
        chance.choice((None, 5.0, 10.0)), None, "",
    )  # fmt: skip


def any_cases(seed: int) -> Iterator[Case]:
    """Fleets with a request, and requests under way: many, since few have rivals for one."""
    chance = random.Random(seed)
    for _ in range(100):
        score = chance.choice((0.0, 0.3, 0.9))
        request = RequestFeatures(
            chance.choice(("", "auto", "auto", "auto", "a", "nobody")),
            chance.choice((10, 600, 3000, 20_000)), chance.choice((1, 300, 3000)), False,
            score, (Points("code", score, "it holds code"),),
        )  # fmt: skip
        names = chance.sample(NAMES, len(NAMES))
        flying = {name: chance.randint(0, 5) for name in NAMES}
        yield request, tuple(any_tier(chance, name) for name in names), flying


seeds = st.integers(0, 2**32)


def decided(request: RequestFeatures, fleet: Any, flying: Any = None) -> Decision:
    """The decision of the default thresholds."""
    return decide(request, fleet, LIMITS, make.NOW, flying or {})


@settings(max_examples=10)
@given(seeds)
def test_only_a_tier_that_serves_and_can_hold_it_is_chosen_and_every_other_has_its_reason(
    seed: int,
) -> None:
    """Total: a tier or nobody, whatever is unknown; every tier is told, with a reason."""
    for request, fleet, flying in any_cases(seed):
        found = decided(request, fleet, flying)
        assert [c.tier for c in found.considered] == [t.name for t in fleet]
        assert all(c.why for c in found.considered)
        chosen = [c for c in found.considered if c.chosen]
        assert [c.tier for c in chosen] == ([found.tier] if found.tier else [])
        able = {t.name for t in fleet if not t.not_serving
                and (t.context_tokens is None or request.tokens <= t.context_tokens)}  # fmt: skip
        assert found.tier in able or not found.tier
        assert bool(found.url) == bool(found.tier)
        if request.model in ("", "auto"):
            assert bool(found.tier) == bool(able)
        else:
            assert found.tier == (request.model if request.model in able else "")


@settings(max_examples=10)
@given(seeds)
def test_the_same_is_decided_again_in_whatever_order_the_tiers_are_listed(seed: int) -> None:
    """A function of what is known, and of nothing else."""
    for request, fleet, flying in any_cases(seed):
        first = decided(request, fleet, flying)
        assert decided(request, fleet, flying) == first
        again = decided(request, fleet[::-1], flying)
        assert (again.tier, again.rule) == (first.tier, first.rule)


def heavier(load: TierLoad) -> TierLoad:
    """The same tier with more of all that is known of its load."""

    def more(value: float | None) -> float | None:
        return None if value is None else value * 1.5 + 0.001

    return replace(
        load,
        requests_waiting=more(load.requests_waiting),
        error_ratio=more(load.error_ratio),
        kv_cache_ratio=more(load.kv_cache_ratio),
        tensorcore_utilisation_ratio=more(load.tensorcore_utilisation_ratio),
        ttft=Quantiles(None, more(load.ttft.p95_ms)),
        latency=Quantiles(None, more(load.latency.p95_ms)),
        generation_tokens_per_s=more(load.generation_tokens_per_s),
    )


@settings(max_examples=20)
@given(seeds)
def test_more_load_never_draws_traffic(seed: int) -> None:
    """A tier that was not chosen is not chosen for being busier, by its load or by our requests."""
    for request, fleet, flying in any_cases(seed):
        before = decided(request, fleet, flying)
        for name in {*NAMES} - {before.tier}:
            busier = tuple(
                replace(t, load=heavier(t.load)) if t.name == name and t.load else t for t in fleet
            )
            assert decided(request, busier, flying | {name: 9}).tier != name


def ask(text: str = "Say hello.", **more: Any) -> RequestFeatures:
    """A request of one message."""
    body = {"messages": [{"role": "user", "content": text}], **more}
    return read_request(body, LIMITS.request)


def facts(snapshot: Snapshot | None = None) -> dict[str, TierFacts]:
    """The default world's tiers by name, where every tier behind the balancer has a path."""
    found = snapshot or make.make_snapshot("full-fleet")
    specs = tuple(
        replace(s, endpoint_url=f"http://127.0.0.1/{s.name}") if s.backend_service else s
        for s in found.specs
    )
    found = replace(found, specs=specs)
    return {t.name: t for t in survey(found, assemble_fleet(found), LIMITS)}


HARD = "Prove step by step: $\\frac{1}{2}$ ```x = 1```"


@pytest.mark.parametrize(
    ("request_", "tier", "rule"),
    [
        (ask(), "local", Rule.EDGE),
        (ask(max_tokens=257), "small", Rule.SIMPLE),
        (ask("hello " * 400), "small", Rule.SIMPLE),
        (ask("Compare them and explain why."), "medium", Rule.MODERATE),
        (ask(max_tokens=1999), "medium", Rule.MODERATE),
        (ask(HARD), "large", Rule.COMPLEX),
        (ask(max_tokens=16_000), "large", Rule.COMPLEX),
        (ask(model="medium"), "medium", Rule.NAMED),
        (ask(model="dev"), "", Rule.NAMED),
    ],
)
def test_each_kind_of_request_has_its_tier(
    request_: RequestFeatures, tier: str, rule: Rule
) -> None:
    """Short and simple to this machine, then as strong as needed and no stronger."""
    found = decided(request_, tuple(facts().values()))
    assert (found.tier, found.rule) == (tier, rule)


def test_the_edge_comes_first_only_while_it_can_hold_its_objectives() -> None:
    """A missed objective, a queue, or all of its slots taken: then the cheapest of the others."""
    known = facts()
    local = known["local"]
    assert local.load is not None
    for changed in (
        replace(local, load=replace(local.load, ttft=Quantiles(None, 2001.0))),
        replace(local, load=replace(local.load, requests_waiting=9.0)),
    ):
        found = decided(ask(), tuple((known | {"local": changed}).values()))
        assert (found.tier, found.rule) == ("small", Rule.SIMPLE)
    assert decided(ask(), tuple(known.values()), {"local": 4}).tier == "small"
    assert decided(ask(), tuple(known.values()), {"local": 3}).tier == "local"
    unseen = replace(local, load=None)
    found = decided(ask(), tuple((known | {"local": unseen}).values()))
    assert found.tier == "local"
    assert "unknown: load" in found.reason


def test_a_busy_tier_gives_way_and_the_shortest_queue_takes_what_nobody_wants() -> None:
    """Stronger before weaker; where all are busy an unknown queue is not taken for none."""
    known = {n: t for n, t in facts().items() if n in ("small", "medium", "large")}

    def loaded(waiting: dict[str, float | None]) -> Decision:
        changed = {
            n: replace(t, load=replace(t.load, requests_waiting=waiting.get(n, 0.0),
                                       error_ratio=1.0 if waiting.get(n, 0.0) is None else 0.0))
            for n, t in known.items() if t.load
        }  # fmt: skip
        return decided(ask("Compare them and explain why."), tuple(changed.values()))

    assert loaded({}).tier == "medium"
    assert loaded({"medium": 1e4}).tier == "large"
    over = loaded({"medium": 1e4, "large": 1e4})
    assert (over.tier, over.rule) == ("small", Rule.OVERFLOW)
    last = loaded({"small": None, "medium": 2e4, "large": 2e4})
    assert (last.tier, last.rule) == ("medium", Rule.LEAST_BUSY)


def test_an_unknown_price_is_not_taken_for_a_low_one() -> None:
    """Of two that are strong enough the one with a price comes first, and the other is told so."""
    known = facts()
    cheap = replace(known["medium"], usd_per_slice_hour=None, unpriced="not priced: who knows")
    found = decided(ask("Compare them and explain why."), (cheap, known["large"]))
    assert found.tier == "large"
    assert "price is unknown" in next(c.why for c in found.considered if c.tier == "medium")


def test_a_tier_that_is_not_for_production_takes_what_names_it_or_what_nobody_else_can() -> None:
    """However cheap it is."""
    known = facts()
    dev = replace(known["dev"], url="http://dev", not_serving="", usd_per_slice_hour=0.01)
    longer = ask(max_tokens=500)
    found = decided(longer, (dev, known["small"]))
    assert found.tier == "small"
    assert "not for production" in found.considered[0].why
    assert decided(longer, (dev, replace(known["small"], not_serving="it is off"))).tier == "dev"
    assert decided(ask(model="dev"), (dev, known["small"])).tier == "dev"


def test_what_is_not_known_to_serve_is_not_asked() -> None:
    """Unread sources, all endpoints down, drained: nobody; figures too old to count are unknown."""
    unread = decided(ask(), tuple(facts(make.make_snapshot("unread")).values()))
    assert (unread.tier, unread.rule) == ("", Rule.NONE)
    assert all("unknown" in c.why for c in unread.considered)
    whole = make.make_snapshot("full-fleet")
    balancer = whole.load_balancer
    assert balancer is not None

    def with_backends(**change: Any) -> TierFacts:
        services = tuple(
            replace(s, backends=tuple(replace(b, **change) for b in s.backends))
            for s in balancer.backend_services
        )
        return facts(replace(whole, load_balancer=replace(balancer, backend_services=services)))[
            "small"
        ]

    assert "no endpoint of hw-small is healthy" in with_backends(healthy=0).not_serving
    assert "no backend with capacity" in with_backends(capacity_ratio=0.0).not_serving
    assert not with_backends(healthy=None).not_serving
    old = make.make_failure(whole, Source.LOAD, for_s=LIMITS.stale_after_s + 1)
    assert facts(old)["small"].load is None


def test_every_rule_is_told_in_words() -> None:
    """With the thresholds in force; where the edge is switched off the words say so."""
    words = rules_in_words(LIMITS)
    assert tuple(words) == tuple(Rule)
    assert "512" in words[Rule.EDGE]
    assert "Switched off" in rules_in_words(replace(LIMITS, edge_first=False))[Rule.EDGE]
    assert "95%" in busy_in_words(LIMITS)
    off = decide(ask(), tuple(facts().values()), replace(LIMITS, edge_first=False), make.NOW, {})
    assert off.tier == "small"
