"""What Monitoring tells of requests that the data plane carried."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from emulator.apis.monitoring import align
from emulator.apis.monitoring.block import Block, DistributionBlock
from emulator.apis.monitoring.carried import COUNTRY, Way, carried_of
from emulator.apis.monitoring.distributions import percentile
from emulator.apis.monitoring.sources import load_balancer
from emulator.apis.monitoring.telemetry import Telemetry
from emulator.apis.monitoring.windows import windows
from emulator.clock import Clock
from emulator.context import Cloud
from emulator.scenario import SCENARIOS
from emulator.settings import Settings

BEGAN = 1_790_000_040.0  # a whole minute
HOUR_S = 3600.0
requests = st.lists(
    st.tuples(st.floats(0, HOUR_S - 61), st.sampled_from([200, 502, 503]), st.floats(0.1, 1e5)),
    max_size=60,
)


def way(status: int) -> Way:
    """A request to small's service that ended so; a 503 found nobody to ask."""
    group = "" if status == 503 else "projects/p/zones/us-central1-c/networkEndpointGroups/g"
    return Way("rule", "proxy", "map", "/simple/*", "hw-small", group, "HTTP/1.1", status)


@given(requests)
def test_sums_are_what_was_counted(made: list[tuple[float, int, float]]) -> None:
    """Whenever requests came: the sums by status are theirs, once their minutes have ended."""
    now = [BEGAN]
    cloud = Cloud(Settings(), SCENARIOS["normal"], Clock(BEGAN, wall=lambda: now[0]))
    carried, telemetry = carried_of(cloud), Telemetry(cloud)
    for after_s, status, ms in sorted(made):
        now[0] = BEGAN + after_s
        carried.add(way(status), ms, None if status == 503 else ms / 2)
    now[0] = BEGAN + HOUR_S
    whole = windows(BEGAN, BEGAN + HOUR_S, HOUR_S, now[0])
    told = Counter(status for _, status, _ in made)
    asked = Counter({status: count for status, count in told.items() if status != 503})
    for prefix, expected in (("", told), ("backend_", asked)):
        found: Counter[int] = Counter()
        for block in load_balancer.count_blocks(telemetry, f"{prefix}request_count"):
            for row in range(block.labels.size):
                if label(block, "client_country", row) == COUNTRY:
                    grown = align.align_growth(block, whole)[row, 0]
                    found[int(label(block, "response_code", row))] += grown
        assert found == expected


def test_latencies_are_those_of_the_requests() -> None:
    """Both distributions, each in Google's buckets; nothing of a minute that has not ended."""
    now = [BEGAN]
    cloud = Cloud(Settings(), SCENARIOS["normal"], Clock(BEGAN, wall=lambda: now[0]))
    carried, telemetry = carried_of(cloud), Telemetry(cloud)
    for _ in range(10):
        carried.add(way(200), 3000.0, 1000.0)
    for passed_s, events in ((59.0, 0), (60.0, 10)):
        now[0] = BEGAN + passed_s
        whole = windows(BEGAN - 60, BEGAN + 60, 120.0, now[0])
        for name, ms in (("total_latencies", 3000.0), ("backend_latencies", 1000.0)):
            (block,) = (b for b in load_balancer.latency_blocks(telemetry, name)
                        if label(b, "client_country", 0) == COUNTRY)  # fmt: skip
            found = align.align_distribution(block, whole)
            assert found.counts.sum() == events
            if events:
                assert found.sums.sum() / events == ms
                assert ms / 1.4 < percentile(found, 50)[0, 0] < ms * 1.4


def label(block: Block | DistributionBlock, name: str, row: int) -> str:
    """Of one series."""
    return block.labels.columns[f"metric.{name}"].at(row)
