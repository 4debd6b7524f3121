"""Planning of traffic: shift, fail over, drain, restore, and what each says about its effect."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.actions import PlanContext, make_plan
from core.actions.available import why_not
from core.canary import Health, ModelMinute, Watch, both, model_health, read_watch
from core.consent import Friction, friction
from core.errors import PlanError
from core.histograms import Histogram
from core.load_balancer import LoadBalancer
from core.plans import Plan, Request, order_of
from core.records import DeployedModel, Snapshot
from tests.make import NOW, make_load_balancer, make_snapshot

CONTEXT = PlanContext("p", capacity_before_drain={"hw-small neg-small-0": 0.8})
NORMAL = make_snapshot()
PLACE = "hw-map llm any other"


def plan(action: str, snapshot: Snapshot = NORMAL, tier: str = "small", **values: object) -> Plan:
    """The plan of that action."""
    request = Request(action, tier, values)  # type: ignore[arg-type]
    return make_plan(snapshot, request, NOW, CONTEXT)


def drained(*groups: str) -> Snapshot:
    """The normal world with these groups of small (none named: all) at capacity 0."""
    balancer = make_load_balancer()
    services = [
        replace(s, backends=tuple(
            replace(b, capacity_ratio=0.0 if not groups or b.group in groups else 1.0)
            for b in s.backends
        )) if s.name == "hw-small" else s
        for s in balancer.backend_services
    ]  # fmt: skip
    return replace(NORMAL, load_balancer=replace(balancer, backend_services=tuple(services)))


def test_a_shift_says_who_gets_what() -> None:
    """Weights before and after, requests/s and share, the receiver's load, another model."""
    found = plan("shift_traffic", place=PLACE, to="hw-medium", percent=25)
    (step,) = found.steps
    assert step.before == {"llm any other → hw-small": 100, "llm any other → hw-medium": 0}
    assert step.after == {"llm any other → hw-small": 75, "llm any other → hw-medium": 25}
    assert found.cost.before_usd_per_hour == found.cost.after_usd_per_hour == 3072
    told = "\n".join(found.affected)
    assert "At most 103.0 requests/s (25% of Small's 412.0, 17% of all" in told
    assert "206.0 → at most 309.0 requests/s on 64 ready slices" in told
    assert "Llama-3.3-70B-Instruct instead of Llama-3.1-8B-Instruct" in told
    assert "63 of 64 endpoints of hw-medium are healthy" in told
    assert "url-maps export hw-map --global --project=p" in step.command
    assert '"weight": 25' in step.command
    assert found.takes_out == ()


@given(st.integers(-5, 105), st.sampled_from(["hw-small", "hw-medium", "hw-large", "none"]))
def test_a_shift_never_loses_requests(percent: int, to: str) -> None:
    """Whatever is asked: a refusal, or weights that sum to 100."""
    try:
        found = plan("shift_traffic", place=PLACE, to=to, percent=percent)
    except PlanError:
        return
    assert sum(w for w in found.steps[0].after.values() if isinstance(w, int)) == 100


def test_what_cannot_be_shifted_is_refused_with_what_can() -> None:
    """An unknown place, a service without a share there, nothing to change, a classic one."""
    with pytest.raises(PlanError) as place:
        plan("shift_traffic", place="nowhere", to="hw-medium", percent=10)
    assert PLACE in place.value.hint
    with pytest.raises(PlanError, match="gets nothing"):
        plan("shift_traffic", place="hw-map llm /large/*", to="hw-medium", percent=10)
    with pytest.raises(PlanError, match="already"):
        plan("shift_traffic", place=PLACE, to="hw-small", percent=100)
    with pytest.raises(PlanError, match="nobody but"):
        plan("shift_traffic", place=PLACE, to="hw-small", percent=40)
    balancer = make_load_balancer()
    small, medium, large = balancer.backend_services
    services = (small, replace(medium, scheme="EXTERNAL"), large)
    classic = replace(NORMAL, load_balancer=replace(balancer, backend_services=services))
    with pytest.raises(PlanError, match="EXTERNAL:"):
        plan("shift_traffic", classic, place=PLACE, to="hw-medium", percent=10)
    with pytest.raises(PlanError, match="not been read"):
        plan("shift_traffic", replace(NORMAL, load_balancer=None), place=PLACE, to="x", percent=1)


def test_a_canary_has_two_stages_that_are_watched() -> None:
    """A smaller share first; what the taker misses already is told; what cannot be is refused."""
    canary = {"place": PLACE, "to": "hw-medium", "percent": 50, "watch_min": 10}
    found = plan("shift_traffic", **canary, canary_percent=5)
    first, watch, last, _ = found.steps
    assert dict(first.after) == dict(last.before)
    assert watch.expected_s == 600
    assert read_watch(watch.body).back == dict(first.before)
    assert read_watch(watch.body).now == dict(first.after)
    assert order_of(found.steps) == ((), (1,), (1, 2), (1, 2, 3))
    for wrong in ({"canary_percent": 50}, {"canary_percent": 5, "watch_min": 1}, {}):
        with pytest.raises(PlanError):
            plan("shift_traffic", **{**canary, **wrong})


