"""load_left: how full the servers say they are decides, whatever the roofline promises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from core.guards import load_left
from core.plans import Outcome, Verdict
from core.records import Snapshot, TierLoad
from tests.core.guards.conftest import demand
from tests.make import make_snapshot

Judged = Callable[..., Verdict]


def with_load(**figures: float | None) -> Snapshot:
    """The usual snapshot with small reporting that; what is not named is unknown."""
    base = make_snapshot()
    unknown: dict[str, float | None] = dict.fromkeys(
        ("kv_cache_ratio", "tensorcore_utilisation_ratio", "requests_running")
    )
    load: TierLoad = replace((base.loads or {})["small"], **(unknown | figures))
    return replace(base, loads={**(base.loads or {}), "small": load})


@pytest.mark.parametrize(
    ("delta", "figures", "outcome"),
    [
        (-1, {"tensorcore_utilisation_ratio": 0.5, "kv_cache_ratio": 0.76}, Outcome.PASS),
        (-36, {"tensorcore_utilisation_ratio": 0.5}, Outcome.BLOCK),  # 200% of what is left
        (-16, {"tensorcore_utilisation_ratio": 0.55}, Outcome.BLOCK),  # 83%, no room to spare
        (-36, {"requests_running": 2160.0}, Outcome.PASS),  # of 12 × 256
        (-40, {"requests_running": 2160.0}, Outcome.BLOCK),  # of 8 × 256
        (-12, {"kv_cache_ratio": 0.76}, Outcome.CONSENT),
        (-48, {"requests_running": 3.0}, Outcome.BLOCK),
        (-1, {}, Outcome.CONSENT),  # nothing known
        (1, {"tensorcore_utilisation_ratio": 0.99}, Outcome.PASS),
    ],
)
def test_servers_must_not_become_too_full(
    judged: Judged, delta: int, figures: dict[str, float], outcome: Outcome
) -> None:
    """Before ÷ after, by each figure that is known; a full KV cache alone is asked about."""
    verdict = judged(load_left.judge, delta, snapshot=with_load(**figures))
    assert verdict.outcome is outcome
    assert (verdict.lift == "") == (outcome is Outcome.PASS)


def test_the_last_hours_peak_counts(judged: Judged) -> None:
    """A quiet moment is no reason to remove what the last hour needed."""
    quiet = with_load(tensorcore_utilisation_ratio=0.2)
    now = (quiet.loads or {})["small"].generation_tokens_per_s or 0.0
    assert judged(load_left.judge, -24, snapshot=quiet).outcome is Outcome.PASS
    verdict = judged(load_left.judge, -24, snapshot=quiet, demand=demand(3 * now))
    assert verdict.outcome is Outcome.BLOCK
    assert "last hour's p95" in verdict.arithmetic[0]


def test_unknown_readiness_is_asked_about_and_nothing_ready_is_no_risk(judged: Judged) -> None:
    """Kubernetes never read, and no host there."""
    unread = replace(make_snapshot(), hosts=None)
    assert judged(load_left.judge, snapshot=unread).outcome is Outcome.CONSENT
    empty = replace(make_snapshot(), hosts=())
    assert judged(load_left.judge, snapshot=empty).outcome is Outcome.PASS
