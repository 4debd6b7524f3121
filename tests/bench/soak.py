"""`make bench-soak`: an hour of black-friday by the clock, with real requests all the while.

Several clients send requests through the emulated load balancer to a small server of this process.
Each minute the emulator is read as a console reads it, its memory is noted and the load balancer's
log entries are taken out, as a sink would. In the end everybody's counts are laid beside each
other: the clients', Monitoring's, the log's and the server's. With --write docs/benchmarks.md gets
the table.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client import Counter as Total

from tests.bench.emulator import REPORT, machine
from tests.emulator.clients import PROJECT
from tests.emulator.data_plane.backend import Backend
from tests.emulator.data_plane.conftest import Balanced
from tests.processes import start_emulator

SCENARIO = "black-friday"
MARK = "<!-- bench-soak -->"
CLIENTS = 6
MINUTE_S = 60
METRICS = "loadbalancing.googleapis.com/https"
Told = Counter[tuple[str, int]]  # requests by backend service and status


def exposition() -> bytes:
    """Metrics of about the size of the inference server's, for the emulator to collect."""
    registry = CollectorRegistry()
    for number in range(12):
        Total(f"soak_{number}", "A counter.", registry=registry).inc(number)
        Histogram(f"soak_{number}_seconds", "A histogram.", registry=registry).observe(number)
    return generate_latest(registry)


@dataclass
class Clients:
    """Requests at random moments, `rate` a second of all clients together; what came of them.

    `silent`: requests that ended without a status.
    """

    url: str
    rate: float
    told: Told = field(default_factory=Counter)
    silent: int = 0

    async def run(self, until_s: float) -> None:
        """Ask until that monotonic time, then wait for what is still on its way."""
        await asyncio.gather(*(self._client(number, until_s) for number in range(CLIENTS)))

    async def _client(self, number: int, until_s: float) -> None:
        chance, due = random.Random(number), time.monotonic()
        limits = httpx.Limits(max_connections=None, keepalive_expiry=2.0)
        async with (
            httpx.AsyncClient(timeout=180, limits=limits, trust_env=False) as client,
            asyncio.TaskGroup() as asking,
        ):
            while due < until_s:
                due += chance.expovariate(self.rate / CLIENTS)
                await asyncio.sleep(max(due - time.monotonic(), 0))
                asking.create_task(self._ask(client, chance.random()))

    async def _ask(self, client: httpx.AsyncClient, kind: float) -> None:
        """Mostly small's, some streams of medium's, a few whose client leaves in their middle."""
        leaves = kind > 0.97
        service, path, body = "hw-small", "/simple/v1/echo", {"count": 0}
        if kind > 0.7:
            service, path = "hw-medium", "/v1/stream"
            body = {"name": "soak", "count": 500 if leaves else 20}  # type: ignore[dict-item]
        status = None
        try:
            async with client.stream("POST", f"{self.url}{path}", json=body) as answer:
                status = answer.status_code
                async for _ in answer.aiter_raw():
                    if leaves:
                        break
        except httpx.TransportError:
            self.silent += status is None
        if status is not None:
            self.told[service, status] += 1


