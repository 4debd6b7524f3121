"""The series of models on a Vertex endpoint: each its own, together what the part carries."""

from __future__ import annotations

import pytest

from emulator.apis.monitoring import align
from emulator.apis.monitoring.sources import vertex
from emulator.apis.monitoring.telemetry import Telemetry
from emulator.apis.monitoring.windows import windows
from emulator.apis.vertex.model import numeric_id
from emulator.clock import Clock
from emulator.context import Cloud
from emulator.log import Change
from emulator.scenario import SCENARIOS
from emulator.settings import Settings
from emulator.world.incidents import FAULT_BEGAN
from emulator.world.models import told

BEGAN = 1_790_000_040.0  # a whole minute
OLD, NEW = numeric_id("deployment", "small"), "7302"
SPLIT_AT = BEGAN + 30.0  # in the middle of a minute
TEN = windows(BEGAN - 300.0, BEGAN + 300.0, 300.0, BEGAN + 400.0)


def series(cloud: Cloud, name: str, code: str = "") -> dict[str, list[float]]:
    """Values of a metric before and after BEGAN, by model."""
    found: dict[str, list[float]] = {}
    counts = name.endswith("_count") and name != "machine_count"
    telemetry = Telemetry(cloud)
    for block in (vertex.count_blocks if counts else vertex.gauge_blocks)(telemetry, name):
        columns = block.labels.columns
        if code and columns["metric.response_code"].at(0) != code:
            continue
        aligned = (
            align.align_growth(block, TEN)
            if counts
            else align.align_gauge(block, TEN, "ALIGN_MEAN")
        )
        found[columns["metric.deployed_model_id"].at(0)] = [float(v) for v in aligned[0]]
    return found


def at_once(*changes: Change) -> Cloud:
    """A project in whose log these changes are."""
    cloud = Cloud(Settings(), SCENARIOS["normal"], Clock(BEGAN - 900, wall=lambda: BEGAN + 400.0))
    for change in changes:
        cloud.log.append(change)
    return cloud


def test_each_model_has_its_share_and_its_own_errors() -> None:
    """A tenth from the middle of a minute on; failures of the one alone; sums as before."""
    deployed = Change(
        BEGAN, "vertex.deployed_model.deployed", "e", "small",
        {"before": 0, "after": 4, "deployed_model": NEW, **told({OLD: 100}, (OLD, NEW))},
    )  # fmt: skip
    split = Change(
        SPLIT_AT, "vertex.endpoint.updated", "e", "small", told({OLD: 90, NEW: 10}, (OLD, NEW))
    )
    bad = Change(
        BEGAN, FAULT_BEGAN, f"models/{NEW}", "small",
        {"fault": "f", "incident": "bad_model", "part": "small/vertex", "target": None,
         "model": NEW, "start": BEGAN + 20.0, "end": None},
    )  # fmt: skip
    more = Change(BEGAN, deployed.kind, "e", "small", {"before": 0, "after": 4})
    alone, two, hurt = at_once(more), at_once(deployed, split), at_once(deployed, split, bad)
    (before, total), *others = series(alone, "response_count", "2xx").values()
    assert not others
    found = series(two, "response_count", "2xx")
    assert found[NEW] == [0.0, pytest.approx(0.1 * 270 / 300 * total, rel=0.01)]
    assert found[OLD] == [before, pytest.approx(total - found[NEW][1], rel=1e-9)]
    failed, usual = series(hurt, "response_count", "5xx"), series(two, "response_count", "5xx")
    assert failed[OLD] == usual[OLD]
    assert failed[NEW][1] - usual[NEW][1] == pytest.approx(0.02 * found[NEW][1], rel=0.01)
    replicas = series(two, "replicas")
    assert replicas[OLD] == [16.0, pytest.approx(16.0)]
    assert replicas[NEW] == [pytest.approx(float("nan"), nan_ok=True), pytest.approx(4.0)]
