"""Which tier takes a request: what holds for every fleet, and the rules one by one."""

from __future__ import annotations

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


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A value, or unknown."""
    return st.none() | values


ratios, times = st.floats(0, 1), st.floats(1, 60_000)
loads = st.builds(
    lambda waiting, core, kv, errors, ttft, latency: TierLoad(
        "x", make.NOW, 300, error_ratio=errors, ttft=Quantiles(None, ttft),
        latency=Quantiles(None, latency), tensorcore_utilisation_ratio=core,
        requests_waiting=waiting, kv_cache_ratio=kv,
    ),
    maybe(st.floats(0, 500)), maybe(ratios), maybe(ratios), maybe(ratios), maybe(times),
    maybe(times),
)  # fmt: skip


@st.composite
def tiers(draw: st.DrawFn) -> tuple[TierFacts, ...]:
    """Any fleet: some off, some busy, some of which nobody knows anything."""
    found: list[TierFacts] = []
    for name in draw(st.permutations(NAMES)):
        kind = PartKind.LOCAL if name == "edge" else PartKind.GKE_SINGLE_HOST
        spec = TierSpec(
            name, name.title(), (PartSpec(kind, 1),),
            objectives=Objectives(None, draw(maybe(times)), draw(maybe(times))),
            measured_tokens_per_s_per_slice=draw(maybe(st.floats(1, 1e5))),
            model_parameters=draw(maybe(st.sampled_from([1e8, 8e9, 70e9, 200e9]))),
            production=draw(st.booleans()),
        )  # fmt: skip
        serves = draw(st.booleans())
        found.append(TierFacts(
            spec, "http://x" if serves else "", "" if serves else "it is off",
            draw(maybe(st.integers(1, 64))), draw(maybe(loads)), draw(maybe(st.integers(1, 8))),
            draw(maybe(st.sampled_from([512, 4096]))), draw(maybe(st.floats(0.1, 500))), None, "",
        ))  # fmt: skip
    return tuple(found)


requests = st.builds(
    lambda model, prompt, asked, score: RequestFeatures(
        model, prompt, asked, False, score, (Points("code", score, "it holds code"),)
    ),
    st.sampled_from(["", "auto", "auto", *NAMES, "nobody"]),
    st.integers(1, 30_000), st.integers(1, 8000), ratios,
)  # fmt: skip
flights = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 9))


def decided(request: RequestFeatures, fleet: Any, flying: Any = None) -> Decision:
    """The decision of the default thresholds."""
    return decide(request, fleet, LIMITS, make.NOW, flying or {})


@settings(max_examples=50)
@given(requests, tiers(), flights)
def test_only_a_tier_that_serves_and_can_hold_it_is_chosen_and_every_other_has_its_reason(
    request: RequestFeatures, fleet: tuple[TierFacts, ...], flying: dict[str, int]
) -> None:
    """Total: a tier or nobody, whatever is unknown; every tier is told, with a reason."""
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


@settings(max_examples=50)
@given(requests, tiers(), flights, st.randoms(use_true_random=False))
def test_the_same_is_decided_again_in_whatever_order_the_tiers_are_listed(
    request: RequestFeatures, fleet: tuple[TierFacts, ...], flying: dict[str, int], chance: Any
) -> None:
    """A function of what is known, and of nothing else."""
    first = decided(request, fleet, flying)
    assert decided(request, fleet, flying) == first
    shuffled = list(fleet)
    chance.shuffle(shuffled)
    again = decided(request, shuffled, flying)
    assert (again.tier, again.rule) == (first.tier, first.rule)


def heavier(load: TierLoad, by: float) -> TierLoad:
    """The same tier with more of all that is known of its load."""

    def more(value: float | None) -> float | None:
        return None if value is None else value * by + by

    return replace(
        load,
        requests_waiting=more(load.requests_waiting),
        error_ratio=more(load.error_ratio),
        kv_cache_ratio=more(load.kv_cache_ratio),
        tensorcore_utilisation_ratio=more(load.tensorcore_utilisation_ratio),
        ttft=Quantiles(None, more(load.ttft.p95_ms)),
        latency=Quantiles(None, more(load.latency.p95_ms)),
        generation_tokens_per_s=1e9,  # a price per token of now would fall
        prompt_tokens_per_s=1e9,
    )


@settings(max_examples=80)
@given(requests, tiers(), flights, st.sampled_from(NAMES), st.floats(0.01, 5), st.integers(0, 9))
def test_more_load_never_draws_traffic(
    request: RequestFeatures, fleet: tuple[TierFacts, ...], flying: dict[str, int], name: str,
    by: float, more: int,
) -> None:  # fmt: skip
    """A tier that was not chosen is not chosen for being busier, by its load or by our requests."""
    before = decided(request, fleet, flying)
    busier = tuple(
        replace(t, load=heavier(t.load, 1 + by)) if t.name == name and t.load else t for t in fleet
    )
    after = decided(request, busier, flying | {name: flying.get(name, 0) + more})
    if before.tier != name:
        assert after.tier != name


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
