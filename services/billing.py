"""Money: list prices from the Cloud Billing Catalog, cost from the detailed export in BigQuery.

Budgets are `budgets.py`'s; sums, forecasts and price per token are pure work in `core`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, cast

from core import tpu
from core.errors import Invalid
from core.money import COMPUTE, VERTEX
from core.records import CostRow, Price
from core.specs import TIER_LABEL, PartKind, TierSpec
from services import calls
from services.clients import Clients

_CATALOGUES: Final = {
    COMPUTE: "services/6F81-5844-456A",
    VERTEX: "services/C7E2-9256-1C43",
}
TPU_GROUP: Final = "TPU"
# How a SKU's description names each generation.
_GENERATION_WORDS: Final = {
    "TPU7x": re.compile(r"tpu ?-?(7x|v7x)\b|ironwood", re.I),
    "v6e": re.compile(r"tpu ?-?v?6e\b|trillium", re.I),
    "v5p": re.compile(r"tpu ?-?v?5p\b", re.I),
    "v5e": re.compile(r"tpu ?-?(v?5e|v5 ?lite)\b", re.I),
}
_CATALOGUE_TIMEOUT_S: Final = 30.0
_QUERY_TIMEOUT_S: Final = 60.0
_QUERY_POLICY: Final = calls.RetryPolicy(attempts=2, deadline_s=90.0)
_LATE_ROWS: Final = timedelta(hours=24)
_TABLE: Final = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+")

# BigQuery refuses a query that would bill more: on a very large account a month is dearer than
# anybody expects of a console. 20 GiB are 13 cents at $6.25 per TiB.
_MOST_BYTES: Final = 20 * 1024**3

# The export holds all projects of the billing account.
_SQL: Final = """
SELECT
  DATE(usage_start_time) AS day,
  IFNULL((SELECT l.value FROM UNNEST(labels) AS l WHERE l.key = @label LIMIT 1), '') AS tier,
  service.description AS service,
  sku.id AS sku_id,
  sku.description AS sku,
  SUM(cost) AS cost,
  SUM(IFNULL((SELECT SUM(c.amount) FROM UNNEST(credits) AS c), 0)) AS credits,
  SUM(usage.amount_in_pricing_units) AS usage_amount,
  usage.pricing_unit AS usage_unit,
  currency AS currency,
  MAX(export_time) AS newest
FROM `{table}`
WHERE project.id = @project
  AND usage_start_time >= @since AND usage_start_time < @until{partitions}
