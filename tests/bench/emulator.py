"""`make bench-emulator`: how fast the emulator answers for 9,216 chips, and what it takes.

Starts the scenario `full-fleet` by itself, asks over the wires that clients use, prints a table;
with --write it goes into docs/benchmarks.md. Times are a client's: from the call until the whole
answer is there, parsed. With --minutes N it waits so long and asks the same queries again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import psutil
from google.cloud import monitoring_v3
from google.cloud.monitoring_v3.services.metric_service.transports import (
    MetricServiceGrpcTransport,
)

from emulator.scenario import SCENARIOS
from tests.processes import EmulatorProcess, start_emulator

SCENARIO = "full-fleet"
PROJECT = SCENARIOS[SCENARIO].project
REPORT = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
MARK = "<!-- bench-emulator -->"
DAY_S = 86_400
# What a page of the month's cost asks, by day, tier and SKU.
COST_SQL = f"""
SELECT DATE(usage_start_time) AS day,
  IFNULL((SELECT l.value FROM UNNEST(labels) AS l WHERE l.key = @label LIMIT 1), '') AS tier,
  service.description AS service, sku.id AS sku_id, SUM(cost) AS cost,
  SUM(IFNULL((SELECT SUM(c.amount) FROM UNNEST(credits) AS c), 0)) AS credits,
  SUM(usage.amount_in_pricing_units) AS amount, MAX(export_time) AS newest
