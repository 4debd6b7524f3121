"""The local tier's series: measured samples of the real inference server, never made up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from emulator.apis.monitoring.block import SampledBlock
from emulator.apis.monitoring.catalogue import CUMULATIVE, DISTRIBUTION, DOUBLE, GAUGE, Metric
from emulator.apis.monitoring.columns import Table, table
from emulator.apis.monitoring.sources.servers import JOB
from emulator.context import Cloud
from emulator.world.noise import Floats
from emulator.world.scrape import Family, Histogram, Labels, Sample, Scraper

PREFIX: Final = "prometheus.googleapis.com/"
NAMESPACE: Final = "local"
CLUSTER: Final = "local-host"


class LocalMetrics:
    """Series out of a scraper's samples."""

    def __init__(self, cloud: Cloud, scraper: Scraper, instance: str) -> None:
        self._cloud = cloud
        self._scraper = scraper
        self._instance = instance

    def metrics(self) -> dict[str, Metric]:
        """The metric types that the server has shown, by name."""
        samples = self._scraper.samples()
        if not samples:
            return {}
        return {m.type: m for f in samples[-1].families.values() if (m := _metric(f))}

    def blocks(self, metric_type: str) -> list[SampledBlock]:
        """The server's series of the type; [] when it never showed it."""
        if not metric_type.startswith(PREFIX):
            return []
        name, _, kind = metric_type.removeprefix(PREFIX).rpartition("/")
        samples = [s for s in self._scraper.samples() if _is(s, name, kind)]
        if not samples:
            return []
        keys = list(dict.fromkeys(k for s in samples for k in s.families[name].values))
        return [self._block(name, kind, samples, keys)] if keys else []

    def _block(
        self, name: str, kind: str, samples: Sequence[Sample], keys: Sequence[Labels]
    ) -> SampledBlock:
        labels = dict.fromkeys(k for key in keys for k, _ in key)
        columns = table(
            len(keys),
            resource={
                "project_id": self._cloud.project.id, "location": self._cloud.project.region,
                "cluster": CLUSTER, "namespace": NAMESPACE, "job": JOB,
                "instance": self._instance,
            },
            metric={label: [dict(key).get(label, "") for key in keys] for label in labels},
        )  # fmt: skip
        times = np.array([s.at for s in samples])
        if kind == "histogram":
            return _histogram_block(name, columns, times, samples, keys)
        values = np.array(
            [[_number(s.families[name], key) for key in keys] for s in samples], dtype=np.float64
        )
        return SampledBlock("prometheus_target", columns, times, values)


def _is(sample: Sample, name: str, kind: str) -> bool:
    return name in sample.families and sample.families[name].kind == kind


def _number(family: Family, key: Labels) -> float:
    value = family.values.get(key)
    return value if isinstance(value, float | int) else float("nan")


def _histogram_block(
    name: str, columns: Table, times: Floats, samples: Sequence[Sample], keys: Sequence[Labels]
) -> SampledBlock:
    newest = next(
        h for s in reversed(samples) for h in s.families[name].values.values()
        if isinstance(h, Histogram)
    )  # fmt: skip
    bounds = newest.bounds
    values = np.full((len(samples), len(keys), len(bounds)), np.nan)
    sums = np.full((len(samples), len(keys)), np.nan)
    for row, sample in enumerate(samples):
        for column, key in enumerate(keys):
            found = sample.families[name].values.get(key)
            if isinstance(found, Histogram) and found.bounds == bounds:
                values[row, column] = np.diff(found.cumulative, prepend=0.0)
                sums[row, column] = found.total
    return SampledBlock("prometheus_target", columns, times, values, np.array(bounds[:-1]), sums)


def _metric(family: Family) -> Metric | None:
    if not family.values:
        return None
    labels = dict.fromkeys(k for key in family.values for k, _ in key)
    return Metric(
        type=f"{PREFIX}{family.name}/{family.kind}",
        kind=GAUGE if family.kind == "gauge" else CUMULATIVE,
        value_type=DISTRIBUTION if family.kind == "histogram" else DOUBLE,
        unit="1",
        title=f"prometheus/{family.name}/{family.kind}",
        description=family.text,
        resources=("prometheus_target",),
        labels=tuple((label, "STRING") for label in labels),
        source=None,
        short=family.name,
    )
