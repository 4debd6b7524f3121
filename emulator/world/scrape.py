"""Reads the real inference server's /metrics as a managed collector does, and remembers a while.

What was not measured stays a gap: nothing is made up for times without a server. Samples live in
memory only, in a ring of bounded length.
"""

from __future__ import annotations

import logging
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

INTERVAL_S: Final = 10.0
KEPT: Final = 8 * 360  # eight hours of samples
TIMEOUT_S: Final = 5.0
_MOST_BYTES: Final = 4_000_000
_LOG = logging.getLogger("emulator")

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Histogram:
    """Running counts at or below each bound (the last is infinity), and the running sum."""

    bounds: tuple[float, ...]
    cumulative: tuple[float, ...]
    total: float


@dataclass(frozen=True, slots=True)
class Family:
    """One metric at one time: "gauge", "counter" or "histogram"; values by labels."""

    name: str
    kind: str
    text: str
    values: Mapping[Labels, float | Histogram]


@dataclass(frozen=True, slots=True)
class Sample:
    """One scrape: Unix seconds, and what it held, by metric name."""

    at: float
    families: Mapping[str, Family]


class Scraper:
    """Scrapes a URL every ten seconds on its own thread."""

    def __init__(self, url: str, clock: Callable[[], float] = time.time) -> None:
        self.url = url
        self._clock = clock
        self._samples: deque[Sample] = deque(maxlen=KEPT)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failing = False

    def samples(self) -> tuple[Sample, ...]:
        """All that is remembered, oldest first."""
        return tuple(self._samples)

    def start(self) -> None:
        """Begin to scrape."""
        self._thread = threading.Thread(target=self._loop, name="scraper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._stop.set()
        if self._thread:
            self._thread.join(timeout=TIMEOUT_S + 1)

    def scrape(self) -> bool:
        """Take one sample; False when the server did not answer."""
        try:
            with urllib.request.urlopen(self.url, timeout=TIMEOUT_S) as answer:
                text = answer.read(_MOST_BYTES).decode("utf-8", "replace")
            fresh = parse(text)
            if self._samples:
                fresh = shared(fresh, self._samples[-1].families)
            self._samples.append(Sample(self._clock(), fresh))
        except (OSError, ValueError) as error:
            if not self._failing:
                _LOG.info("no metrics at %s: %s", self.url, error)
            self._failing = True
            return False
        if self._failing:
            _LOG.info("metrics at %s are back", self.url)
        self._failing = False
        return True

    def _loop(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            self.scrape()
            self._stop.wait(max(INTERVAL_S - (time.monotonic() - began), 0.1))


def parse(text: str) -> dict[str, Family]:
    """Prometheus text → families by exported name (a counter's ends in _total).

    Raises:
        ValueError: it is no Prometheus text.
    """
    found: dict[str, Family] = {}
    for family in text_string_to_metric_families(text):
        if family.type == "histogram":
            found[family.name] = Family(family.name, "histogram", family.documentation,
                                        _histograms(family.samples))  # fmt: skip
        elif family.type == "counter":
            name = f"{family.name}_total"
            found[name] = Family(name, "counter", family.documentation,
                                 {_key(s.labels): s.value for s in family.samples
                                  if s.name == name})  # fmt: skip
        elif family.type == "gauge":
            found[family.name] = Family(family.name, "gauge", family.documentation,
                                        {_key(s.labels): s.value for s in family.samples
                                         })  # fmt: skip
    return found


def shared(fresh: Mapping[str, Family], before: Mapping[str, Family]) -> dict[str, Family]:
    """The same families, made of the objects of an earlier sample wherever nothing differs.

    Hours of samples of a server that mostly rests would else hold the same numbers over and over.
    """
    found: dict[str, Family] = {}
    for name, family in fresh.items():
        old = before.get(name)
        if old is None or old == family:
            found[name] = old or family
            continue
        keys = {key: key for key in old.values}
        values = {keys.get(k, k): _alike(v, old.values.get(k)) for k, v in family.values.items()}
        found[name] = Family(old.name, family.kind, old.text, values)
    return found


def _alike(value: float | Histogram, old: float | Histogram | None) -> float | Histogram:
    """The old value if it is the same, or a histogram with the old one's bounds."""
    if old == value:
        return old
    if isinstance(value, Histogram) and isinstance(old, Histogram) and old.bounds == value.bounds:
        return replace(value, bounds=old.bounds)
    return value


def _key(labels: Mapping[str, str], without: str = "") -> Labels:
    return tuple(sorted((k, v) for k, v in labels.items() if k != without))


def _histograms(samples: list[object]) -> dict[Labels, Histogram]:
    buckets: dict[Labels, dict[float, float]] = {}
    sums: dict[Labels, float] = {}
    for sample in samples:
        name: str = sample.name  # type: ignore[attr-defined] # the parser's samples are untyped
        labels: dict[str, str] = sample.labels  # type: ignore[attr-defined]
        value: float = sample.value  # type: ignore[attr-defined]
        key = _key(labels, "le")
        if name.endswith("_bucket"):
            buckets.setdefault(key, {})[float(labels["le"])] = value
        elif name.endswith("_sum"):
            sums[key] = value
    return {
        key: Histogram(
            tuple(sorted(found)), tuple(found[b] for b in sorted(found)), sums.get(key, 0.0)
        )
        for key, found in buckets.items()
        if found
    }