@dataclass
class Watch:
    """What is read of the emulator: `rss_mib` each minute, `logged` by the log's entries.

    `simulated`: the world's own requests by minute, as they were read when it had just ended.
    """

    balanced: Balanced
    began: float
    rss_mib: list[float] = field(default_factory=list)
    logged: Told = field(default_factory=Counter)
    simulated: dict[float, int] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    async def run(self, until_s: float) -> None:
        """Look each minute, in its middle, until that monotonic time."""
        while (now := time.monotonic()) < until_s:
            await asyncio.sleep(min(MINUTE_S - (time.time() + 30) % MINUTE_S, until_s - now))
            await asyncio.to_thread(self.look)

    def look(self) -> None:
        """Read as a console does, take the new entries, note the memory."""
        cluster = f"{PROJECT}/us-central1/hw-serving"
        rest, client = self.balanced.emulator.rest_url, self.balanced.client
        nodes = f"{rest}/k8s/{cluster}/api/v1/nodes"
        client.get(nodes, params={"limit": "500"}).raise_for_status()
        end = time.time() // MINUTE_S * MINUTE_S
        self.series("kubernetes.io/node/accelerator/tensorcore_utilization", end - 180, end,
                    "ALIGN_MEAN")  # fmt: skip
        self.simulated[end] = self.whole(end - MINUTE_S, end, ours=False).total()
        self.take_entries()
        process = psutil.Process(self.balanced.emulator.process.pid)
        self.rss_mib.append(process.memory_info().rss / 2**20)

    def take_entries(self) -> None:
        """The load balancer's entries of the last minutes that are not counted yet."""
        since = datetime.fromtimestamp(time.time() - 3 * MINUTE_S, UTC).isoformat()
        body: dict[str, Any] = {
            "resourceNames": [f"projects/{PROJECT}"], "pageSize": 1000,
            "filter": f'resource.type="http_load_balancer" AND timestamp>="{since}"',
        }  # fmt: skip
        fresh: set[str] = set()
        while True:
            url = f"{self.balanced.emulator.rest_url}/logging/v2/entries:list"
            page = self.balanced.client.post(url, json=body).raise_for_status().json()
            for entry in page.get("entries", []):
                fresh.add(entry["insertId"])
                if entry["insertId"] not in self._seen:
                    service = entry["resource"]["labels"]["backend_service_name"]
                    self.logged[service, entry["httpRequest"]["status"]] += 1
            if not (token := page.get("nextPageToken")):
                break
            body["pageToken"] = token
        self._seen = fresh

    def whole(self, start: float, end: float, *, ours: bool, prefix: str = "") -> Told:
        """Sums of the request counts in whole minutes; `ours`: of those that were carried."""
        told: Told = Counter()
        country = 'metric.labels.client_country="Unknown"'
        for one in self.series(
            f"{METRICS}/{prefix}request_count", start, end, "ALIGN_DELTA",
            f"{country}" if ours else f"NOT {country}",
            "metric.labels.response_code", "resource.labels.backend_target_name",
        ):  # fmt: skip
            status = int(one["metric"]["labels"]["response_code"])
            service = one["resource"]["labels"]["backend_target_name"]
            told[service, status] += sum(int(p["value"]["int64Value"]) for p in one["points"])
        return told

    def series(
        self, metric: str, start: float, end: float, aligner: str, condition: str = "", *by: str
    ) -> list[Any]:
        """Series of a metric over one period from `start` to `end`, summed up `by` labels."""
        params: dict[str, Any] = {
            "filter": f'metric.type="{metric}"' + (f" AND {condition}" if condition else ""),
            "interval.startTime": datetime.fromtimestamp(start, UTC).isoformat(),
            "interval.endTime": datetime.fromtimestamp(end, UTC).isoformat(),
            "aggregation.alignmentPeriod": f"{end - start:.0f}s",
            "aggregation.perSeriesAligner": aligner,
            "aggregation.crossSeriesReducer": "REDUCE_SUM" if by else "REDUCE_NONE",
            "aggregation.groupByFields": list(by),
        }
        url = f"{self.balanced.emulator.rest_url}/monitoring/v3/projects/{PROJECT}/timeSeries"
        answer = self.balanced.client.get(url, params=params).raise_for_status()
        return list(answer.json().get("timeSeries", []))


def measure(minutes: float, rate: float) -> list[str]:
    """Run it; returns the report's lines."""
    load, backend = os.getloadavg()[0], Backend(exposition())
    with tempfile.TemporaryDirectory() as folder:
        emulator = start_emulator(
            SCENARIO, arguments=("--state-dir", str(Path(folder) / "state")),
            environment={"HEARTWOOD_SERVING_PORT": str(backend.port), "MALLOC_ARENA_MAX": "2"},
            own_interpreter=True,
        )  # fmt: skip
        with httpx.Client(timeout=120, trust_env=False) as client:
            balanced = Balanced(emulator, emulator.lb_url, backend, client)
            for tier in ("small", "medium"):
                log = {"logConfig": {"enable": True, "sampleRate": 1}}
                balanced.patch(f"backendServices/hw-{tier}", log)
            try:
                return asyncio.run(_measured(balanced, minutes, rate, load))
            finally:
                emulator.stop()
                backend.stop()


