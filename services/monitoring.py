"""Cloud Monitoring: the load of each tier now, its series for charts, and each chip's figures.

Each call to Google is one query over all tiers (`monitoring_queries.py`); its rows are laid on a
grid of steps per tier (`tier_rows.py`). Rates of a tier's parts add up, percentiles come from
merged distributions alone, ratios from sums; a step without a point stays None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from core.errors import OpsError
from core.histograms import Histogram, merge, percentile, quantiles_ms
from core.records import ChipReading, Quantiles, TierLoad
from core.series import UNITS, Series, Signal, Window
from core.specs import PartKind, TierSpec
from services import calls, time_series
from services import monitoring_queries as queries
from services.clients import Clients
from services.monitoring_queries import RECIPES, Distribution, Formula, Owner, Source
from services.tier_rows import Cell, Grid, Inventory, Rows, Tiers, cells, distributions
from services.time_series import Query, Row
from services.vertex import Vertex

# Google's metrics arrive up to four minutes late (load balancing the latest), so the load is read
# off the newest five minutes that have points within the last nine.
LOAD_STEP_S: Final = 60
LOAD_STEPS: Final = 5
_LOAD_GRID_STEPS: Final = 9
# A chip's points are taken each minute and seen up to three minutes later: the newest may lie in
# the step before the last.
_CHIP_STEP_S: Final = 240
_CHIP_STEPS: Final = 2
_GRAIN_S: Final = 10  # so that reads within a moment ask the same question
_NOT_IN_LOAD: Final = (Signal.HOSTS, Signal.SOLVED)
_QUERIES_AT_ONCE: Final = 8

_ChipKey = tuple[str, str, str, str]  # host, chip, name and location of the cluster


@dataclass(frozen=True, slots=True)
class _Newest:
    """The newest steps of each tier's signals."""

    tiers: Tiers
    rows: Rows
    grid: Grid

    def ratio(self, signal: Signal, tier: str) -> float | None:
        formula = RECIPES[signal]
        assert isinstance(formula, Formula)
        found = cells(formula, tier, self.tiers, self.rows, self.grid)
        kept = [found[i] for i in _newest_steps(found)]
        if not kept:
            return None
        top = sum(c.numerator for c in kept)
        if formula.per_s:  # a step without events may have no point at all
            covered = min(LOAD_STEPS, max(found) + 1)  # older steps lie before the grid
            return top / (covered * LOAD_STEP_S)
        return Cell(top, sum(c.denominator for c in kept)).value

    def quantiles(self, signal: Signal, tier: str) -> Quantiles:
        recipe = RECIPES[signal]
        assert isinstance(recipe, Distribution)
        found = distributions(recipe.sources, tier, self.tiers, self.rows, self.grid)
        return quantiles_ms(merge(found[i] for i in _newest_steps(found)))


def _newest_steps(found: Mapping[int, object]) -> list[int]:
    """Of the steps that have data, those within LOAD_STEPS of the newest."""
    newest = max(found, default=0)
    return [i for i in found if i > newest - LOAD_STEPS]


@dataclass(frozen=True, slots=True)
class Loads:
    """What each tier carries, by name, as far as it could be read.

    Every tier has an entry, with None where no data is or where its query failed. `problem` names
    the queries that failed; None: none did.
    """

    by_tier: Mapping[str, TierLoad]
    problem: OpsError | None = None


