"""A rolling update always arrives, within its bounds."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.apis.kubernetes.controllers.rollouts import Part, bounds, next_sizes, recreated


@given(
    st.integers(0, 12),
    st.lists(st.integers(0, 12), max_size=3),
    st.sampled_from([0, 1, 3, "25%", "100%"]),
    st.sampled_from([0, 1, 2, "25%", "100%"]),
)
@settings(max_examples=200, deadline=None)
def test_rolling_update_converges_within_its_bounds(
    wanted: int, olds: list[int], surge: int | str, unavailable: int | str
) -> None:
    """Starting from any old sets, all pods are of the new one in the end; on the way there are
    never more than the surge allows, nor fewer serving than the strategy promises.
    """
    strategy = {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    most, least = bounds({"strategy": strategy}, wanted)
    new = Part("new", 0, 0, 0)
    old = [Part(f"old{i}", n, n, n) for i, n in enumerate(olds)]
    at_first, serving_at_first = sum(olds), min(sum(olds), wanted - least)
    for _ in range(80):
        sizes = next_sizes(new, old, wanted, most, least)
        assert sum(sizes.values()) <= max(wanted + most, at_first)
        # What is asked away goes first, what is asked for serves later.
        old = [Part(p.name, sizes[p.name], sizes[p.name], sizes[p.name]) for p in old]
        assert new.available + sum(p.available for p in old) >= serving_at_first
        new = Part("new", sizes["new"], sizes["new"], new.available)
        if new.available == new.replicas == wanted and not any(p.replicas for p in old):
            break
        new = Part("new", new.replicas, new.there, new.replicas)
    assert new.replicas == wanted
    assert not any(p.replicas for p in old)


@given(st.integers(0, 5), st.integers(0, 5))
def test_recreate_never_runs_both(wanted: int, there: int) -> None:
    """Nothing new is asked for as long as something old is there."""
    sizes = recreated(Part("new", 0, 0, 0), [Part("old", 0, there, 0)], wanted)
    assert sizes["old"] == 0
    assert sizes["new"] == (0 if there else wanted)
