"""The billing export through google-cloud-bigquery."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from tests.processes import EmulatorProcess

TABLE = "heartwood-demo.billing_export.gcp_billing_export_resource_v1_01A2B3_C4D5E6_F7A8B9"
TIER = "(SELECT l.value FROM UNNEST(labels) AS l WHERE l.key = 'heartwood-tier' LIMIT 1)"


@pytest.fixture(scope="session")
def client(emulator: EmulatorProcess) -> bigquery.Client:
    """Google's client on the running emulator."""
    options = ClientOptions(api_endpoint=emulator.rest_url + "/bigquery")
    return bigquery.Client(
        project="heartwood-demo", credentials=AnonymousCredentials(), client_options=options
    )


def ask(client: bigquery.Client, text: str, *parameters: Any) -> list[Any]:
    """The rows of a query, without Google's ten minutes of retries."""
    config = bigquery.QueryJobConfig(query_parameters=list(parameters))
    rows = client.query_and_wait(
        text, job_config=config, retry=None, job_retry=None, wait_timeout=30
    )
    return list(rows)


def test_a_days_cost_is_chips_times_price(client: bigquery.Client) -> None:
    """A whole day of a tier costs its chip-hours at list price: 1,024 × 24 × $12 for medium."""
    rows = ask(
        client,
        f"""SELECT DATE(usage_start_time) AS day, {TIER} AS tier, SUM(cost) AS cost,
            SUM(usage.amount_in_pricing_units) AS hours, COUNT(*) AS n
            FROM `{TABLE}` WHERE usage_start_time >= @since AND usage_start_time < @until
            GROUP BY day, tier ORDER BY day, tier""",
        bigquery.ScalarQueryParameter("since", "TIMESTAMP", _day(3)),
        bigquery.ScalarQueryParameter("until", "TIMESTAMP", _day(2)),
    )
    cost = {r["tier"]: r["cost"] for r in rows}
    assert set(cost) == {None, "small", "medium", "dev"}
    # A slice that maintenance took away for a while is not billed, so a little less may be.
    assert cost["medium"] == pytest.approx(1024 * 24 * 12, rel=2e-3)
    assert cost["small"] == pytest.approx(256 * 24 * 12, rel=1e-9)
    assert cost["dev"] == pytest.approx(8 * 24 * 2.70, rel=1e-9)
    assert 0 < cost[None] < 3000


def test_the_export_is_partitioned_by_ingestion(client: bigquery.Client) -> None:
    """The pseudo-column says the day of the export, is in no `*`, and other tables have none."""
    table = client.get_table(TABLE)
    assert table.time_partitioning.type_ == "DAY"
    assert table.time_partitioning.field is None
    (row,) = ask(
        client,
        f"""SELECT COUNTIF(e._PARTITIONTIME <= e.export_time) = COUNT(*) AS before,
            COUNTIF(TIMESTAMP_DIFF(e.export_time, e._PARTITIONTIME, HOUR) < 24) = COUNT(*) AS near
            FROM `{TABLE}` AS e WHERE _PARTITIONTIME >= @since""",
        bigquery.ScalarQueryParameter("since", "TIMESTAMP", _day(3)),
    )
    assert (row["before"], row["near"]) == (True, True)
    (one,) = ask(client, f"SELECT * FROM `{TABLE}` LIMIT 1")
    assert "_PARTITIONTIME" not in one.keys()  # noqa: SIM118 - a Row's `in` looks at values
    with pytest.raises(exceptions.BadRequest, match="Unrecognized name: _PARTITIONTIME"):
        ask(client, "SELECT _PARTITIONTIME FROM (SELECT 1 AS n)")


def _day(back: int) -> datetime:
    now = datetime.now(UTC)
    return now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=back)


def test_rows_come_late(client: bigquery.Client) -> None:
    """The newest hours are not there yet, and no row comes from the future."""
    (row,) = ask(
        client,
        "SELECT MAX(usage_end_time) AS last, MAX(export_time) AS seen, COUNT(*) AS n "
        f"FROM `{TABLE}`",
    )
    now = datetime.now(UTC)
    assert row["seen"] <= now
    assert timedelta(hours=2) < now - row["last"] < timedelta(hours=6)
    assert row["n"] > 30_000


