"""BigQuery's datasets and tables through google-cloud-bigquery: made, filled, changed, deleted."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest
from google.api_core import exceptions
from google.cloud import bigquery
from google.cloud.bigquery import SchemaField

from tests.emulator.apis_telemetry.test_bigquery import TABLE, ask, client
from tests.emulator.discovery import problems, response_problems
from tests.processes import EmulatorProcess

__all__ = ["client"]
NAME = "heartwood-demo.logs"


@pytest.fixture
def logs(client: bigquery.Client) -> Iterator[bigquery.Dataset]:
    """A dataset that is gone afterwards."""
    made = client.create_dataset(NAME, retry=None)
    yield made
    client.delete_dataset(NAME, delete_contents=True, not_found_ok=True, retry=None)


def _job(client: bigquery.Client, text: str, **options: Any) -> bigquery.QueryJob:
    job = client.query(text, job_config=bigquery.QueryJobConfig(**options), retry=None,
                       job_retry=None)  # fmt: skip
    job.result(retry=None, timeout=30)
    return job


def test_a_dataset_lives_and_dies(client: bigquery.Client) -> None:
    """A dataset keeps labels and etag; one in use goes only with its contents."""
    made = client.create_dataset(bigquery.Dataset(NAME), retry=None)
    with pytest.raises(exceptions.Conflict, match="Already Exists"):
        client.create_dataset(NAME, retry=None)
    nowhere = bigquery.Dataset("heartwood-demo.nowhere")
    nowhere.location = "mars"
    with pytest.raises(exceptions.BadRequest, match="Invalid storage region"):
        client.create_dataset(nowhere, retry=None)
    made.labels, made.description = {"team": "ops", "old": "x"}, "told"
    changed = client.update_dataset(made, ["labels", "description"], retry=None)
    assert (changed.description, changed.labels) == ("told", {"team": "ops", "old": "x"})
    with pytest.raises(exceptions.PreconditionFailed):
        client.update_dataset(made, ["description"], retry=None)  # its etag is stale
    assert [d.dataset_id for d in client.list_datasets(filter="labels.team:ops", retry=None)] == [
        "logs"]  # fmt: skip
    client.create_table(f"{NAME}.t", retry=None)
    with pytest.raises(exceptions.BadRequest, match="still in use"):
        client.delete_dataset(NAME, retry=None)
    client.delete_dataset(NAME, delete_contents=True, retry=None)
    for name in (NAME, "heartwood-demo.billing_export.x"):
        with pytest.raises(exceptions.NotFound):
            client.get_table(f"{name}.t" if name == NAME else name, retry=None)
    with pytest.raises(exceptions.Forbidden, match="read-only"):
        client.delete_dataset("heartwood-demo.billing_export", delete_contents=True, retry=None)
    with pytest.raises(exceptions.BadRequest, match="Invalid dataset ID"):
        client.create_dataset("heartwood-demo.a-b", retry=None)


SCHEMA = [
    SchemaField("id", "INT64", mode="REQUIRED"), SchemaField("day", "DATE"),
    SchemaField("cost", "NUMERIC"), SchemaField("at", "TIMESTAMP"),
    SchemaField("tags", "STRING", mode="REPEATED"),
    SchemaField("where", "RECORD", fields=[SchemaField("zone", "STRING"),
                                           SchemaField("ok", "BOOL")]),
]  # fmt: skip


def test_rows_are_streamed_in_and_read(client: bigquery.Client, logs: bigquery.Dataset) -> None:
    """insertAll checks each row against the schema; what came in is read with its types."""
    wanted = bigquery.Table(f"{NAME}.rows", SCHEMA)
    wanted.time_partitioning = bigquery.TimePartitioning(field="day")
    wanted.clustering_fields = ["id"]
    table = client.create_table(wanted, retry=None)
    assert table.time_partitioning.field == "day"
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    row = {"id": 1, "day": "2026-03-01", "cost": "1.5", "at": at.isoformat(), "tags": ["a", "b"],
           "where": {"zone": "z", "ok": True}}  # fmt: skip
    assert client.insert_rows_json(table, [row, {"id": 2}], retry=None) == []
    bad = client.insert_rows_json(table, [{"id": 3}, {"id": "x"}, {"no": 1, "id": 4}], retry=None)
    assert [(b["index"], b["errors"][0]["reason"]) for b in bad] == [
        (1, "invalid"), (2, "invalid"), (0, "stopped")]  # fmt: skip
    found = list(client.list_rows(table, retry=None))
    assert [tuple(r.values()) for r in found] == [
        (1, date(2026, 3, 1), Decimal("1.5"), at, ["a", "b"], {"zone": "z", "ok": True}),
        (2, None, None, None, [], None),
    ]
    rows = ask(client, f"SELECT t.where.zone AS zone FROM `{NAME}.rows` AS t WHERE id = 1")
    assert rows[0]["zone"] == "z"
    assert client.get_table(table, retry=None).num_rows == 2
    table.schema = [*table.schema, SchemaField("more", "FLOAT")]
    assert len(client.update_table(table, ["schema"], retry=None).schema) == 7
    table.schema = table.schema[1:]
    with pytest.raises(exceptions.PreconditionFailed):
        client.update_table(table, ["schema"], retry=None)
    fresh = client.get_table(table, retry=None)
    fresh.schema = fresh.schema[1:]
    with pytest.raises(exceptions.BadRequest, match="Field id is missing"):
        client.update_table(fresh, ["schema"], retry=None)
    wrong = bigquery.Table(f"{NAME}.wrong", SCHEMA)
    wrong.clustering_fields = ["nobody"]
    with pytest.raises(exceptions.BadRequest, match="clustering field"):
        client.create_table(wrong, retry=None)


def test_statements_change_rows_and_tables(client: bigquery.Client, logs: bigquery.Dataset) -> None:
    """DDL and DML do what they say, tell how many rows, and refuse what BigQuery refuses."""
    made = _job(client, f"CREATE TABLE {NAME.replace('heartwood-demo', '`heartwood-demo`')}.fleet "
                "(name STRING NOT NULL, chips INT64, zones ARRAY<STRING>)")  # fmt: skip
    assert (made.statement_type, made.ddl_operation_performed) == ("CREATE_TABLE", "CREATE")
    table = f"`{NAME}.fleet`"
    put = _job(client, f"INSERT INTO {table} (name, chips) VALUES ('a', 4), ('b', 8), ('c', 12)")
    assert (put.statement_type, put.num_dml_affected_rows) == ("INSERT", 3)
    changed = _job(
        client, f"UPDATE {table} t SET t.chips = t.chips + @n WHERE t.name != 'a'",
        query_parameters=[bigquery.ScalarQueryParameter("n", "INT64", 1)],
    )  # fmt: skip
    assert changed.num_dml_affected_rows == 2
    merged = _job(
        client,
        f"""MERGE {table} t USING (SELECT 'a' AS name, 1 AS chips UNION ALL
        SELECT 'd', 2) s ON t.name = s.name
        WHEN MATCHED THEN UPDATE SET chips = s.chips
        WHEN NOT MATCHED THEN INSERT (name, chips) VALUES (s.name, s.chips)""",
    )
    assert (merged.dml_stats.inserted_row_count, merged.dml_stats.updated_row_count) == (1, 1)
    assert _job(client, f"DELETE FROM {table} WHERE chips > 12").num_dml_affected_rows == 1
    rows = ask(client, f"SELECT name, chips FROM {table} ORDER BY name")
    assert [tuple(r.values()) for r in rows] == [("a", 1), ("b", 9), ("d", 2)]
    _job(client, f"CREATE OR REPLACE TABLE `{NAME}.sums` AS SELECT SUM(chips) AS n FROM {table}")
    _job(client, f"CREATE VIEW `{NAME}.seen` AS SELECT n * 2 AS twice FROM `{NAME}.sums`")
    assert ask(client, f"SELECT * FROM `{NAME}.seen`")[0]["twice"] == 24
    assert client.get_table(f"{NAME}.seen", retry=None).table_type == "VIEW"
    _job(client, f"ALTER TABLE {table} ADD COLUMN zone STRING")
    for text, code, words in (
        (f"INSERT INTO {table} (chips) VALUES (1)", exceptions.BadRequest, "name cannot be null"),
        (f"DELETE FROM {table} WHERE TRUE; SELECT 1", exceptions.BadRequest, "one statement"),
        (f"UPDATE {table} SET chips = 1", exceptions.BadRequest, "must have a WHERE clause"),
        (f"DROP VIEW {table}", exceptions.BadRequest, "is a table"),
        (f"CREATE TABLE {table} (a INT64)", exceptions.Conflict, "Already Exists"),
        (f"INSERT INTO `{TABLE}` (cost) VALUES (1)", exceptions.Forbidden, "read-only"),
        ("SELECT * FROM `other-project.d.t`", exceptions.Forbidden, "does not have permission"),
    ):
        with pytest.raises(code, match=words):
            _job(client, text)
    _job(client, f"TRUNCATE TABLE {table}")
    _job(client, f"DROP TABLE IF EXISTS {table}")
    assert [t.table_id for t in client.list_tables(NAME, retry=None)] == ["seen", "sums"]


def test_dry_runs_destinations_and_copies(
    client: bigquery.Client, emulator: EmulatorProcess, logs: bigquery.Dataset
) -> None:
    """A dry run tells bytes and schema alone; results go where a job says; jobs keep labels."""
    dry = client.query(f"SELECT cost FROM `{TABLE}`", retry=None, job_retry=None,
                       job_config=bigquery.QueryJobConfig(dry_run=True))  # fmt: skip
    assert dry.total_bytes_processed > 1_000_000
    assert [f.name for f in dry.schema] == ["cost"]
    to = bigquery.TableReference.from_string(f"{NAME}.kept")
    job = _job(client, "SELECT 1 AS one", destination=to, labels={"team": "ops"})
    jobs = f"{emulator.rest_url}/bigquery/bigquery/v2/projects/heartwood-demo/jobs"
    kept = httpx.get(f"{jobs}/{job.job_id}").json()["configuration"]["labels"]
    assert kept == {"team": "ops"}
    with pytest.raises(exceptions.Conflict):
        _job(client, "SELECT 2 AS one", destination=to, write_disposition="WRITE_EMPTY")
    _job(client, "SELECT 3 AS one", destination=to, write_disposition="WRITE_APPEND")
    client.copy_table(to, f"{NAME}.copied", retry=None).result(retry=None, timeout=30)
    assert [r["one"] for r in ask(client, f"SELECT one FROM `{NAME}.copied` ORDER BY 1")] == [1, 3]
    first = next(iter(client.list_jobs(max_results=1, retry=None)))
    assert httpx.post(f"{jobs}/{first.job_id}/cancel").json()["job"]["status"]["state"] == "DONE"


def test_bodies_are_google_s(emulator: EmulatorProcess, logs: bigquery.Dataset) -> None:
    """What is answered fits Google's discovery document."""
    base = f"{emulator.rest_url}/bigquery/bigquery/v2"
    place = "projects/heartwood-demo/datasets"
    body = {"tableReference": {"projectId": "heartwood-demo", "datasetId": "logs", "tableId": "t"},
            "schema": {"fields": [{"name": "a", "type": "STRING"}]}}  # fmt: skip
    assert problems("bigquery.v2", "Table", body) == []
    with httpx.Client(timeout=20) as http:
        made = http.post(f"{base}/{place}/logs/tables", json=body)
        path = f"bigquery/v2/{place}/logs/tables"
        assert response_problems("bigquery.v2", "POST", path, made.json()) == []
        for path in (place, f"{place}/logs", f"{place}/logs/tables", f"{place}/logs/tables/t",
                     f"{place}/logs/tables/t/data", "projects/heartwood-demo/jobs"):  # fmt: skip
            answer = http.get(f"{base}/{path}").json()
            assert response_problems("bigquery.v2", "GET", f"bigquery/v2/{path}", answer) == []
        for wrong in ({"tableReference": 3}, {"schema": []}, [], {"tableReference": {}}):
            assert http.post(f"{base}/{place}/logs/tables", json=wrong).status_code == 400