FROM `{PROJECT.export_table}`
WHERE usage_start_time >= @since GROUP BY day, tier, service, sku_id ORDER BY day, cost DESC
"""
Row = tuple[str, list[float]]


class Asker:
    """The reads, each a call that returns how much came back."""

    def __init__(self, emulator: EmulatorProcess) -> None:
        self._rest = httpx.Client(base_url=emulator.rest_url, timeout=60)
        options = [("grpc.max_receive_message_length", -1)]
        channel = grpc.insecure_channel(emulator.grpc_target, options=options)
        self._metrics = monitoring_v3.MetricServiceClient(
            transport=MetricServiceGrpcTransport(channel=channel)
        )
        cluster = f"{PROJECT.id}/{PROJECT.cluster_location}/{PROJECT.cluster}"
        self._nodes = f"/k8s/{cluster}/api/v1/nodes"

    def close(self) -> None:
        """Close the connections."""
        self._rest.close()
        self._metrics.transport.close()

    def page_of_nodes(self) -> int:
        """The first 500 nodes."""
        return len(self._get(self._nodes, limit="500")["items"])

    def all_nodes(self) -> int:
        """Every node in one answer."""
        return len(self._get(self._nodes)["items"])

    def chips(self) -> int:
        """TensorCore utilisation of every chip, averaged over the last three minutes."""
        return self._series(
            180, 180, "REDUCE_MEAN", ["resource.labels.node_name", "metric.labels.accelerator_id"]
        )

    def month_of_chips(self) -> int:
        """TensorCore utilisation of 30 days by tier, hour by hour."""
        return self._series(
            30 * DAY_S, 3600, "REDUCE_MEAN", ['metadata.user_labels."heartwood-tier"']
        )

    def month_of_cost(self) -> int:
        """30 days of the billing export by day, tier and SKU."""
        since = datetime.fromtimestamp(time.time() - 30 * DAY_S, UTC).isoformat()
        answer = self._rest.post(
            f"/bigquery/v2/projects/{PROJECT.id}/queries",
            json={
                "query": COST_SQL, "useLegacySql": False, "parameterMode": "NAMED",
                "queryParameters": [
                    {"name": "label", "parameterType": {"type": "STRING"},
                     "parameterValue": {"value": "heartwood-tier"}},
                    {"name": "since", "parameterType": {"type": "TIMESTAMP"},
                     "parameterValue": {"value": since}},
                ],
            },
        )  # fmt: skip
        answer.raise_for_status()
        return len(answer.json()["rows"])

    def _get(self, path: str, **query: str) -> Any:
        answer = self._rest.get(path, params=query)
        answer.raise_for_status()
        return json.loads(answer.content)

    def _series(self, seconds: int, period_s: int, reducer: str, fields: list[str]) -> int:
        end = int(time.time()) // 60 * 60
        aggregation = {
            "alignment_period": {"seconds": period_s},
            "per_series_aligner": monitoring_v3.Aggregation.Aligner.ALIGN_MEAN,
            "cross_series_reducer": monitoring_v3.Aggregation.Reducer[reducer],
            "group_by_fields": fields,
        }
        pager = self._metrics.list_time_series(
            request={
                "name": f"projects/{PROJECT.id}",
                "filter": 'metric.type = "kubernetes.io/node/accelerator/tensorcore_utilization"'
                ' AND resource.type = "k8s_node"',
                "interval": {
                    "end_time": {"seconds": end}, "start_time": {"seconds": end - seconds},
                },
                "aggregation": aggregation, "page_size": 100_000,
            },
            retry=None, timeout=60,
        )  # fmt: skip
        return sum(len(type(page).pb(page).time_series) for page in pager.pages)


@dataclass(frozen=True, slots=True)
class Figure:
    """Milliseconds of one read, asked again and again."""

    name: str
    first_ms: float
    times_ms: list[float]
    size: int

    def row(self, later: Figure | None) -> str:
        """One line of the table."""
        p50, p95 = np.percentile(self.times_ms, [50, 95])
        then = f"{np.percentile(later.times_ms, 50):.0f}" if later else "–"
        return f"| {self.name} | {self.first_ms:.0f} | {p50:.0f} | {p95:.0f} | {then} | ≤ 500 |"


def measure(asker: Asker, repeats: int) -> list[Figure]:
    """Every read: once alone, then `repeats` times; in turn, so that none meets only its own."""
    reads: dict[str, Callable[[], int]] = {
        "nodes, a page of 500": asker.page_of_nodes,
        "nodes, all 2,646 in one answer": asker.all_nodes,
        "chip heatmap, a value for each of the chips": asker.chips,
        "30 days of utilisation by tier (Monitoring)": asker.month_of_chips,
        "30 days of cost by day, tier and SKU (BigQuery)": asker.month_of_cost,
    }
    sizes = dict.fromkeys(reads, 0)
    times: dict[str, list[float]] = {name: [] for name in reads}
    for _ in range(repeats + 1):
        for name, read in reads.items():
            began = time.perf_counter()
            sizes[name] = read()
            times[name].append(1000 * (time.perf_counter() - began))
    return [Figure(n, times[n][0], times[n][1:], sizes[n]) for n in reads]


def machine() -> str:
    """One line about where this was measured."""
    text = Path("/proc/cpuinfo").read_text("utf-8")
    names = [ln.split(":")[1].strip() for ln in text.splitlines() if ln.startswith("model name")]
    name = names[0] if names else platform.processor()
    return f"{os.cpu_count()} cores, {name}, Python {platform.python_version()}"


def report(lines: list[str], write: bool) -> None:
    """Print, and with `write` replace the marked part of docs/benchmarks.md."""
    text = "\n".join(lines)
    print(text)
    if write:
        head, _, rest = REPORT.read_text("utf-8").partition(MARK)
        _, _, tail = rest.partition(MARK)
        REPORT.write_text(f"{head}{MARK}\n{text}\n{MARK}{tail}", "utf-8")


def resident_mib(emulator: EmulatorProcess) -> float:
    """Resident memory of the process."""
    return psutil.Process(emulator.process.pid).memory_info().rss / 2**20


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--minutes", type=float, default=0.0, help="ask again so much later")
    parser.add_argument("--write", action="store_true", help="update docs/benchmarks.md")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    began = time.perf_counter()
    emulator = start_emulator(SCENARIO, own_interpreter=True)
    start_s = time.perf_counter() - began
    asker = Asker(emulator)
    try:
        time.sleep(8)  # types that no start waits for are loaded meanwhile
        rest = resident_mib(emulator)
        early = measure(asker, arguments.repeats)
        busy = resident_mib(emulator)
        time.sleep(60 * arguments.minutes)
        late = measure(asker, arguments.repeats) if arguments.minutes else []
        after = resident_mib(emulator)
    finally:
        asker.close()
        emulator.stop()
    when = f"median {arguments.minutes:.0f} min later" if late else "median later"
    lines = [
        f"Measured {datetime.now(UTC):%Y-%m-%d} on {machine()}; load before the start {load:.1f}.",
        "",
        f"| read | first ms | median ms | p95 ms | {when} | aim, p95 |",
        "|---|---|---|---|---|---|",
        *(f.row(late[i] if late else None) for i, f in enumerate(early)),
        "",
        f"Start to the first answer: {start_s:.1f} s. Resident: {rest:.0f} MiB at rest, "
        f"{busy:.0f} MiB after {5 * (arguments.repeats + 1)} reads"
        + (f", {after:.0f} MiB at the end" if late else "")
        + " (aim < 600 MiB). "
        + "Answers: "
        + ", ".join(f"{f.size:,}" for f in early)
        + " items.",
    ]
    report(lines, arguments.write)


if __name__ == "__main__":
    main()
