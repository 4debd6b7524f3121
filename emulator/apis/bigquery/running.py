"""How long a job may run: its limit, and the end that a caller or the process's stop puts to it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import duckdb

from emulator.apis.bigquery.errors import BigQueryError

# BigQuery's own limit is six hours; here statements share a laptop with everything else.
LIMIT_S: Final = 60.0
_AGAIN_S: Final = 0.05  # an interruption that comes between two statements is lost


class Guard:
    """One job's permission to run; safe for threads.

    Args:
        job_s: how long after now it may run in all, its waits included.
        statement_s: how long DuckDB may work on one statement.
    """

    def __init__(self, job_s: float = math.inf, statement_s: float = LIMIT_S) -> None:
        self._job_s, self._statement_s = job_s, statement_s
        self._until = time.monotonic() + job_s
        self._bell = threading.Condition()
        self._cancelled = False

    def cancel(self) -> None:
        """End what runs."""
        with self._bell:
            self._cancelled = True
            self._bell.notify_all()

    def check(self) -> None:
        """Pass while the job may run.

        Raises:
            BigQueryError: stopped or timeout.
        """
        if self._cancelled:
            raise BigQueryError(
                "stopped", "Job execution was cancelled: User requested cancellation"
            )
        if time.monotonic() >= self._until:
            raise _timeout(self._job_s)

    @contextmanager
    def over(self, cursor: duckdb.DuckDBPyConnection) -> Generator[None]:
        """Interrupt what the connection runs meanwhile when the job may run no more.

        Raises:
            BigQueryError: it was interrupted.
        """
        self.check()
        until = min(self._until, time.monotonic() + self._statement_s)
        if until == math.inf:
            yield
            return
        ended = threading.Event()
        watch = threading.Thread(target=self._watch, args=(cursor, ended, until), daemon=True)
        watch.start()
        try:
            yield
        except (BigQueryError, duckdb.Error):
            self.check()
            if time.monotonic() >= until:
                raise _timeout(self._statement_s) from None
            raise
        finally:
            with self._bell:
                ended.set()
                self._bell.notify_all()
            watch.join()

    def _watch(
        self, cursor: duckdb.DuckDBPyConnection, ended: threading.Event, until: float
    ) -> None:
        with self._bell:
            while not ended.is_set() and not self._cancelled:
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._bell.wait(left)
            while not ended.is_set():
                cursor.interrupt()
                self._bell.wait(_AGAIN_S)


def _timeout(seconds: float) -> BigQueryError:
    return BigQueryError(
        "timeout",
        f"Operation timed out after {seconds:g} seconds. Consider reducing the amount of work "
        "performed by your operation so that it can complete within this limit.",
    )
