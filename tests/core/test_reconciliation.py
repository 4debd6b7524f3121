"""The bill beside the catalogue: complete days only, and no price is no difference."""

from __future__ import annotations

import pytest

from core.reconciliation import net_by_day, open_days, reconcile
from tests import make

COSTS = tuple(make.make_costs(make.NOW.date()))


def test_list_and_bill_agree_for_complete_days() -> None:
    """Usage × catalogue price is what was billed before credits; days that may grow are left."""
    found = {r.tier: r for r in reconcile(COSTS, make.make_prices())}
    assert found["small"].days == 29
    assert found["small"].list_usd == pytest.approx(found["small"].billed_usd)
    assert found["small"].difference_ratio == pytest.approx(0)
    assert found["small"].credits_usd < 0


def test_what_has_no_catalogue_price_has_no_difference() -> None:
    """Log storage is billed but not in the catalogue of chips."""
    found = {r.tier: r for r in reconcile(COSTS, make.make_prices())}
    assert found[""].list_usd is None
    assert found[""].difference_ratio is None


def test_an_unread_catalogue_prices_nothing() -> None:
    """None is no price, not a price of 0."""
    assert all(r.list_usd is None for r in reconcile(COSTS, None))


def test_totals_are_net_of_credits() -> None:
    """Per tier and per SKU the days add up to the same money."""
    by_tier = net_by_day(COSTS, by_sku=False)
    by_sku = net_by_day(COSTS, by_sku=True)
    total = sum(r.net_usd for r in COSTS)
    assert sum(sum(d.values()) for d in by_tier.values()) == pytest.approx(total)
    assert sum(sum(d.values()) for d in by_sku.values()) == pytest.approx(total)
    assert set(by_tier) == {"small", "medium", "dev", ""}


def test_days_that_may_grow() -> None:
    """Today and yesterday."""
    assert len(open_days(COSTS)) == 2
