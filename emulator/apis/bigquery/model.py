"""The project's BigQuery data in DuckDB: the billing export, and the tables of callers.

The export's rows follow from the world; the table is made anew when an hour begins or somebody
changed something. Rows whose export time has not come are not seen yet.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa

from emulator.apis.bigquery.errors import BigQueryError
from emulator.apis.bigquery.instant import seeded
from emulator.apis.bigquery.schema import CREATE
from emulator.apis.monitoring.fleet import strays_of
from emulator.apis.monitoring.telemetry import Telemetry
from emulator.context import Cloud
from emulator.world import bill, prices
from emulator.world.bill import Bill, Line
from emulator.world.noise import stream

DAYS: Final = 40
_BASES: Final = {
    "h": ("hour", 3600.0, "seconds"),
    "GiBy.h": ("gibibyte hour", 3600.0 * 1024**3, "byte-seconds"),
    "GiBy": ("gibibyte", 1024.0**3, "bytes"),
    "GiBy.mo": ("gibibyte month", 730 * 3600.0 * 1024**3, "byte-seconds"),
}


class Warehouse:
    """DuckDB with the export table; safe for threads (a cursor per query)."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._telemetry = cloud.store(Telemetry, lambda: Telemetry(cloud))
        self._lock = threading.Lock()
        self._made: tuple[int, int, int] | None = None
        self._rows = 0
        self._contents: Counter[str] = Counter()
        self._database = duckdb.connect(
            config={"threads": 2, "memory_limit": "160MB", "autoinstall_known_extensions": False}
        )
        self._database.execute("SET TimeZone = 'UTC'")
        # In BigQuery a division by zero is an error, with floats as well.
        self._database.execute("SET GLOBAL ieee_floating_point_ops = false")
        # A query may read the project's tables and nothing of the host.
        self._database.execute("SET enable_external_access = false")
        self._database.execute("SET lock_configuration = true")

    @property
    def table(self) -> str:
        """Name of the export table."""
        return self._cloud.project.export_table.rsplit(".", 1)[1]

    def cursor(self, chance: float | None = None) -> duckdb.DuckDBPyConnection:
        """A connection that sees the current rows as table `export`; RAND() follows `chance`."""
        self._refresh()
        return seeded(self._cloud, self._database.cursor(), chance)

    def contents(self, stored: str) -> tuple[int, ...]:
        """Differs once the rows of a stored table, or of `export`, do."""
        return self._key() if stored == "export" else (self._contents[stored],)

    def touch(self, stored: str) -> None:
        """Note that rows of a stored table have changed."""
        self._contents[stored] += 1

    def number_of_rows(self) -> int:
        """Rows in the table, those not yet visible included."""
        self._refresh()
        return self._rows

    def run(self, statement: str) -> None:
        """Carry out a statement of our own on stored tables."""
        cursor = self._database.cursor()
        try:
            cursor.execute(statement)
        finally:
            cursor.close()

    def append(self, stored: str, rows: pa.Table) -> None:
        """Add rows to a stored table, column by column in order."""
        cursor = self._database.cursor()
        self.touch(stored)
        try:
            cursor.register("added_rows", rows)
            cursor.execute(f"INSERT INTO {stored} SELECT * FROM added_rows")
        except duckdb.Error as error:
            first = str(error).split("\n", 1)[0]
            raise BigQueryError("invalid", first.partition(": ")[2] or first) from error
        finally:
            cursor.close()

    def count(self, stored: str) -> int:
        """Rows of a stored table."""
        cursor = self._database.cursor()
        try:
            return int(cursor.execute(f"SELECT count(*) FROM {stored}").fetchone()[0])
        finally:
            cursor.close()

    def _key(self) -> tuple[int, int, int]:
        hour = int(self._cloud.clock.now() // 3600)
        return self._cloud.log.version, self._cloud.fleet.version, hour

    def _refresh(self) -> None:
        now, key = self._cloud.clock.now(), self._key()
        with self._lock:
            if key == self._made:
                return
            hours = DAYS * 24
            first = (int(now // 3600) - hours) * 3600.0
            world = self._telemetry.world
            found = bill.bill(
                world, self._telemetry.hosts, first, hours, strays_of(self._cloud, world)
            )
            self._fill(found)
            self._made = key

    def _fill(self, found: Bill) -> None:
        cursor = self._database.cursor()
        fact, line = _fact(self._cloud.seed, found), _dimension(found.lines)
        cursor.register("fact_frame", fact)
        cursor.register("line_frame", line)
        # One transaction, so that a query beside it sees the old rows or the new ones.
        cursor.execute("BEGIN")
        cursor.execute("CREATE OR REPLACE TABLE fact AS SELECT * FROM fact_frame")
        cursor.execute(
            "CREATE OR REPLACE TABLE line AS SELECT * EXCLUDE (keys, vals), list_transform("
            "keys, lambda k, i: {'key': k, 'value': vals[i]}) AS labels FROM line_frame"
        )
        text, own = CREATE, self._cloud.project
        for name, value in (
            ("account", own.billing_account), ("project", own.id), ("number", own.number),
        ):  # fmt: skip
            text = text.replace("{" + name + "}", value)
        cursor.execute(text)
        cursor.execute("COMMIT")
        cursor.close()
        self._rows = fact.num_rows


def _fact(seed: int, found: Bill) -> pa.Table:
    numbers: list[Any] = [np.zeros(0, dtype=np.int64)]
    starts: list[Any] = [np.zeros(0, dtype=np.int64)]
    amounts: list[Any] = [np.zeros(0)]
    exported: list[Any] = [np.zeros(0)]
    for number, line in enumerate(found.lines):
        used = line.amounts > 1e-12
        hours = found.hours[used]
        numbers.append(np.full(len(hours), number, dtype=np.int64))
        starts.append(hours)
        amounts.append(line.amounts[used])
        exported.append(hours + bill.HOUR_S + bill.export_delays(seed, line, hours))
    return pa.table(
        {
            "number": np.concatenate(numbers), "start": np.concatenate(starts),
            "amount": np.concatenate(amounts), "exported": np.concatenate(exported),
        }
    )  # fmt: skip


def _dimension(lines: Sequence[Line]) -> pa.Table:
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines):
        unit, base, base_unit = _BASES[line.sku.unit]
        credit, kind, share = line.credit or ("", "", 0.0)
        region = prices.REGION if line.zone else "global"
        rows.append(
            {
                "number": number, "service_id": line.sku.service,
                "service": prices.SERVICES[line.sku.service], "sku_id": line.sku.id,
                "sku": line.sku.description, "usd": line.sku.usd, "unit": unit, "base": base,
                "base_unit": base_unit, "resource": line.resource,
                "global_name": line.global_name, "location": line.zone or "global",
                "region": region, "zone": line.zone if line.zone.count("-") == 2 else None,
                "keys": list(line.labels), "vals": list(line.labels.values()),
                "credit": credit, "credit_type": kind, "credit_share": share,
                "credit_id": f"{stream(credit) % 10**10:010d}" if credit else "",
            }
        )  # fmt: skip
    return pa.Table.from_pylist(rows or [_EMPTY])


_EMPTY: Final[dict[str, Any]] = {
    "number": -1, "service_id": "", "service": "", "sku_id": "", "sku": "", "usd": 0.0, "unit": "",
    "base": 0.0, "base_unit": "", "resource": "", "global_name": "", "location": "", "region": "",
    "zone": "", "keys": [""], "vals": [""], "credit": "", "credit_type": "", "credit_share": 0.0,
    "credit_id": "",
}  # fmt: skip
