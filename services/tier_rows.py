"""Whose a time series is, and its points on a grid of steps: rows of Monitoring → cells per tier.

Pure. Which rows are asked for is `monitoring_queries.py`'s, reading them `time_series.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from core.histograms import Histogram, merge
from core.ownership import PartKey, labels_suffice, owner
from core.records import Endpoint, NodePool, Snapshot, TpuVm
from core.specs import TIER_LABEL, PartKind, TierSpec
from services.monitoring_queries import POOL_LABEL, Formula, Owner, Source, by_pool
from services.time_series import Query, Row

_FAILED_REASON: Final = "error"  # vLLM's finished_reason of a request that failed

Rows = Mapping[Source, Sequence[Row] | None]  # None: the query failed; absent: not asked
_GKE: Final = (PartKind.GKE_SINGLE_HOST, PartKind.GKE_MULTI_HOST)
_NO_CLUSTER: Final = ("", "__gce__")  # the collector's words for a server outside Kubernetes


@dataclass(frozen=True, slots=True)
class Inventory:
    """What of a project tells whose a series is; None: not known (yet)."""

    endpoints: Sequence[Endpoint] | None = None
    node_pools: Sequence[NodePool] | None = None
    tpu_vms: Sequence[TpuVm] | None = None

    @classmethod
    def of(cls, snapshot: Snapshot) -> Inventory:
        """What a Snapshot knows."""
        return cls(snapshot.endpoints, snapshot.node_pools, snapshot.tpu_vms)


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
    """Gives rows to tiers, and says which sources concern a tier at all."""

    def __init__(self, specs: Sequence[TierSpec], known: Inventory) -> None:
        self.specs = tuple(specs)
        self._by_label = labels_suffice(specs, known.node_pools)
        self._vms = {
            vm.name: _name(owner(specs, (PartKind.TPU_VM,), vm.name, vm.labels))
            for vm in known.tpu_vms or ()
        }
        self._pools: dict[tuple[str, ...], str] = {}
        found = [(e.id, tier_of_endpoint(specs, e)) for e in known.endpoints or ()]
        self._maps: dict[Owner, dict[str, str]] = {
            Owner.NAMESPACE: {s.namespace: s.name for s in specs if s.namespace},
            Owner.BACKEND: {s.backend_service: s.name for s in specs if s.backend_service},
            Owner.NODE: {s.name: s.name for s in specs if _has(s, *_GKE)},
            Owner.ENDPOINT: {key: tier for key, tier in found if tier},
            Owner.TPU_VM: {s.name: s.name for s in specs if _has(s, PartKind.TPU_VM)},
        }
        if known.endpoints is None:  # whose they are is not known: any tier's with such a part
            vertex = {s.name: s.name for s in specs if _has(s, PartKind.VERTEX)}
            self._maps[Owner.ENDPOINT] = vertex
        self._clusters = {
            s.name: {(p.cluster, p.cluster_location) for p in s.parts if p.kind in _GKE}
            for s in specs
        }
        self._balanced = {s.name for s in specs if s.backend_service}

    def concerned(self, source: Source, tier: str = "") -> bool:
        """Whether that tier ("": any) could own a row of the source, so that asking makes sense."""
        owners = set(self._maps[source.owner].values())
        if source.unbalanced_only:
            owners -= self._balanced
        return tier in owners if tier else bool(owners)

    def query(self, source: Source) -> Query:
        """What to ask so that each row can be given to its tier: no finer than it must be."""
        fine = source.owner is Owner.NODE and not self._by_label
        return by_pool(source.query) if fine else source.query

    def owner(self, source: Source, row: Row) -> str:
        """Name of the tier that the row is about; "" when it is nobody's."""
        key = row.labels.get(source.owner.value, "")
        if source.owner is Owner.TPU_VM:
            return self._owner_of_vm(key)
        if source.owner is Owner.NODE and not self._by_label:
            return self._owner_of_node(row)
        tier = self._maps[source.owner].get(key, "")
        if source.owner is Owner.NAMESPACE and not self._in_cluster(tier, row):
            return ""
        return "" if source.unbalanced_only and tier in self._balanced else tier

    def _owner_of_vm(self, name: str) -> str:
        if name not in self._vms:  # deleted since, or not listed yet: by its name
            self._vms[name] = _name(owner(self.specs, (PartKind.TPU_VM,), name, {}))
        return self._vms[name]

    def _owner_of_node(self, row: Row) -> str:
        """As the fleet has it; also of pools that are gone, whose series remain."""
        fields = (POOL_LABEL, TIER_LABEL, "cluster_name", "location")
        key = tuple(row.labels.get(f, "") for f in fields)
        if key not in self._pools:
            pool, label, cluster, location = key
            labels = {TIER_LABEL: label} if label else {}
            self._pools[key] = _name(owner(self.specs, _GKE, pool, labels, cluster, location))
        return self._pools[key]

    def _in_cluster(self, tier: str, row: Row) -> bool:
        """Whether a server's row is from a cluster of the tier, where it has any."""
        clusters = self._clusters.get(tier)
        cluster = row.labels.get("cluster", "")
        if not clusters or cluster in _NO_CLUSTER:
            return True
        location = row.labels.get("location", "")
        return any(c in ("", cluster) and at in ("", location) for c, at in clusters)


def _name(key: PartKey | None) -> str:
    return key[0] if key else ""


def _has(spec: TierSpec, *kinds: PartKind) -> bool:
    return any(p.kind in kinds for p in spec.parts)


def tier_of_endpoint(specs: Sequence[TierSpec], endpoint: Endpoint) -> str:
    """Name of the tier that owns a Vertex endpoint, as the fleet has it too; "" if none."""
    return _name(owner(specs, (PartKind.VERTEX,), endpoint.display_name, endpoint.labels))


def cells(formula: Formula, tier: str, tiers: Tiers, rows: Rows, grid: Grid) -> dict[int, Cell]:
    """The formula's cells of one tier, by step; steps without data are left out.

    Without one of the sources that concern the tier nothing is known: a part is not the sum.
    """
    if _failed((*formula.numerator, *formula.denominator), tier, tiers, rows):
        return {}
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
    if _failed(sources, tier, tiers, rows):
        return {}
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
    return [r for s in sources for r in rows.get(s) or () if tiers.owner(s, r) == tier]


def _failed(sources: Sequence[Source], tier: str, tiers: Tiers, rows: Rows) -> bool:
    return any(rows.get(s, ()) is None and tiers.concerned(s, tier) for s in sources)


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
