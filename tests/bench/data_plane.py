"""`make bench-data-plane`: what the emulated load balancer adds to a request's time.

The same requests in turn, straight to a small server and through the data plane to it, over kept
connections. GET, so that no simulated pace is added: what is left is the load balancer itself.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

import httpx

from tests.bench.console import machine
from tests.emulator.data_plane.backend import Backend
from tests.processes import start_emulator


def measure(repeats: int) -> tuple[list[float], list[float]]:
    """Milliseconds of each request: straight, and through the load balancer."""
    backend = Backend()
    emulator = start_emulator(
        environment={"HEARTWOOD_SERVING_PORT": str(backend.port)}, own_interpreter=True
    )
    times: tuple[list[float], list[float]] = ([], [])
    try:
        with httpx.Client(timeout=30, trust_env=False) as client:
            for number in range(repeats + 20):  # the first ones open connections
                for found, base in zip(
                    times, (f"http://127.0.0.1:{backend.port}", emulator.lb_url), strict=True
                ):
                    began = time.perf_counter()
                    client.get(f"{base}/v1/models").raise_for_status()
                    if number >= 20:
                        found.append((time.perf_counter() - began) * 1e3)
    finally:
        emulator.stop()
        backend.stop()
    return times


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=500)
    straight, through = measure(parser.parse_args().repeats)
    print(f"Measured on {machine()}; load {os.getloadavg()[0]:.1f}.")
    for name, times in (("straight", straight), ("through the load balancer", through)):
        p95 = statistics.quantiles(times, n=20)[-1]
        print(f"{name}: median {statistics.median(times):.2f} ms, p95 {p95:.2f} ms")
    print(f"added: {statistics.median(through) - statistics.median(straight):.2f} ms at p50")


if __name__ == "__main__":
    main()
