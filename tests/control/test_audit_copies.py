"""Copies of the record: all of it arrives, in order, also after failures and restarts."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from control.audit import Audit
from control.audit_chain import verify
from control.audit_copies import AuditCopies
from control.settings import load_settings
from control.store import open_store
from core.audit_record import AuditRecord
from core.errors import ConfigError, Unavailable
from services.webhook import SIGNATURE, Webhook
from tests.control.test_audit import record
from tests.waiting import wait_until


@dataclass
class Receiver:
    """A webhook's other end; `status` is its next answer."""

    url: str = ""
    status: int = 200
    bodies: list[tuple[bytes, str]] = field(default_factory=list[tuple[bytes, str]])
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def kinds(self) -> list[str]:
        """Of what was accepted."""
        return [r["kind"] for body, _ in self.bodies for r in json.loads(body)["records"]]


@contextmanager
def receiving() -> Generator[Receiver]:
    """A receiver on a free port."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with receiver.arrived:
                if receiver.status == 200:
                    receiver.bodies.append((body, self.headers.get(SIGNATURE, "")))
                self.send_response(receiver.status)
                self.end_headers()
                receiver.arrived.notify_all()

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook?token=s3cret"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield receiver
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """One that accepts."""
    with receiving() as found:
        yield found


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    """A record with one intent from before anything was copied."""
    made = Audit(open_store(f"sqlite:///{tmp_path}/heartwood.db"))
    record(made, "before")
    return made


def test_every_new_row_arrives_signed_and_in_order(audit: Audit, receiver: Receiver) -> None:
    """What was recorded before stays here; a row comes with its hash, without the whole plan."""
    copies = AuditCopies(audit.engine, "me", {"webhook": Webhook(receiver.url, "k")}, look_s=0.01)
    copies.start()
    with receiver.arrived:
        record(audit, "i1")
        assert receiver.arrived.wait_for(lambda: len(receiver.kinds()) == 2, 60)
    copies.stop()
    audit.finish("i1", "succeeded", 1, "done")
    again = AuditCopies(audit.engine, "me", {"webhook": Webhook(receiver.url, "k")}, look_s=0.01)
    again.start()
    again.stop()  # tries once more before it ends
    assert receiver.kinds() == ["intents", "intent_events", "intent_events"]
    body, signature = receiver.bodies[0]
    assert signature == f"sha256={hmac.new(b'k', body, hashlib.sha256).hexdigest()}"
    intent = json.loads(body)["records"][0]["row"]
    assert (intent["id"], intent["actor"], "plan" in intent) == ("i1", "ada", False)
    assert intent["verdicts"][0]["guard"] == "capacity_left"
    last = json.loads(receiver.bodies[-1][0])["records"][-1]
    assert (last["row"]["state"], last["hash"]) == ("succeeded", verify(audit.engine).head)
    assert [s.behind for s in again.states()] == [0]


def test_a_failing_destination_holds_nothing_up_and_gets_all_of_it_later(
    audit: Audit, receiver: Receiver
) -> None:
    """The record goes on; how much is missing and why is told, without the address."""
    copies = AuditCopies(audit.engine, "me", {"webhook": Webhook(receiver.url)})
    copies.start()
    receiver.status = 503
    record(audit, "i1")
    copies.stop()
    (state,) = copies.states()
    assert (state.behind, state.problem) == (2, "The webhook answered 503.")
    with pytest.raises(Unavailable):
        copies.copy("webhook")
    receiver.status = 200
    assert copies.copy("webhook") == 2
    assert [(s.behind, s.problem) for s in copies.states()] == [(0, "")]


class Breaking:
    """A destination with a fault of ours, until it is mended."""

    def __init__(self) -> None:
        self.mended = threading.Event()
        self.seen: list[str] = []

    def write(self, records: Sequence[AuditRecord]) -> None:
        """Raise what nobody foresaw."""
        if not self.mended.is_set():
            raise KeyError("https://example.com/?token=s3cret")
        self.seen.extend(r.hash for r in records)


def test_a_fault_that_nobody_foresaw_is_told_and_tried_again(audit: Audit) -> None:
    """The thread lives on; since when and where it fails is told, without what was raised."""
    broken = Breaking()
    copies = AuditCopies(audit.engine, "me", {"log": broken}, look_s=0.01)
    copies.start()
    record(audit, "i1")
    wait_until(lambda: copies.states()[0].problem != "")
    (first,) = copies.states()
    assert first.behind == 2
    assert first.failing_since is not None
    assert first.failing_since <= first.tried_at  # it may have been tried again by now
    assert first.problem.startswith("A fault of ours, KeyError at test_audit_copies.py:")
    assert "s3cret" not in first.problem
    wait_until(lambda: copies.states()[0].tried_at != first.tried_at)  # again, by itself
    assert copies.states()[0].failing_since == first.failing_since
    broken.mended.set()
    wait_until(lambda: copies.states()[0].behind == 0)
    copies.stop()
    (last,) = copies.states()
    assert (last.problem, last.failing_since, len(broken.seen)) == ("", None, 2)


def test_a_database_that_is_away_is_no_fault_of_ours(
    audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread lives on and copies when it is back; nothing is told of the destination."""
    away = threading.Event()
    seen: list[str] = []

    class Seeing:
        def write(self, records: Sequence[AuditRecord]) -> None:
            seen.extend(r.hash for r in records)

    def after(self: AuditCopies, seq: int) -> list[AuditRecord]:
        if not away.is_set():
            away.set()
            raise OperationalError("SELECT", {}, ConnectionError("gone"))
        return found(self, seq)

    found = AuditCopies._after
    monkeypatch.setattr(AuditCopies, "_after", after)
    copies = AuditCopies(audit.engine, "me", {"log": Seeing()}, look_s=0.01)
    copies.start()
    assert away.wait(60)
    assert copies.states()[0].problem == ""
    record(audit, "i1")
    wait_until(lambda: copies.states()[0].behind == 0)
    copies.stop()
    assert len(seen) == 2


def test_of_several_consoles_one_copies(audit: Audit) -> None:
    """While one is at it the other leaves it alone; each row arrives once."""
    seen: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    class Slow:
        def write(self, records: Sequence[AuditRecord]) -> None:
            begun.set()
            assert go_on.wait(60)
            seen.extend(r.hash for r in records)

    slow = Slow()
    one, other = (AuditCopies(audit.engine, me, {"log": slow}, look_s=3600) for me in "ab")
    one._enrol("log")
    record(audit, "i1")
    thread = threading.Thread(target=one.copy, args=("log",))
    thread.start()
    assert begun.wait(60)
    assert other.copy("log") == 0
    go_on.set()
    thread.join()
    assert len(seen) == len(set(seen)) == 2


@pytest.mark.parametrize("url", ["http://example.com/x", "ftp://a", "not an address"])
def test_the_record_goes_nowhere_in_clear(url: str, tmp_path: Path) -> None:
    """Only https, or this machine; the refusal does not repeat the address."""
    with pytest.raises(ConfigError) as told:
        load_settings(environ={"HEARTWOOD_AUDIT__WEBHOOK_URL": url})
    assert "https" in str(told.value)
    assert url not in str(told.value)
