"""Statements that take long: they hold up nobody, and end by cancellation or at their limit."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
from google.cloud import bigquery

from tests.emulator.apis_telemetry.test_bigquery import client
from tests.emulator.apis_telemetry.test_bigquery_tables import NAME, logs
from tests.processes import EmulatorProcess

__all__ = ["client", "logs"]
PROJECT = "heartwood-demo"


def _pairs(side: int) -> str:
    return (f"FROM UNNEST(GENERATE_ARRAY(1, {side})) AS a CROSS JOIN "
            f"UNNEST(GENERATE_ARRAY(1, {side})) AS b")  # fmt: skip


ENDLESS = f"CREATE TABLE logs.x AS SELECT SUM(a * b) AS s {_pairs(1_000_000)}"


class _Wire:
    """BigQuery and others over REST, each call with little time."""

    def __init__(self, emulator: EmulatorProcess) -> None:
        self._root = f"{emulator.rest_url}/bigquery/bigquery/v2/projects/{PROJECT}"
        self.rest_url = emulator.rest_url

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        answer = httpx.post(f"{self._root}/{path}", json=body, timeout=20)
        return {"http": answer.status_code, **answer.json()}

    def query(self, text: str, **body: Any) -> dict[str, Any]:
        return self.post("queries", query=text, useLegacySql=False, **body)

    def get(self, path: str) -> dict[str, Any]:
        return httpx.get(f"{self._root}/{path}", timeout=20).json()

    def ended(self, job: str) -> dict[str, Any]:
        """The job once it is done."""
        for _ in range(300):
            found = self.get(f"jobs/{job}")
            if found["status"]["state"] == "DONE":
                return found
            time.sleep(0.05)
        raise AssertionError("the job does not end")


@pytest.fixture
def wire(emulator: EmulatorProcess, logs: bigquery.Dataset) -> _Wire:
    """The shared emulator with a dataset `logs`."""
    return _Wire(emulator)


def test_an_endless_statement_holds_up_nobody(wire: _Wire, client: bigquery.Client) -> None:
    """timeoutMs is kept; meanwhile others read and write; a cancelled job leaves nothing."""
    began = time.monotonic()
    answer = wire.query(ENDLESS, timeoutMs=300)
    assert (answer["jobComplete"], answer["http"]) == (False, 200)
    assert time.monotonic() - began < 8
    job = answer["jobReference"]["jobId"]
    zones = f"{wire.rest_url}/compute/compute/v1/projects/{PROJECT}/zones"
    assert httpx.get(zones, timeout=15).status_code == 200
    client.create_table(f"{NAME}.beside", timeout=15, retry=None)
    assert wire.get(f"queries/{job}?timeoutMs=100")["jobComplete"] is False
    assert wire.get(f"jobs/{job}")["status"] == {"state": "RUNNING"}
    wire.post(f"jobs/{job}/cancel")
    assert wire.ended(job)["status"]["errorResult"]["reason"] == "stopped"
    assert [t.table_id for t in client.list_tables(NAME, retry=None)] == ["beside"]


def test_a_statement_ends_at_its_limit(wire: _Wire) -> None:
    """jobTimeoutMs ends reads, tables from queries and DML; the job's error says so."""
    wire.query("CREATE TABLE logs.t (n INT64)")
    endless = f"SELECT SUM(a * b) {_pairs(1_000_000)}"
    never = f"SELECT a {_pairs(1_000_000)} WHERE a * b = -1"
    for text in (endless, never, ENDLESS, f"INSERT INTO logs.t (n) {endless}",
                 f"UPDATE logs.t SET n = ({endless}) WHERE true"):  # fmt: skip
        answer = wire.query(text, jobTimeoutMs=400)
        reason = answer["error"]["errors"][0]["reason"] if "error" in answer else answer
        assert (answer["http"], reason) == (400, "timeout"), text
    assert wire.query("SELECT COUNT(*) AS n FROM logs.t")["rows"] == [{"f": [{"v": "0"}]}]


def test_a_result_has_to_fit(wire: _Wire) -> None:
    """What would fill the memory is refused."""
    answer = wire.query(f"SELECT a, b {_pairs(1_000_000)}", jobTimeoutMs=15_000)
    assert answer["error"]["errors"][0]["reason"] == "responseTooLarge"


def test_rows_that_come_meanwhile_are_changed_too(wire: _Wire) -> None:
    """A statement whose table another caller changes meanwhile is done again; none is lost."""
    wire.query("CREATE TABLE logs.t AS SELECT 1 AS n, 0 AS m")
    count = f"SELECT COUNT(*) {_pairs(10_000)} WHERE MOD(a * b, 7) = 1"
    first = wire.query(f"UPDATE logs.t SET m = ({count}) WHERE n > 0", timeoutMs=0)
    second = wire.query("UPDATE logs.t SET n = n + 10 WHERE n > 0", timeoutMs=0)
    rows = {"rows": [{"json": {"n": 5, "m": 0}}]}
    assert wire.post("datasets/logs/tables/t/insertAll", **rows)["http"] == 200
    for job in (first, second):
        done = wire.ended(job["jobReference"]["jobId"])
        assert "errorResult" not in done["status"], done["status"]
    sums = wire.query("SELECT COUNT(*), COUNTIF(m > 0) FROM logs.t")["rows"][0]["f"]
    assert [v["v"] for v in sums] == ["2", "2"]