async def _measured(balanced: Balanced, minutes: float, rate: float, load: float) -> list[str]:
    await asyncio.sleep(MINUTE_S - time.time() % MINUTE_S)  # whole minutes are simplest to compare
    watch, clients = Watch(balanced, time.time()), Clients(balanced.url, rate)
    watch.look()
    until_s = time.monotonic() + minutes * MINUTE_S
    await asyncio.gather(clients.run(until_s), watch.run(until_s))
    await asyncio.sleep(MINUTE_S + 2 - time.time() % MINUTE_S)  # a minute is told once it has ended
    watch.take_entries()
    used = psutil.Process(balanced.emulator.process.pid).cpu_times()
    head = (
        f"Measured {datetime.now(UTC):%Y-%m-%d} on {machine()}; {minutes:.0f} minutes, "
        f"{rate:g} requests a second of {CLIENTS} clients, load before the start {load:.1f}."
    )
    spent = f"Processor time of the emulator: {used.user + used.system:.0f} s in all."
    return [head, "", *_sums(balanced, watch, clients), "", *_memory(watch), spent]


def _sums(balanced: Balanced, watch: Watch, clients: Clients) -> list[str]:
    start, end = watch.began // MINUTE_S * MINUTE_S, time.time() // MINUTE_S * MINUTE_S
    metric = watch.whole(start, end, ours=True)
    behind = watch.whole(start, end, ours=True, prefix="backend_")
    rows = [
        f"| {key[0]} | {key[1]} | {clients.told[key]:,} | {metric[key]:,} | {behind[key]:,} "
        f"| {watch.logged[key]:,} |"
        for key in sorted(clients.told | metric | behind | watch.logged)
    ]
    served = sum(count for (_, status), count in clients.told.items() if status == 200)
    reached = sum(path != "/metrics" for path, _ in balanced.backend.seen)
    told, logged = clients.told == metric, clients.told == watch.logged
    same = "the same" if told and logged else "**not the same**"
    return [
        "| backend service | status | clients | `request_count` | `backend_request_count` | log |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
        f"Clients, Monitoring and log: {same}. Answers 200: {served:,}; requests that reached the "
        f"server: {reached:,}. Without a status: {clients.silent}. " + _steadiness(watch),
    ]


def _steadiness(watch: Watch) -> str:
    """Whether the simulated requests of the minutes, read as they went by, add up to the whole."""
    ends = watch.simulated
    whole = watch.whole(min(ends) - MINUTE_S, max(ends), ours=False).total()
    return (
        f"Simulated requests of {len(ends)} minutes: {sum(ends.values()):,} read minute by minute, "
        f"{whole:,} read as a whole in the end."
    )


def _memory(watch: Watch) -> list[str]:
    """Resident memory of the emulator over time."""
    step = max(len(watch.rss_mib) // 6, 1)
    shown = watch.rss_mib[::step]
    cells = " | ".join(f"{mib:.0f}" for mib in shown)
    heads = " | ".join(str(n * step) for n in range(len(shown)))
    return [
        f"| minute | {heads} |", "|---" * (len(shown) + 1) + "|",
        f"| emulator, resident MiB | {cells} |", "",
    ]  # fmt: skip


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=5.0, help="requests a second of all clients")
    parser.add_argument("--write", action="store_true", help="update docs/benchmarks.md")
    arguments = parser.parse_args()
    text = "\n".join(measure(arguments.minutes, arguments.rate))
    print(text)
    if arguments.write:
        head, _, rest = REPORT.read_text("utf-8").partition(MARK)
        _, _, tail = rest.partition(MARK)
        REPORT.write_text(f"{head}{MARK}\n{text}\n{MARK}{tail}", "utf-8")


if __name__ == "__main__":
    main()
