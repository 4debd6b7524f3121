"""`make bench-console`: how fast the console is, beside Streamlit's own template dashboard.

One run on one machine: the peer (`dashboard-compute`, which lies in the streamlit package) and
Heartwood alternate in the same browser, each load in a fresh browser context. Prints a table and,
with --write, puts it into docs/benchmarks.md. Also reports the memory of the three processes; with
--minutes N it leaves the stack running that long with one browser open and reports it again.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
import streamlit

from tests.bench.browser import click_and_settle, open_and_settle, open_until, page

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PEER = (
    Path(streamlit.__file__).parent
    / ".agents/skills/developing-with-streamlit/assets/templates/apps/dashboard-compute"
    / "streamlit_app.py"
)
REPORT = ROOT / "docs" / "benchmarks.md"
MARK = "<!-- bench-console -->"
CHIPS = "[data-testid=chip-map][data-cells]"


@dataclass(frozen=True, slots=True)
class Measured:
    """Milliseconds of repeated loads of one thing."""

    name: str
    times_ms: tuple[float, ...]

    @property
    def median_ms(self) -> float:
        """Median."""
        return statistics.median(self.times_ms)

    def row(self, peer: Measured | None, aim: str) -> str:
        """One line of the table."""
        spread = f"{min(self.times_ms):.0f}–{max(self.times_ms):.0f}"
        ratio = f"{self.median_ms / peer.median_ms:.2f}×" if peer else "–"
        return f"| {self.name} | {self.median_ms:.0f} | {spread} | {ratio} | {aim} |"


def free_port() -> int:
    """A TCP port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, limit_s: float, child: subprocess.Popen[bytes]) -> None:
    """Return once the URL answers 200; TimeoutError after the limit, RuntimeError if it ended."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if child.poll() is not None:
            raise RuntimeError(f"{child.args} ended with status {child.returncode}")
        try:
            if httpx.get(url, timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            pass  # not up yet: the loop's limit decides
        time.sleep(0.2)
    raise TimeoutError(f"{url} did not answer within {limit_s:.0f} s")


@contextmanager
def process(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A child in its own process group, stopped at the end."""
    child = subprocess.Popen(
        command, cwd=ROOT, env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield child
    finally:
        with suppress(ProcessLookupError):  # it ended by itself
            os.killpg(child.pid, signal.SIGTERM)
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)


@contextmanager
def peer() -> Iterator[str]:
    """Streamlit's template dashboard; yields its URL."""
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(PEER), "--server.headless=true",
               f"--server.port={port}", "--server.address=127.0.0.1",
               "--browser.gatherUsageStats=false"]  # fmt: skip
    with process(command, dict(os.environ)) as child:
        wait_for(f"http://127.0.0.1:{port}/_stcore/health", 60, child)
        yield f"http://127.0.0.1:{port}/"


@contextmanager
def heartwood(scenario: str, data_dir: Path) -> Iterator[tuple[str, int]]:
    """The whole product through its supervisor; yields the console's URL and its own pid."""
    ports = {
        name: free_port() for name in ("CONSOLE", "SERVING", "EMULATOR", "EMULATOR_GRPC", "LB")
    }
    environment = {
        **os.environ,
        **{f"HEARTWOOD_{name}_PORT": str(port) for name, port in ports.items()},
        "HEARTWOOD_DATA_DIR": str(data_dir),
    }
    command = [sys.executable, "-m", "control.run", "--scenario", scenario]
    with process(command, environment) as child:
        wait_for(f"http://127.0.0.1:{ports['SERVING']}/ready", 300, child)
        wait_for(f"http://127.0.0.1:{ports['CONSOLE']}/healthz", 60, child)
        yield f"http://127.0.0.1:{ports['CONSOLE']}/", child.pid


def loads(url: str) -> float:
    """One load of a page in a fresh browser, ms."""
    with page() as tab:
        return open_and_settle(tab, url)


def draws(url: str, selector: str) -> float:
    """One load in a fresh browser until that part of the page is drawn, ms."""
    with page() as tab:
        return open_until(tab, url, selector)


