"""Places of a URL map and their weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.traffic_rules import (
    Place,
    divisions,
    give,
    hand_over,
    leading_to,
    read_key,
    shares_by_place,
    weights_of,
)
from tests.make import make_load_balancer

SHARES = st.lists(
    st.tuples(st.sampled_from("abcde"), st.integers(0, 1000)),
    min_size=2, max_size=5, unique_by=lambda s: s[0],
).map(tuple)  # fmt: skip


def test_every_place_with_its_weights() -> None:
    """Rules, matchers' defaults and the map's; a single service has the whole."""
    found = {d.place.name: dict(d.shares) for d in divisions(make_load_balancer())}
    assert found == {
        "hw-map llm /medium/*": {"hw-medium": 100},
        "hw-map llm /large/*": {"hw-large": 100},
        "hw-map llm any other": {"hw-small": 100},
        "hw-map * any other": {"hw-small": 100},
    }


def test_what_goes_to_no_backend_service_is_no_place() -> None:
    """A redirect cannot be shifted."""
    balancer = make_load_balancer()
    redirected = replace(balancer.url_maps[0], default_service="redirect to https")
    names = [d.place.name for d in divisions(replace(balancer, url_maps=(redirected,)))]
    assert "hw-map * any other" not in names
    assert len(names) == 3


def test_a_service_without_a_share_is_not_led_to() -> None:
    """A weight of 0 counts as nothing."""
    balancer = make_load_balancer()
    split = replace(
        balancer.url_maps[0], default_shares=(("hw-small", 0), ("hw-large", 5)), matchers=()
    )
    found = replace(balancer, url_maps=(split,))
    assert leading_to(found, "hw-small") == ()
    assert [d.place.path for d in leading_to(found, "hw-large")] == [""]


@given(SHARES, st.sampled_from("abcdef"), st.integers(0, 100))
def test_shares_sum_to_a_hundred(shares: tuple[tuple[str, int], ...], to: str, part: int) -> None:
    """Whatever was there before; the rest keeps its order of size."""
    others = [w for s, w in shares if s != to]
    if part < 100 and not any(others):
        with pytest.raises(ValueError, match="nobody but"):
            give(shares, to, part)
        return
    after = dict(give(shares, to, part))
    assert sum(after.values()) == 100
    assert after[to] == part
    assert all(w >= 0 for w in after.values())
    for first, a in shares:
        for second, b in shares:
            if to not in (first, second) and a > b:
                assert after[first] >= after[second]


@given(SHARES, st.sampled_from("ab"))
def test_a_hand_over_leaves_nothing(shares: tuple[tuple[str, int], ...], gone: str) -> None:
    """The one that goes has 0, the taker has both, the others what they had."""
    if not any(w for _, w in shares):
        return
    after = dict(hand_over(shares, gone, "new"))
    assert after[gone] == 0
    assert sum(after.values()) == 100


@given(st.sampled_from(["", "tiers", "a-b"]), st.sampled_from(["", "/*", "/x/→/y", "/v1/z"]))
def test_keys_are_read_as_they_were_written(matcher: str, path: str) -> None:
    """A step's values name places and services; both come back."""
    place = Place("map", matcher, path if matcher else "")
    assert read_key("map", place.key("hw-small")) == (place, "hw-small")


def test_a_steps_values_are_taken_apart_again() -> None:
    """Weights by key become shares by place; what is no weight is refused."""
    (division, *_) = divisions(make_load_balancer())
    assert shares_by_place("hw-map", weights_of(division)) == {division.place: division.shares}
    with pytest.raises(ValueError, match="names no place"):
        shares_by_place("hw-map", {"node_count": 3})
    with pytest.raises(ValueError, match="the weight of"):
        shares_by_place("hw-map", {division.place.key("a"): "much"})