def test_an_unknown_load_is_said_and_not_counted_as_none() -> None:
    """Without a load there is no figure, and the plan says so."""
    told = "\n".join(
        plan("shift_traffic", replace(NORMAL, loads=None), place=PLACE, to="hw-medium", percent=5)
        .affected
    )  # fmt: skip
    assert "how many requests it gets now is not known" in told
    assert "What Medium carries then is not known" in told


def test_a_vertex_split_keeps_to_the_endpoints_models() -> None:
    """Percentages by deployed model; one model alone cannot be split."""
    with pytest.raises(PlanError, match="nobody but"):
        plan("shift_traffic", endpoint="4410", to="7301", percent=30)
    assert NORMAL.endpoints is not None
    (endpoint,) = NORMAL.endpoints
    new = DeployedModel("7302", "llama-8b-next", "tpu7x-standard-4t", "2x2x1", 1, 1, 0.0)
    two = replace(NORMAL, endpoints=(replace(endpoint, deployed=(*endpoint.deployed, new)),))
    found = plan("shift_traffic", two, endpoint="4410", to="7302", percent=30)
    assert found.steps[0].after == {"7301": 70, "7302": 30}
    assert "--traffic-split=7301=70,7302=30" in found.steps[0].command
    assert any("no redundancy" in s for s in found.affected)
    assert found.sources == ("vertex", "load")
    canary = {"endpoint": "4410", "to": "7302", "percent": 30, "watch_min": 10}
    first, watch, last, _ = plan("shift_traffic", two, **canary, canary_percent=5).steps
    assert (dict(first.after), dict(last.after)) == (
        {"7301": 95, "7302": 5}, {"7301": 70, "7302": 30},
    )  # fmt: skip
    body = read_watch(watch.body)
    assert (body.tier, body.verb, body.back) == ("small", first.verb, {"7301": 100, "7302": 0})
    assert (body.model, body.least) == ("7302", 100)
    assert any("from 100 of its requests on" in s for s in plan(
        "shift_traffic", two, **canary, canary_percent=5).affected)  # fmt: skip
    with pytest.raises(PlanError, match="does not lie between"):
        plan("shift_traffic", two, **canary, canary_percent=30)


@pytest.mark.parametrize(
    ("requests", "failed", "ms", "missed", "state", "said"),
    [
        (
            9,
            9,
            1e5,
            (),
            Health.FINE,
            "7302 has answered 90 of the 100 requests.*judged by the tier",
        ),
        (60, 0, 500, (), Health.FINE, "7302 by its own 300 requests: availability.*small: fine"),
        (60, 3, 500, (), Health.HARMED, "^7302 by its own 300 requests: availability: 95.000% now"),
        (60, 0, 9e3, (), Health.HARMED, "latency p95: 9,"),
        (60, 0, 9e3, ("latency p95",), Health.FINE, "availability: 100.000% now"),
    ],
)
def test_a_new_model_is_judged_by_its_own_answers(
    requests: float, failed: float, ms: float, missed: tuple[str, ...], state: Health, said: str
) -> None:
    """Of the newest five minutes that have enough requests; with fewer the tier decides."""
    timed = Histogram((ms * 0.999, ms * 1.001), (0.0, requests, 0.0))
    minutes = [
        ModelMinute(NOW + timedelta(minutes=i), requests, failed, timed) for i in range(10)
    ]  # fmt: skip
    watch = Watch("small", 600, missed, "e", {}, {}, "v", "7302")
    found = model_health(NORMAL.spec("small"), watch, minutes)
    whole = both((Health.FINE, "small: fine"), found)
    assert whole[0] is state
    assert re.search(said, whole[1])
    assert both((Health.HARMED, "small: harmed"), found)[0] is Health.HARMED
    assert both((Health.UNKNOWN, "?"), model_health(NORMAL.spec("small"), watch, ()))[0] is (
        Health.UNKNOWN
    )


def test_a_fail_over_takes_every_place_at_once() -> None:
    """One call per URL map; the tier keeps running; all its users' name has to be typed."""
    found = plan("fail_over", to="medium")
    (step,) = found.steps
    assert step.after == {
        "llm any other → hw-small": 0, "llm any other → hw-medium": 100,
        "* any other → hw-small": 0, "* any other → hw-medium": 100,
    }  # fmt: skip
    assert friction(found, ()) is Friction.RED
    assert any("goes on running and costing" in s for s in found.affected)
    with pytest.raises(PlanError, match="cannot fail over"):
        plan("fail_over", to="small")
    with pytest.raises(PlanError, match="does not stand behind"):
        plan("fail_over", to="dev")