class Monitoring:
    """Reads time series.

    `known` in the calls tells which pool, TPU VM and endpoint is whose; endpoints that it lacks
    are listed first.
    """

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def read_loads(
        self,
        specs: Sequence[TierSpec],
        now: datetime,
        known: Inventory | None = None,
    ) -> Loads:
        """What each tier carries: a query that fails leaves the others' figures alone.

        Raises:
            OpsError: every query failed.
        """
        end = _floor(now, _GRAIN_S)
        grid = Grid(
            end - timedelta(seconds=LOAD_STEP_S * _LOAD_GRID_STEPS), LOAD_STEP_S, _LOAD_GRID_STEPS
        )
        failed: list[OpsError] = []
        known = known or Inventory()
        try:
            known = self._complete(specs, known)
        except OpsError as error:
            failed.append(error)
        tiers = Tiers(specs, known)
        wanted = [
            s for sig, r in RECIPES.items() if sig not in _NOT_IN_LOAD
            for s in queries.sources_of(r)
        ]  # fmt: skip
        asked = self._asked([*wanted, queries.REPLICAS_VERTEX], tiers)
        rows: dict[Source, Sequence[Row] | None] = {}
        for source, answer in self._fetch(asked, tiers, grid).items():
            if isinstance(answer, OpsError):
                failed.append(answer)
            lost = source.owner is Owner.ENDPOINT and known.endpoints is None
            rows[source] = None if lost or isinstance(answer, OpsError) else answer
        if failed and all(r is None for r in rows.values()):
            raise failed[0]
        newest = _Newest(tiers, rows, grid)
        loads = {s.name: _load(s.name, end, newest) for s in specs}
        return Loads(loads, _together(failed, len(rows)) if failed else None)

    def read_chips(self, specs: Sequence[TierSpec], now: datetime) -> tuple[ChipReading, ...]:
        """The figures of each chip, averaged over the newest four minutes that have points.

        Older than eight minutes they are not.

        `host` is the node's name; of a TPU VM its name and worker as "name/0".

        Raises:
            OpsError: a query failed.
        """
        end = _floor(now, _GRAIN_S)
        kinds = {p.kind for s in specs for p in s.parts}
        gke = bool(kinds & {PartKind.GKE_SINGLE_HOST, PartKind.GKE_MULTI_HOST})
        kept = [i for i, wanted in enumerate((gke, PartKind.TPU_VM in kinds)) if wanted]
        names = (("tensorcore_utilization", 0.01), ("memory_used", 1.0), ("memory_total", 1.0))
        wanted = [
            (name, queries.chip_queries(name, scale)[i]) for name, scale in names for i in kept
        ]

        def read(item: tuple[str, Query]) -> list[Row]:
            start = end - timedelta(seconds=_CHIP_STEP_S * _CHIP_STEPS)
            return time_series.fetch(self._clients, item[1], start, end, _CHIP_STEP_S)

        found: dict[_ChipKey, dict[str, float]] = {}
        answers = calls.in_parallel(read, wanted, _QUERIES_AT_ONCE)
        for (name, _), rows in zip(wanted, answers, strict=True):
            for row in rows:
                if row.numbers:
                    found.setdefault(_chip_key(row), {})[name] = max(row.numbers)[1]
        return tuple(
            ChipReading(
                host=host,
                chip=chip,
                tensorcore_utilisation_ratio=figures.get("tensorcore_utilization"),
                hbm_used_bytes=figures.get("memory_used"),
                hbm_total_bytes=figures.get("memory_total"),
                cluster=cluster,
                cluster_location=location,
            )
            for (host, chip, cluster, location), figures in sorted(found.items())
        )

    def read_series(
        self,
        signal: Signal,
        specs: Sequence[TierSpec],
        window: Window,
        known: Inventory | None = None,
    ) -> list[Series]:
        """One series per tier, in the specs' order; see `read_series_group`."""
        return self.read_series_group((signal,), specs, window, known)[signal]

    def read_series_group(
        self,
        signals: Sequence[Signal],
        specs: Sequence[TierSpec],
        window: Window,
        known: Inventory | None = None,
    ) -> dict[Signal, list[Series]]:
        """Several signals at once: what they share (all percentiles of one latency) is read once.

        Every tier has a series of all steps of the window; a step without data is None.

        Raises:
            OpsError: a query failed.
        """
        grid = Grid(
            window.start,
            window.step_s,
            int((window.end - window.start).total_seconds() // window.step_s),
        )
        tiers = Tiers(specs, self._complete(specs, known or Inventory()))
        asked = self._asked([s for sig in signals for s in queries.sources_of(RECIPES[sig])], tiers)
        rows: dict[Source, Sequence[Row]] = {}
        for source, answer in self._fetch(asked, tiers, grid).items():
            if isinstance(answer, OpsError):
                raise answer
            rows[source] = answer
        ends = grid.ends()
        return {
            signal: [
                Series(
                    tier=spec.name,
                    signal=signal,
                    window=window,
                    times=ends,
                    values=_values(signal, spec.name, tiers, rows, grid),
                    unit=UNITS[signal],
                )
                for spec in specs
            ]
            for signal in signals
        }

    def _complete(self, specs: Sequence[TierSpec], known: Inventory) -> Inventory:
        if known.endpoints is not None:
            return known
        return replace(known, endpoints=Vertex(self._clients).list_endpoints(specs))

    def _asked(self, sources: Sequence[Source], tiers: Tiers) -> list[Source]:
        """Each different source that concerns a tier."""
        return [s for s in dict.fromkeys(sources) if tiers.concerned(s)]

    def _fetch(
        self, sources: Sequence[Source], tiers: Tiers, grid: Grid
    ) -> dict[Source, list[Row] | OpsError]:
        """Rows of each source, or why there are none; several queries at once."""

        def read(source: Source) -> list[Row] | OpsError:
            query = tiers.query(source)
            try:
                return time_series.fetch(self._clients, query, grid.start, grid.end, grid.step_s)
            except OpsError as error:
                return error

        answers = calls.in_parallel(read, sources, _QUERIES_AT_ONCE)
        return dict(zip(sources, answers, strict=True))


def _together(failed: Sequence[OpsError], asked: int) -> OpsError:
    """One error for several queries: of the first one's kind, naming all of them."""
    first = failed[0]
    names = ", ".join(dict.fromkeys(e.resource.removeprefix("monitoring: ") for e in failed))
    return type(first)(
        f"{len(failed)} of {asked} queries failed, and what rests on them is unknown: {names}."
        f" {first.message}",
        resource=first.resource,
        retryable=first.retryable,
        hint=first.hint,
    )


def _floor(at: datetime, grain_s: int) -> datetime:
    """The last whole `grain_s` seconds at or before `at`."""
    seconds = at.timestamp()
    return datetime.fromtimestamp(seconds - seconds % grain_s, tz=at.tzinfo)


def _chip_key(row: Row) -> _ChipKey:
    labels = row.labels
    chip = labels.get("accelerator_id", "")
    if "node_name" in labels:
        cluster = labels.get("cluster_name", "")
        return labels["node_name"], chip, cluster, labels.get("location", "")
    return f"{labels.get('node_id', '')}/{labels.get('worker_id', '')}", chip, "", ""


def _values(
    signal: Signal, tier: str, tiers: Tiers, rows: Rows, grid: Grid
) -> tuple[float | None, ...]:
    recipe = RECIPES[signal]
    if isinstance(recipe, Distribution):
        merged: dict[int, Histogram] = distributions(recipe.sources, tier, tiers, rows, grid)
        return tuple(
            percentile(merged[i], recipe.ratio) if i in merged else None for i in range(grid.steps)
        )
    found = cells(recipe, tier, tiers, rows, grid)
    return tuple(found[i].value if i in found else None for i in range(grid.steps))


def _load(tier: str, end: datetime, newest: _Newest) -> TierLoad:
    replicas = cells(
        Formula((queries.REPLICAS_VERTEX,)), tier, newest.tiers, newest.rows, newest.grid
    )
    return TierLoad(
        tier=tier,
        at=end,
        window_s=float(LOAD_STEP_S * LOAD_STEPS),
        requests_per_s=newest.ratio(Signal.REQUESTS, tier),
        error_ratio=newest.ratio(Signal.ERRORS, tier),
        ttft=newest.quantiles(Signal.TTFT_P50, tier),
        latency=newest.quantiles(Signal.LATENCY_P50, tier),
        prompt_tokens_per_s=newest.ratio(Signal.PROMPT_TOKENS, tier),
        generation_tokens_per_s=newest.ratio(Signal.GENERATION_TOKENS, tier),
        tensorcore_utilisation_ratio=newest.ratio(Signal.TENSORCORE, tier),
        duty_cycle_ratio=newest.ratio(Signal.DUTY_CYCLE, tier),
        hbm_utilisation_ratio=newest.ratio(Signal.HBM, tier),
        requests_running=newest.ratio(Signal.RUNNING, tier),
        requests_waiting=newest.ratio(Signal.WAITING, tier),
        kv_cache_ratio=newest.ratio(Signal.KV_CACHE, tier),
        vertex_replicas=round(replicas[max(replicas)].numerator) if replicas else None,
    )