def test_rows_are_loaded(client: bigquery.Client, logs: bigquery.Dataset) -> None:
    """JSON and CSV come with the job; a schema is given, found out, or the table's own."""
    rows = [{"id": 1, "name": "a", "at": "2026-03-01T12:00:00Z"}, {"id": 2, "name": None}]
    found = bigquery.LoadJobConfig(autodetect=True)
    job = client.load_table_from_json(rows, f"{NAME}.loaded", job_config=found)
    assert job.result(retry=None, timeout=30).output_rows == 2
    more = bigquery.LoadJobConfig(source_format="CSV", skip_leading_rows=1)
    text = io.BytesIO(b'id,name,at\n3,"x, y",\n4,,2026-03-02 00:00:00\n')
    client.load_table_from_file(
        text, f"{NAME}.loaded", size=len(text.getvalue()), job_config=more
    ).result(retry=None, timeout=30)
    query = f"SELECT id, name, at FROM `{NAME}.loaded` ORDER BY id"
    assert [tuple(r.values())[:2] for r in ask(client, query)] == [
        (1, "a"), (2, None), (3, "x, y"), (4, "")]  # fmt: skip
    wrong = client.load_table_from_json([{"id": "x"}], f"{NAME}.loaded", job_config=found)
    with pytest.raises(exceptions.BadRequest, match="Cannot convert value to integer"):
        wrong.result(retry=None, timeout=30)