def switches(url: str, repeats: int, name: str, titles: tuple[str, str]) -> Measured:
    """Going to the first page inside the app and back to the second, ms of the first's."""
    times: list[float] = []
    with page() as tab:
        open_and_settle(tab, url)
        for _ in range(repeats + 1):  # the first round fetches the page's scripts
            there, _back = (
                click_and_settle(tab, f'[data-testid$="NavLink"]:has-text("{title}")')
                for title in titles
            )
            times.append(there)
    return Measured(name, tuple(times[1:]))


def memory(supervisor: int) -> dict[str, float]:
    """Resident MiB of each of the supervisor's children, with their own children, by role."""
    found: dict[str, float] = {}
    for child in psutil.Process(supervisor).children():
        line = " ".join(child.cmdline())
        role = next((r for r in ("emulator", "serving", "streamlit") if r in line), line[:40])
        total = sum(p.memory_info().rss for p in (child, *child.children(recursive=True)))
        found[role] = total / 2**20
    return found


def repeat(repeats: int, *makers: Callable[[], float]) -> list[tuple[float, ...]]:
    """Call each in turn, `repeats` times round, after one round that is thrown away."""
    rounds = [[make() for make in makers] for _ in range(repeats + 1)][1:]
    return [tuple(column) for column in zip(*rounds, strict=True)]


def machine() -> str:
    """One line about where this was measured."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")), platform.processor(),
    )  # fmt: skip
    python = platform.python_version()
    return f"{os.cpu_count()} cores, {model}, Python {python}, Streamlit {streamlit.__version__}"


def report(lines: list[str], write: bool) -> None:
    """Print, and with `write` replace the marked part of docs/benchmarks.md."""
    text = "\n".join(lines)
    print(text)
    if write:
        old = REPORT.read_text(encoding="utf-8")
        head, _, rest = old.partition(MARK)
        _, _, tail = rest.partition(MARK)
        REPORT.write_text(f"{head}{MARK}\n{text}\n{MARK}{tail}", encoding="utf-8")


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=0.0, help="soak with one browser open")
    parser.add_argument("--write", action="store_true", help="update docs/benchmarks.md")
    parser.add_argument("--data-dir", type=Path, default=ROOT / ".heartwood" / "bench")
    arguments = parser.parse_args()
    lines = [f"Measured {datetime.now(UTC):%Y-%m-%d} on {machine()}.", ""]
    with peer() as peer_url, heartwood("full-fleet", arguments.data_dir) as (url, supervisor):
        time.sleep(15)  # the first reads of every source: a console in use is warm
        theirs, ours, fleet, drawn = repeat(
            arguments.repeats,
            lambda: loads(peer_url),
            lambda: loads(url),
            lambda: loads(f"{url}fleet?tier=large"),
            lambda: draws(f"{url}fleet?tier=large", CHIPS),
        )
        base = Measured("Streamlit's template `dashboard-compute`", theirs)
        inside = [
            switches(url, arguments.repeats, f"switch to {name} inside the app", (name, back))
            for name, back in (("Traffic", "Overview"), ("Overview", "Cost"))
        ]
        chips = switches(
            f"{url}?tier=large",
            arguments.repeats,
            "switch to Fleet with 9,216 chips inside the app",
            ("Fleet", "Overview"),
        )
        lines += [
            "| what | median ms | range ms | to the peer | aim |",
            "|---|---|---|---|---|",
            base.row(None, "the peer"),
            Measured("Overview with all its data", ours).row(base, "≤ 1.2×"),
            *(one.row(None, "< 800 ms") for one in inside),
            chips.row(None, "< 2,000 ms"),
            Measured("picture of 9,216 chips drawn, Fleet opened by its address", drawn).row(
                None, "< 2,000 ms"
            ),
            Measured("that page with its tables, settled", fleet).row(None, "–"),
            "",
            "| process | resident MiB at rest | aim |",
            "|---|---|---|",
        ]
        aims = {"serving": "< 1,500", "emulator": "< 600", "streamlit": "< 600"}
        lines += [
            f"| {n} | {mib:.0f} | {aims.get(n, '')} |" for n, mib in memory(supervisor).items()
        ]
        if arguments.minutes:
            with page() as tab:
                open_and_settle(tab, url)
                time.sleep(arguments.minutes * 60)
                after = memory(supervisor)
            figures = ", ".join(f"{n} {mib:.0f} MiB" for n, mib in after.items())
            lines += ["", f"After {arguments.minutes:.0f} minutes with a browser open: {figures}."]
    report(lines, arguments.write)


if __name__ == "__main__":
    main()