def test_wildcard_credits_and_nested_values(client: bigquery.Client) -> None:
    """Wildcard names, arrays of structs and structs come back typed."""
    rows = ask(
        client,
        "SELECT service, labels, credits, usage, export_time FROM "
        "`heartwood-demo.billing_export.gcp_billing_export_resource_v1_*` "
        "WHERE ARRAY_LENGTH(credits) > 0 LIMIT 3",
    )
    assert len(rows) == 3
    for row in rows:
        assert row["service"]["id"] == "6F81-5844-456A"
        assert row["credits"][0]["amount"] < 0
        assert isinstance(row["labels"], list)
        assert row["export_time"].tzinfo


def test_types_and_nulls(client: bigquery.Client) -> None:
    """Every type and parameter keeps its value on the wire; NULL stays None."""
    (row,) = ask(
        client,
        "SELECT @i AS i, @f AS f, @s AS s, @d AS d, @t AS t, @b AS b, @a AS a, "
        "CAST(NULL AS STRING) AS n, 1.5 AS x, STRUCT(1 AS p, 'q' AS q) AS st",
        bigquery.ScalarQueryParameter("i", "INT64", 2**53 + 1),
        bigquery.ScalarQueryParameter("f", "FLOAT64", 0.1),
        bigquery.ScalarQueryParameter("s", "STRING", "é'\""),
        bigquery.ScalarQueryParameter("d", "DATE", "2026-11-21"),
        bigquery.ScalarQueryParameter("t", "TIMESTAMP", _day(0)),
        bigquery.ScalarQueryParameter("b", "BOOL", True),
        bigquery.ArrayQueryParameter("a", "INT64", [1, 2]),
    )
    assert (row["i"], row["f"], row["s"], row["b"]) == (2**53 + 1, 0.1, "é'\"", True)
    assert row["d"].isoformat() == "2026-11-21"
    assert row["t"] == _day(0)
    assert row["a"] == [1, 2]
    assert row["n"] is None
    assert row["x"] == 1.5
    assert row["st"] == {"p": 1, "q": "q"}


def test_pages_of_a_result(client: bigquery.Client) -> None:
    """A large result comes in pages, each row once."""
    job = client.query(
        f"SELECT resource.name, usage_start_time FROM `{TABLE}` ORDER BY 2, 1 LIMIT 2500",
        retry=None, job_retry=None,
    )  # fmt: skip
    pages = [len(list(page)) for page in job.result(page_size=1000, retry=None).pages]
    assert sum(pages) == 2500
    assert len(pages) >= 3


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (f"SELECT foo FROM `{TABLE}`", exceptions.BadRequest, r"Unrecognized name: foo at \[1:8\]"),
        ("SELECT 1 FROM (", exceptions.BadRequest, r"Syntax error: .* at \[1:\d+\]"),
        ("SELECT * FROM `heartwood-demo.none.t`", exceptions.NotFound, "Not found: Table"),
        ("SELECT 1 / x FROM UNNEST([0.0]) AS x", exceptions.BadRequest, "division by zero: "),
        ("SELECT @nobody", exceptions.BadRequest, "nobody"),
        ("DELETE FROM x WHERE true", exceptions.BadRequest, "must be qualified with a dataset"),
        (f"DELETE FROM `{TABLE}` WHERE true", exceptions.Forbidden, "read-only"),
        ("SELECT * FROM read_csv('/etc/passwd')", exceptions.BadRequest, "function not found"),
    ],
)
def test_refusals(client: bigquery.Client, text: str, code: type[Exception], words: str) -> None:
    """Bad queries are refused with BigQuery's reason and place; no file of the host is read."""
    with pytest.raises(code, match=words):
        ask(client, text)


def test_datasets_and_tables(client: bigquery.Client) -> None:
    """The dataset, its table and the table's schema can be listed and read."""
    assert [d.dataset_id for d in client.list_datasets(retry=None)] == ["billing_export"]
    (table,) = client.list_tables("billing_export", retry=None)
    schema = {f.name: f for f in client.get_table(table, retry=None).schema}
    assert schema["credits"].mode == "REPEATED"
    assert schema["usage"].field_type == "RECORD"
    rows = list(client.list_rows(TABLE, max_results=5, retry=None))
    assert len(rows) == 5
    assert set(schema) == set(rows[0].keys())