def test_rows_are_loaded_in_pieces(client: bigquery.Client, logs: bigquery.Dataset) -> None:
    """A resumable upload: pieces of whole quanta, the rest at the end; what is wrong is refused."""
    text = "".join(f"{n},name {n}\n" for n in range(60_000)).encode()
    schema = [SchemaField("id", "INTEGER"), SchemaField("name", "STRING")]
    given = bigquery.LoadJobConfig(source_format="CSV", schema=schema)
    client.load_table_from_file(io.BytesIO(text), f"{NAME}.pieces", job_config=given).result(
        retry=None, timeout=30
    )  # no size: the library does not know how much there is until the end
    rows = ask(client, f"SELECT COUNT(*), SUM(id), MAX(name) FROM `{NAME}.pieces`")
    assert [tuple(r.values()) for r in rows] == [(60_000, 1_799_970_000, "name 9999")]
    lost = client.load_table_from_file(io.BytesIO(b"1,a"), "heartwood-demo.no.t", job_config=given)
    with pytest.raises(exceptions.NotFound, match="Not found: Dataset heartwood-demo:no"):
        lost.result(retry=None, timeout=30)


def test_an_upload_in_pieces_is_refused(client: bigquery.Client, logs: bigquery.Dataset) -> None:
    """What does not follow the protocol gets 400 or 404; a cancelled session is gone."""
    base = f"{client._connection.API_BASE_URL}/upload/bigquery/v2/projects/heartwood-demo/jobs"
    to = {"projectId": "heartwood-demo", "datasetId": "logs", "tableId": "t"}
    job = {"configuration": {"load": {"destinationTable": to}}}
    with httpx.Client(timeout=20) as http:
        for query, body, code in (("resumable", {}, 400), ("other", job, 400), ("", job, 400)):
            assert http.post(f"{base}?uploadType={query}", json=body).status_code == code
        begun = http.post(f"{base}?uploadType=resumable", json=job)
        where = begun.headers["location"]
        wrong = ("bytes 0-9/4", "bytes 5-9/9", "nonsense", "bytes 7-9/*")
        for span, code in (*((w, 400) for w in wrong), ("bytes */*", 308), ("bytes 0-2/*", 308)):
            answer = http.put(where, content=b"1,a", headers={"content-range": span})
            assert answer.status_code == code, span
        assert "range" not in answer.headers  # less than a quantum is not kept
        assert http.delete(where).status_code == 499
        assert http.put(where, content=b"1,a").status_code == 404


