"""What is told when a plan is made again and has become another one."""

from __future__ import annotations

from dataclasses import replace

from core.plan_difference import differences
from tests.core.test_provision import EMPTY, plan


def test_the_same_facts_differ_in_nothing() -> None:
    """Only the time of making is another: no difference is told."""
    first = plan("provision_tier", "small", EMPTY, slices=2)
    assert differences(first, plan("provision_tier", "small", EMPTY, slices=2)) == ()
    assert differences(first, replace(first, made_at=first.expires_at)) == ()


def test_every_difference_is_told() -> None:
    """Steps that come, go or change, facts, dollars and sentences; never silence."""
    first = plan("provision_tier", "small", EMPTY, slices=2)
    gone, *rest = first.steps
    changed = replace(rest[0], after={"exists": True, "node_count": 7})
    cost = replace(first.cost, after_usd_per_hour=1.0)
    second = replace(
        first,
        steps=(changed, *rest[1:]),
        observed={**first.observed, "etag": "b"},
        cost=cost,
        affected=("somebody",),
    )
    told = "\n".join(differences(first, second))
    assert f"No longer: {gone.title}" in told
    assert f"{changed.title}, after: node count nothing → 7" in told
    assert "Rests on etag nothing → b" in told
    assert "→ $1.00/h" in told
    assert "Effect, new: somebody" in told
    assert f"New: {gone.title}" in "\n".join(differences(second, first))
    silent = replace(first, steps=(replace(first.steps[0], body='{"x": 1}'), *first.steps[1:]))
    assert differences(first, silent)
