"""`make bench`: our inference server beside llama.cpp's, same weights, cores and requests.

Both are up at once and asked in turn, so that whatever else loads the machine meets both; each row
is a median over rounds with its range, and the ratio is the median of the rounds' own ratios.
Starts are timed before that, one server at a time. Prints a table and, with --write, puts it into
docs/benchmarks.md. With --trace a CSV like the Azure LLM inference traces is replayed, scaled down.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil

from serving.checkpoint_path import find_model
from serving.gguf_checkpoint import GgufCheckpoint
from serving.tokenizer import Tokenizer
from tests.bench import replay, serving_loads
from tests.bench.serving_loads import Server
from tests.serving.server_process import ROOT, find_free_port

SLOTS, CONTEXT = 16, 2048
PEER_PYTHON = ROOT / ".venv" / "llama.cpp" / "bin" / "python"
REPORT = ROOT / "docs" / "benchmarks.md"
MARK = "<!-- bench-serving -->"


@dataclass(frozen=True, slots=True)
class Load:
    """One row of the table; `share`: its figure is a ratio by itself, or a time: less is better."""

    name: str
    run: Callable[[Server], Awaitable[float]]
    unit: str
    aim: str
    met: Callable[[float, float], bool]  # our median, median of the ratios to the peer's


def _decode(streams: int, temperature: float = 0.0) -> Callable[[Server], Awaitable[float]]:
    return lambda server: serving_loads.decode(server, streams, temperature)


LOADS = {
    "decode1": Load(
        "decode, 1 stream, greedy", _decode(1), "tokens/s", "≥ 1.0×", lambda _, r: r >= 1
    ),
    "decode1w": Load(
        "decode, 1 stream, temperature 0.8", _decode(1, 0.8), "tokens/s", "–", lambda *_: True
    ),
    "decode8": Load("decode, 8 streams", _decode(8), "tokens/s", "≥ 2.0×", lambda _, r: r >= 2),
    "decode16": Load("decode, 16 streams", _decode(16), "tokens/s", "≥ 2.0×", lambda _, r: r >= 2),
    "prefill": Load(
        "prefill of 512 tokens", serving_loads.prefill, "tokens/s", "≥ 1.0×", lambda _, r: r >= 1
    ),
    "cached": Load(
        "first token with 512 cached ÷ uncached", serving_loads.cached_share, "",
        "≤ 0.05", lambda own, _: own <= 0.05,
    ),
    "cached_ms": Load(
        "first token with 512 cached", serving_loads.cached_ms, "ms",
        "–", lambda *_: True,
    ),
    "gap": Load(
        "worst gap of 4 streams while 1,500 tokens arrive", serving_loads.worst_gap, "ms",
        "≤ 0.25×", lambda _, r: r <= 0.25,
    ),
}  # fmt: skip


@dataclass(slots=True)
class Run:
    """One server process, and what its start took."""

    server: Server
    process: subprocess.Popen[bytes]
    start_s: float
    told: dict[str, str] = field(default_factory=dict)

    def resident_mib(self) -> float:
        """Resident memory now."""
        return psutil.Process(self.process.pid).memory_info().rss / 2**20

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(40)


def _wait(url: str, process: subprocess.Popen[bytes], limit_s: float = 900) -> None:
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args} ended with status {process.returncode}")
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, timeout=2).status_code == 200:
                return
        time.sleep(0.05)
    raise TimeoutError(url)


def start_ours(words: tuple[int, ...], cache: Path) -> Run:
    """Our server with 16 slots of 2,048 tokens; what it keeps for later starts lies in `cache`."""
    port, began = find_free_port(), time.perf_counter()
    flags = ("--port", str(port), "--slots", str(SLOTS), "--max-tokens-context", str(CONTEXT))
    process = subprocess.Popen(
        [sys.executable, "-m", "serving", *flags],
        cwd=ROOT,
        env={**os.environ, "HEARTWOOD_CACHE_DIR": str(cache)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _wait(f"http://127.0.0.1:{port}/ready", process)
    return Run(Server("ours", port, words), process, time.perf_counter() - began)


def start_peer(words: tuple[int, ...], passive: bool) -> Run:
    """llama.cpp's server on the same file, with as many slots of as many tokens."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [
            str(PEER_PYTHON), str(Path(__file__).with_name("llama_cpp.py")),
            str(find_model(None)), str(SLOTS), str(CONTEXT),
        ],
        env=os.environ | ({"OMP_WAIT_POLICY": "passive"} if passive else {}),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    told = json.loads(process.stdout.readline())
    _wait(told["url"] + "/health", process)
    port = int(told["url"].rpartition(":")[2])
    return Run(Server("llama.cpp", port, words), process, time.perf_counter() - began, told)


def read_words() -> tuple[int, ...]:
    """The tokens of ordinary text, without special ones."""
    tokenizer = Tokenizer(GgufCheckpoint(find_model(None)).read_vocabulary())
    return tuple(sorted(set(tokenizer.encode((ROOT / "docs/ARCHITECTURE.md").read_text("utf-8")))))


