"""Whose a time series is, and its points on a grid of steps: rows of Monitoring → cells per tier.

Pure. Which rows are asked for is `monitoring_queries.py`'s, reading them `time_series.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from core.histograms import Histogram, merge
from core.ownership import owner
from core.records import Endpoint
from core.specs import PartKind, TierSpec
from services.monitoring_queries import Formula, Owner, Source
from services.time_series import Row

_FAILED_REASON: Final = "error"  # vLLM's finished_reason of a request that failed

Rows = Mapping[Source, Sequence[Row]]


@dataclass(frozen=True, slots=True)
class Grid:
    """`steps` steps of `step_s` seconds after `start`; step i ends at start + (i + 1) × step_s."""

    start: datetime
    step_s: int
    steps: int

    @property
    def end(self) -> datetime:
        """End of the last step."""
        return self.start + timedelta(seconds=self.step_s * self.steps)

    def ends(self) -> tuple[datetime, ...]:
        """End of every step."""
        return tuple(
            self.start + timedelta(seconds=self.step_s * (i + 1)) for i in range(self.steps)
        )

    def index(self, at_s: float) -> int | None:
        """The step whose end is nearest to that Unix time; None: outside the grid."""
        found = round((at_s - self.start.astimezone(UTC).timestamp()) / self.step_s) - 1
        return found if 0 <= found < self.steps else None


@dataclass(frozen=True, slots=True)
class Cell:
    """Numerator and denominator of one step."""

    numerator: float
    denominator: float

    @property
    def value(self) -> float | None:
        """The quotient; None: nothing to divide by."""
        return self.numerator / self.denominator if self.denominator > 0 else None


class Tiers:
    """Gives rows to tiers, and says which sources concern any tier at all."""

    def __init__(self, specs: Sequence[TierSpec], endpoints: Sequence[Endpoint]) -> None:
        self.specs = tuple(specs)
        gke = (PartKind.GKE_SINGLE_HOST, PartKind.GKE_MULTI_HOST)
        found = [(e.id, tier_of_endpoint(specs, e)) for e in endpoints]
        self._maps: dict[Owner, dict[str, str]] = {
            Owner.NAMESPACE: {s.namespace: s.name for s in specs if s.namespace},
            Owner.BACKEND: {s.backend_service: s.name for s in specs if s.backend_service},
            Owner.NODE: {s.name: s.name for s in specs if any(p.kind in gke for p in s.parts)},
            Owner.ENDPOINT: {key: tier for key, tier in found if tier},
        }
        self._prefixes = [
            (part.name_prefix, s.name)
            for s in specs
            for part in s.parts
            if part.kind is PartKind.TPU_VM
        ]
        self._balanced = {s.name for s in specs if s.backend_service}

    def concerned(self, source: Source) -> bool:
        """Whether any tier could own a row of the source, so that asking makes sense."""
        if source.owner is Owner.TPU_VM:
            return bool(self._prefixes)
        owners = set(self._maps[source.owner].values())
        return bool(owners - self._balanced if source.unbalanced_only else owners)

    def owner(self, source: Source, row: Row) -> str:
        """Name of the tier that the row is about; "" when it is nobody's."""
        key = row.labels.get(source.owner.value, "")
        if source.owner is Owner.TPU_VM:
            return next((t for prefix, t in self._prefixes if key.startswith(prefix)), "")
        tier = self._maps[source.owner].get(key, "")
        return "" if source.unbalanced_only and tier in self._balanced else tier


def tier_of_endpoint(specs: Sequence[TierSpec], endpoint: Endpoint) -> str:
    """Name of the tier that owns a Vertex endpoint, as the fleet has it too; "" if none."""
    found = owner(specs, (PartKind.VERTEX,), endpoint.display_name, endpoint.labels)
    return "" if found is None else found[0]


def cells(formula: Formula, tier: str, tiers: Tiers, rows: Rows, grid: Grid) -> dict[int, Cell]:
    """The formula's cells of one tier, by step; steps without data are left out."""
    top = _sums(formula.numerator, tier, tiers, rows, grid, formula.errors_only)
    if not formula.denominator:
        each = float(grid.step_s) if formula.per_s else 1.0
        return {i: Cell(value, each) for i, value in top.items()}
    if formula.errors_only and not _tells_errors(formula.numerator, tier, tiers, rows):
        return {}
    bottom = _sums(formula.denominator, tier, tiers, rows, grid, errors_only=False)
    return {
        i: Cell(top.get(i, 0.0), below)
        for i, below in bottom.items()
        if i in top or formula.absent_is_zero
    }


def distributions(
    sources: Sequence[Source], tier: str, tiers: Tiers, rows: Rows, grid: Grid
) -> dict[int, Histogram]:
    """One tier's merged distribution of each step; steps without any are left out."""
    found: dict[int, list[Histogram]] = {}
    for row in _rows_of(sources, tier, tiers, rows):
        for at_s, part in row.distributions:
            step = grid.index(at_s)
            if step is not None:
                found.setdefault(step, []).append(part)
    return {i: merge(parts) for i, parts in found.items()}


def _sums(
    sources: Sequence[Source], tier: str, tiers: Tiers, rows: Rows, grid: Grid, errors_only: bool
) -> dict[int, float]:
    sums: dict[int, float] = {}
    for row in _rows_of(sources, tier, tiers, rows):
        if errors_only and not is_error(row):
            continue
        for at_s, value in row.numbers:
            step = grid.index(at_s)
            if step is not None:
                sums[step] = sums.get(step, 0.0) + value
    return sums


def _rows_of(sources: Sequence[Source], tier: str, tiers: Tiers, rows: Rows) -> list[Row]:
    return [r for s in sources for r in rows.get(s, ()) if tiers.owner(s, r) == tier]


def is_error(row: Row) -> bool:
    """Whether the row counts failed requests: 5xx, or a server's finished_reason "error"."""
    code = row.labels.get("response_code_class") or row.labels.get("response_code") or ""
    return code.startswith("5") or row.labels.get("finished_reason") == _FAILED_REASON


def _tells_errors(sources: Sequence[Source], tier: str, tiers: Tiers, rows: Rows) -> bool:
    """Whether errors are known: response codes tell them, and so does a server that counts them.

    A server that has no count of failed requests says nothing, which is not "none failed".
    """
    return any(
        is_error(row) or "response_code" in row.labels or "response_code_class" in row.labels
        for row in _rows_of(sources, tier, tiers, rows)
    )