def test_what_there_is_can_be_queried(client: bigquery.Client, logs: bigquery.Dataset) -> None:
    """INFORMATION_SCHEMA tells datasets, tables and columns; others of its views are refused."""
    ask(client, f"CREATE TABLE `{NAME}.told` (id INT64 NOT NULL, tags ARRAY<STRUCT<k STRING>>)")
    named = "AS t WHERE table_name = 'told'"
    (table,) = ask(client, f"SELECT * FROM `{NAME}.INFORMATION_SCHEMA.TABLES` {named}")
    assert (table["table_schema"], table["table_type"]) == ("logs", "BASE TABLE")
    columns = ask(client, f"SELECT * FROM logs.INFORMATION_SCHEMA.COLUMNS {named} ORDER BY 5")
    assert [(c["column_name"], c["is_nullable"], c["data_type"]) for c in columns] == [
        ("id", "NO", "INT64"), ("tags", "NO", "ARRAY<STRUCT<k STRING>>")]  # fmt: skip
    found = ask(client, "SELECT schema_name FROM INFORMATION_SCHEMA.SCHEMATA WHERE location = 'US'")
    assert {"billing_export", "logs"} <= {row["schema_name"] for row in found}
    with pytest.raises(exceptions.NotFound):
        ask(client, "SELECT * FROM none.INFORMATION_SCHEMA.TABLES")
    with pytest.raises(exceptions.GoogleAPICallError, match="no view") as refused:
        ask(client, "SELECT * FROM logs.INFORMATION_SCHEMA.PARTITIONS")
    assert refused.value.code == 501