def test_a_drain_says_which_places_answer_with_an_error() -> None:
    """All backends: the service itself goes out; one: what is left is counted."""
    found = plan("drain_tier")
    assert set(found.takes_out) == {"neg-small-0", "neg-small-1", "neg-small-2", "hw-small"}
    assert set(found.steps[0].after.values()) == {0.0}
    assert any("get an error instead of an answer" in s and PLACE in s for s in found.affected)
    assert friction(found, ()) is Friction.RED
    one = plan("drain_tier", group="neg-small-0")
    assert one.takes_out == ("neg-small-0",)
    assert any("48 → 32 (67% of the capacity)" in s for s in one.affected)
    with pytest.raises(PlanError, match="drained already"):
        plan("drain_tier", drained())
    with pytest.raises(PlanError, match="has no backend"):
        plan("drain_tier", group="another")


def test_a_restore_gives_back_what_was_there() -> None:
    """The recorded capacity where there is one, else the API's default, and it says which."""
    found = plan("restore_tier", drained("neg-small-0", "neg-small-1"))
    assert found.steps[0].after == {"neg-small-0": 0.8, "neg-small-1": 1.0}
    assert any("neg-small-1 had before is not recorded" in s for s in found.affected)
    assert friction(found, ()) is Friction.GREEN
    with pytest.raises(PlanError, match="is drained"):
        plan("restore_tier")


def test_menus_say_why_an_action_makes_no_sense() -> None:
    """Before any form is filled in."""
    specs = {s.name: s for s in NORMAL.specs}
    assert why_not(NORMAL, "drain_tier", specs["small"]) == ""
    assert why_not(NORMAL, "restore_tier", specs["small"]) == "Nothing is drained"
    assert "behind the load balancer" in why_not(NORMAL, "fail_over", specs["dev"])
    assert "drained already" in why_not(drained(), "drain_tier", specs["small"])
    assert "not been read" in why_not(
        replace(NORMAL, load_balancer=None), "drain_tier", specs["small"]
    )
    nothing = replace(NORMAL, load_balancer=LoadBalancer((), (), ()))
    assert "no backend service" in why_not(nothing, "shift_traffic", specs["medium"])
    assert why_not(NORMAL, "scale_tier", specs["medium"]) == ""
    assert "no slices" in why_not(NORMAL, "scale_tier", specs["dev"])


def test_a_budgets_change_is_told_in_dollars_and_days() -> None:
    """Amount, thresholds, what is spent, and that it stops nothing; wrong values are refused."""
    found = plan("change_budget", amount_usd=1_400_000, thresholds="50, 90")
    assert found.steps[0].after == {"amount_usd": 1_400_000.0, "thresholds": "50%, 90%"}
    told = "\n".join(found.affected)
    assert "stops no spending" in told
    assert "will be spent on" in told
    assert "Thresholds passed already: 50%, 90%" in told
    assert "--clear-threshold-rules --add-threshold-rule=percent=0.5" in found.steps[0].command
    silent = plan("change_budget", thresholds=" ").affected[0]
    assert silent.startswith("All thresholds are removed (")
    for wrong in ({"amount_usd": 0}, {"amount_usd": True}, {"thresholds": "much"},
                  {"thresholds": "0"}, {}):  # fmt: skip
        with pytest.raises(PlanError):
            plan("change_budget", **wrong)
    with pytest.raises(PlanError, match=r"'much' cannot be read: much is no number\.$"):
        plan("change_budget", thresholds="much")
    with pytest.raises(PlanError, match="no monthly budget"):
        plan("change_budget", tier="large", amount_usd=1.0)


def with_uids() -> Snapshot:
    """The normal world with pods that can be told apart."""
    pods = tuple(
        replace(p, uid=f"uid-{i}", cluster_location="") for i, p in enumerate(NORMAL.pods or ())
    )
    return replace(NORMAL, pods=pods)


def test_a_restart_names_its_pods_and_what_stays() -> None:
    """The pods of the slice's hosts and no other; the share that goes elsewhere meanwhile."""
    host = "gke-hw-serving-hw-small-00-0000"
    found = plan("restart_slice", with_uids(), slice=host)
    assert found.title == f"Restart {host} of Small: 1 pod"
    assert '"pods":{"serve-small-00000":"uid-0"}' in found.steps[0].body
    assert "delete pod serve-small-00000" in found.steps[0].command
    assert any("48 → 47" in s for s in found.affected)
    assert any("2.1% of Small's" in s for s in found.affected)
    whole = plan("restart_slice", with_uids(), "medium", slice="hw-medium-00")
    assert whole.title.endswith("4 pods")
    for wrong in ("nothing", "hw-small-vertex 1"):
        with pytest.raises(PlanError, match="has no slice"):
            plan("restart_slice", with_uids(), slice=wrong)
    with pytest.raises(PlanError, match="No pod of Small is known"):
        plan("restart_slice", replace(NORMAL, pods=None), slice=host)