@dataclass(slots=True)
class Row:
    """The figures of one load, round by round."""

    load: Load
    ours: list[float] = field(default_factory=list)
    peer: list[float] = field(default_factory=list)

    def line(self) -> str:
        """One line of the table."""
        ratios = [a / b for a, b in zip(self.ours, self.peer, strict=True)]
        ratio = statistics.median(ratios)
        met = self.load.met(statistics.median(self.ours), ratio)
        verdict = "" if self.load.aim == "–" else ("met" if met else "**missed**")
        return (
            f"| {self.load.name}, {self.load.unit or 'ratio'} | {_range(self.ours)} | "
            f"{_range(self.peer)} | {ratio:.2f}× ({min(ratios):.2f}–{max(ratios):.2f}) | "
            f"{self.load.aim} | {verdict} |"
        )


def _range(values: list[float]) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    digits = 0 if middle >= 100 else 1 if middle >= 1 else 3
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


async def measure(ours: Run, peer: Run, names: list[str], rounds: int) -> list[Row]:
    """Every load on both servers, in turn; who begins changes with each round."""
    rows = [Row(LOADS[name]) for name in names]
    for number in range(rounds):
        for row in rows:
            sides = [(ours.server, row.ours), (peer.server, row.peer)]
            for server, figures in sides if number % 2 == 0 else reversed(sides):
                figures.append(await row.load.run(server))
                print(
                    f"{number + 1}/{rounds} {row.load.name}: {server.name} {figures[-1]:.3f}",
                    flush=True,
                )
    return rows


def _machine() -> str:
    text = Path("/proc/cpuinfo").read_text("utf-8")
    names = {ln.split(":")[1].strip() for ln in text.splitlines() if ln.startswith("model name")}
    return f"{os.cpu_count()} cores, {' / '.join(names)}, Python {platform.python_version()}"


def _write(lines: list[str]) -> None:
    head, _, rest = REPORT.read_text("utf-8").partition(MARK)
    _, _, tail = rest.partition(MARK)
    body = "\n".join(lines)
    REPORT.write_text(f"{head}{MARK}\n{body}\n{MARK}{tail}", "utf-8")


@contextlib.contextmanager
def _both(
    words: tuple[int, ...], cache: Path, cold: bool, passive: bool
) -> Iterator[tuple[Run, Run, str]]:
    """Both servers up, and a line about how long they took."""
    cold_s = None
    if cold:
        first = start_ours(words, cache)
        cold_s, _ = first.start_s, first.stop()
    ours = start_ours(words, cache)
    try:
        peer = start_peer(words, passive)
        try:
            before = f"{cold_s:.1f} s with an empty cache folder, " if cold_s else ""
            starts = (
                f"{before}{ours.start_s:.1f} s with a filled one; llama.cpp {peer.start_s:.1f} s"
            )
            yield ours, peer, starts
        finally:
            peer.stop()
    finally:
        ours.stop()


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=list(LOADS), default=list(LOADS))
    parser.add_argument("--cache", type=Path, help="a filled cache folder; no cold start is timed")
    parser.add_argument(
        "--trace", type=Path, help="CSV with TIMESTAMP,ContextTokens,GeneratedTokens"
    )
    parser.add_argument(
        "--passive",
        action="store_true",
        help="let llama.cpp's threads sleep while they wait: spinning, it loses ten times as much "
        "to other work on the same cores as we do",
    )
    parser.add_argument("--write", action="store_true", help="update docs/benchmarks.md")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that both servers are ended
    words, load = read_words(), os.getloadavg()[0]
    with contextlib.ExitStack() as held:
        cache = chosen.cache or Path(held.enter_context(tempfile.TemporaryDirectory()))
        ours, peer, starts = held.enter_context(
            _both(words, cache, chosen.cache is None, chosen.passive)
        )
        rows = asyncio.run(measure(ours, peer, chosen.only, chosen.rounds))
        replayed = replay.compare(chosen.trace, (ours.server, peer.server)) if chosen.trace else []
        status = httpx.get(f"http://127.0.0.1:{ours.server.port}/v1/status").json()
        memory = f"{ours.resident_mib():.0f} and {peer.resident_mib():.0f} MiB"
    waits = (
        "Its threads slept while they waited, the machine being busy. " if chosen.passive else ""
    )
    lines = [
        f"Measured {datetime.now(UTC):%Y-%m-%d} on {_machine()}; load {load:.1f} before the start, "
        f"{os.getloadavg()[0]:.1f} at the end. llama.cpp from xllamacpp {peer.told['version']}, "
        f"built with {peer.told['system'].strip(' |')}. {waits}"
        f"{chosen.rounds} rounds: median (range).",
        "",
        "| what | ours | llama.cpp | ratio | aim | |",
        "|---|---|---|---|---|---|",
        *(row.line() for row in rows),
        *replayed,
        "",
        f"Start to ready: {starts}. Resident after all this: {memory}. Compilations after ready: "
        f"{status['compilations_after_ready']}.",
    ]
    print("\n".join(lines))
    if chosen.write:
        _write(lines)


if __name__ == "__main__":
    main()