GROUP BY day, tier, service, sku_id, sku, usage_unit, currency
ORDER BY day, tier, cost DESC
"""


@dataclass(frozen=True, slots=True)
class Costs:
    """Rows of the export.

    `newest_at`: export time of the newest row; None: there are no rows.
    """

    rows: tuple[CostRow, ...]
    newest_at: datetime | None


class Billing:
    """Reads prices and cost."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._partitions: dict[str, str] = {}

    def list_prices(self, specs: Sequence[TierSpec]) -> tuple[Price, ...]:
        """Chip-hour prices of the tiers' generations in the tiers' regions.

        The catalogue's unit "h" does not say of what; we take it for one chip (public measurements
        of bills agree). SKUs are told by resource group and by their description. Where a tier has
        replicas on Vertex, prices of Vertex's own catalogue are among them.

        Raises:
            OpsError: the catalogue could not be read.
        """
        generations = {s.generation for s in specs if s.generation}
        regions = {s.zone.rsplit("-", 1)[0] for s in specs if s.zone}
        vertex = {
            p.location for s in specs if s.generation for p in s.parts if p.kind is PartKind.VERTEX
        }
        wanted = [(COMPUTE, regions), (VERTEX, vertex)] if vertex else [(COMPUTE, regions)]
        found = calls.in_parallel(self._list_skus, [product for product, _ in wanted])
        prices: list[Price] = []
        for (product, places), skus in zip(wanted, found, strict=True):
            with calls.converting(f"{_CATALOGUES[product]}/skus"):
                prices += [p for s in skus for p in _prices(s, product, generations, places)]
        return tuple(
            sorted(prices, key=lambda p: (p.generation, p.region, p.usage_type, p.product))
        )

    def _list_skus(self, product: str) -> list[Any]:
        """The product's SKUs that may be of TPU chips (protobuf messages)."""

        def read(timeout_s: float) -> list[Any]:
            pager = self._clients.catalogue().list_skus(
                request={
                    "parent": _CATALOGUES[product],
                    "currency_code": "USD",
                    "page_size": 5000,
                },
                timeout=timeout_s,
                retry=None,
            )
            # Compute Engine has tens of thousands of SKUs: only those of TPUs are kept.
            return [
                sku
                for page in pager.pages
                for sku in type(page).pb(page).skus
                if _may_be_chips(product, sku)
            ]

        return self._clients.call(
            read,
            resource=f"{_CATALOGUES[product]}/skus",
            timeout_s=_CATALOGUE_TIMEOUT_S,
            policy=_QUERY_POLICY,
        )

    def list_costs(self, today: date, days: int = 31) -> tuple[CostRow, ...]:
        """The last `days` days of the project up to and with `today` (UTC), by tier and SKU."""
        return self.read_costs(today, days).rows

    def read_costs(self, today: date, days: int = 31) -> Costs:
        """Likewise, with the export time of the newest row.

        A day is complete when rows were exported more than 24 hours after its end: Google promises
        no delay, and rows come within about a day.

        Raises:
            Invalid: no export is set, or its name is malformed.
            OpsError: the query failed.
        """
        table = self._clients.target.billing_export
        if not _TABLE.fullmatch(table):
            raise Invalid(
                f"{table!r} is not project.dataset.table",
                resource="billing export",
                hint="Set project.billing_export to the table of the detailed billing export.",
            )
        since = today - timedelta(days=days - 1)
        rows = self._clients.call(
            lambda t: self._query(table, since, today + timedelta(days=1), t),
            resource=f"bigquery:{table}",
            timeout_s=_QUERY_TIMEOUT_S,
            policy=_QUERY_POLICY,
        )
        with calls.converting(f"bigquery:{table}"):
            if not rows:
                return Costs((), None)
            newest: datetime = max(r["newest"] for r in rows)
            return Costs(tuple(_cost_row(r, newest) for r in rows), newest)

    def _query(self, table: str, since: date, until: date, timeout_s: float) -> list[Any]:
        from google.cloud.bigquery import QueryJobConfig, ScalarQueryParameter

        config = QueryJobConfig(
            maximum_bytes_billed=_MOST_BYTES,
            query_parameters=[
                ScalarQueryParameter("project", "STRING", self._clients.target.project),
                ScalarQueryParameter("label", "STRING", TIER_LABEL),
                ScalarQueryParameter("since", "TIMESTAMP", f"{since.isoformat()}T00:00:00Z"),
                ScalarQueryParameter("until", "TIMESTAMP", f"{until.isoformat()}T00:00:00Z"),
            ],
        )
        # The library's default retry goes on for ten minutes: retrying is ours.
        result = self._clients.bigquery().query_and_wait(
            _SQL.format(table=table, partitions=self._only_partitions(table, timeout_s)),
            job_config=config,
            api_timeout=timeout_s,
            wait_timeout=timeout_s,
            retry=cast(Any, None),  # the stubs leave out None, which the docstring names
            job_retry=cast(Any, None),
        )
        return list(result)

    def _only_partitions(self, table: str, timeout_s: float) -> str:
        """What spares BigQuery the days before the period, by how the table is partitioned.

        A row is exported after it was used, so no row of the period lies in an earlier day.
        """
        if table not in self._partitions:
            found = self._clients.bigquery().get_table(
                table, retry=cast(Any, None), timeout=timeout_s
            )
            partitions = found.time_partitioning
            column = ""
            if partitions is not None and partitions.type_ in ("DAY", "HOUR"):
                column = partitions.field or "_PARTITIONTIME"
            known = column in ("_PARTITIONTIME", "export_time")
            self._partitions[table] = f" AND {column} >= @since" if known else ""
        return self._partitions[table]


def _cost_row(row: Any, newest: datetime) -> CostRow:
    if row["currency"] not in (None, "", "USD"):
        raise ValueError(f"cost in {row['currency']}; only US dollars are understood")
    day: date = row["day"]
    usage = row["usage_amount"]
    return CostRow(
        day=day,
        tier=row["tier"],
        service=row["service"],
        sku_id=row["sku_id"],
        sku=row["sku"],
        cost_usd=float(row["cost"]),
        credits_usd=float(row["credits"] or 0),
        usage=float(usage or 0),
        usage_unit=row["usage_unit"] or "",
        complete=newest >= _end_of(day, newest) + _LATE_ROWS,
    )


def _end_of(day: date, like: datetime) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=like.tzinfo) + timedelta(days=1)


def _may_be_chips(product: str, sku: Any) -> bool:
    if product == COMPUTE:
        return bool(sku.category.resource_group == TPU_GROUP)
    return "prediction" in str(sku.description).lower()  # training has SKUs of its own


def _prices(sku: Any, product: str, generations: set[str], regions: set[str]) -> list[Price]:
    """One price per wanted region of a chip-hour SKU (a protobuf message); [] of any other."""
    generation = generation_of_sku(sku.description)
    if generation not in generations or not sku.pricing_info:
        return []
    info = sku.pricing_info[-1]
    expression = info.pricing_expression
    if expression.usage_unit != "h" or not expression.tiered_rates:
        return []
    rate = expression.tiered_rates[-1].unit_price
    if not rate.units and not rate.nanos:
        return []  # a price that is not published (yet) is unknown, not free
    effective: datetime | None = None
    if info.HasField("effective_time"):
        effective = info.effective_time.ToDatetime(tzinfo=UTC)
    return [
        Price(
            sku_id=sku.sku_id,
            description=sku.description,
            generation=generation,
            region=region,
            usage_type=sku.category.usage_type,
            usd_per_chip_hour=rate.units + rate.nanos / 1e9,
            effective_at=effective,
            product=product,
        )
        for region in sku.service_regions
        if region in regions
    ]


def generation_of_sku(description: str) -> str:
    """Name of the generation in `core.tpu.GENERATIONS` that a SKU is for; "" when none."""
    for name in tpu.GENERATIONS:
        if _GENERATION_WORDS[name].search(description):
            return name
    return ""
