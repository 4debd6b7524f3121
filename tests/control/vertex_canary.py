"""A canary between the models of a Vertex endpoint, over the wire: what sends it back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from control.appliers import TakenBack, make_appliers
from control.appliers.canary import WatchTier
from core.canary import LEAST_REQUESTS, Health, ModelMinute, health, read_watch
from services.model_series import ModelSeries
from services.monitoring import Monitoring
from tests.make import make_snapshot, make_sources, make_specs

if TYPE_CHECKING:
    from tests.control.test_traffic_over_wire import Side


def with_its_tier(side: Side, **wanted: Any) -> None:
    """The first stage is written; the tier misses an objective: the split goes back, once."""
    give, watch, *_ = side.plan("shift_traffic", **wanted, canary_percent=5, watch_min=5).steps
    at = datetime.now(UTC)
    calm = make_snapshot("normal", at)
    loads = dict(calm.loads or {})
    loads["small"] = replace(loads["small"], ttft=replace(loads["small"].ttft, p95_ms=9e9))
    seen = replace(calm, loads=loads, sources=make_sources(at))
    watcher = WatchTier(
        {give.verb: side.appliers.applier(give.verb)}, lambda: seen, lambda: at, 0.0
    )
    assert " 5%" in side.do(give)
    begun = watcher.start(watch)
    for _ in range(2):
        with pytest.raises(TakenBack, match=r"TTFT p95.*written back.* 100%.* 0%"):
            watcher.wait(begun, lambda _: None, threading.Event())


def hidden_in_its_tier(side: Side, fault: Callable[..., None], **wanted: Any) -> None:
    """A new model at 10% fails 2% of its requests: its tier keeps its objectives, it goes back."""
    give, watch, *_ = side.plan("shift_traffic", **wanted, canary_percent=10, watch_min=5).steps
    fault(preset="bad-model", tier="small")
    assert " 10%" in side.do(give)
    begun = datetime.now(UTC)
    series = ModelSeries(side.clients)

    def answered(model: str) -> tuple[ModelMinute, ...]:
        return series.minutes(give.resource, model, begun, datetime.now(UTC))

    while sum(m.requests for m in answered(wanted["to"])) < LEAST_REQUESTS:
        time.sleep(0.2)
    (old,) = set(give.after) - {wanted["to"]}
    assert sum(m.failed for m in answered(old)) < 0.001 * sum(m.requests for m in answered(old))
    assert answered("7") == ()
    at = datetime.now(UTC)
    loads = dict(Monitoring(side.clients).read_loads(make_specs(), at).by_tier)
    seen = replace(make_snapshot("normal", at), loads=loads, sources=make_sources(at))
    assert health(seen, "small", (), at)[0] is Health.FINE
    watcher = make_appliers(side.clients, lambda: seen).applier(watch.verb)
    short = replace(watch, body=replace(read_watch(watch.body), watch_s=2).text)
    told = rf"{wanted['to']} by its own .* requests: availability.*written back.* 100%.* 0%"
    with pytest.raises(TakenBack, match=told):
        watcher.wait(watcher.start(short), lambda _: None, threading.Event())
