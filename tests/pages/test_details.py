"""What single pages promise: routes, audit details, downloads, the playground's answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest

from control.audit_copies import AuditCopies
from core.audit_record import AuditRecord
from core.plans import Request
from core.specs import TierSpec
from tests import make
from tests.control.test_audit import record
from tests.pages.conftest import Open, all_text
from tests.pages.fake_console import FakeConsole
from ui import playground_view

WORDS = ("Paris", " is", " the", " capital.")


class _Server(BaseHTTPRequestHandler):
    """Streams four words as an OpenAI-compatible server does; refuses the word "fail"."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.seen.append(body)  # type: ignore[attr-defined]
        if body["messages"][-1]["content"] == "fail":
            self._send(503, "application/json", json.dumps({"error": {"message": "compiling"}}))
            return
        events = [{"choices": [{"delta": {"content": w}, "finish_reason": None}]} for w in WORDS]
        events.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
        usage = {"prompt_tokens": 12, "completion_tokens": 4}
        events.append({"choices": [], "usage": usage})
        lines = [f"data: {json.dumps(e)}\n\n" for e in events] + ["data: [DONE]\n\n"]
        self._send(200, "text/event-stream", "".join(lines))

    def _send(self, status: int, kind: str, text: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    """A server on a free port."""
    found = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    found.seen = []  # type: ignore[attr-defined]
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


def at_server(console: FakeConsole, server: ThreadingHTTPServer, usd: float | None = None) -> None:
    """Point the local tier at that server."""

    def moved(spec: TierSpec) -> TierSpec:
        if not spec.is_local:
            return spec
        url = f"http://127.0.0.1:{server.server_address[1]}"
        return replace(spec, endpoint_url=url, usd_per_hour=usd)

    specs = tuple(moved(s) for s in console.planted.specs)
    console.planted = replace(console.planted, specs=specs)


def test_an_answer_streams_with_its_figures(
    console: FakeConsole, open_page: Open, server: ThreadingHTTPServer
) -> None:
    """The answer stands with TTFT, tokens, finish and the request as curl; unpriced is said."""
    at_server(console, server)
    at = open_page("playground")
    at.chat_input[0].set_value("What is the capital of France?").run()
    assert not at.exception
    text = all_text(at)
    assert "Paris is the capital." in text
    assert "TTFT" in text
    assert "12 + 4 tokens" in text
    assert "not priced" in text
    assert "curl -N" in text
    assert "/v1/chat/completions" in text


def test_a_priced_tier_tells_the_answers_dollars(
    console: FakeConsole, open_page: Open, server: ThreadingHTTPServer
) -> None:
    """With a configured price the answer costs rate × duration, and says on what basis."""
    at_server(console, server, usd=36.0)
    at = open_page("playground")
    at.chat_input[0].set_value("hello").run()
    assert "configured rate × duration" in all_text(at)


def test_an_answer_of_a_priced_tier_that_was_cut_off_costs_an_unknown_amount(
    console: FakeConsole, open_page: Open, server: ThreadingHTTPServer
) -> None:
    """Nobody knows how long the server went on: unknown, which is not "not priced"."""
    at_server(console, server, usd=36.0)
    at = open_page("playground")
    at.chat_input[0].set_value("fail").run()
    text = all_text(at)
    assert "Local  ·  unknown" in text
    assert "not priced" not in text


def test_tiers_behind_a_load_balancer_are_reached_by_their_paths(
    console: FakeConsole, open_page: Open
) -> None:
    """A bare address gets the prefix that the URL map has for the tier; without one it says so."""

    def behind(spec: TierSpec) -> TierSpec:
        url = "" if spec.is_local else "http://llm.example.com"
        return replace(spec, endpoint_url=url)

    console.planted = replace(console.planted, specs=tuple(map(behind, console.planted.specs)))
    at = open_page("playground")
    at.button(key="target_medium").click().run()
    assert not at.chat_input[0].disabled
    balancer = console.planted.load_balancer
    assert balancer is not None
    bare = replace(balancer.url_maps[0], matchers=())
    console.planted = replace(console.planted, load_balancer=replace(balancer, url_maps=(bare,)))
    at.run()
    assert "No path leads to Medium alone" in all_text(at)
    assert at.chat_input[0].disabled


def test_a_servers_password_is_refused_before_it_is_shown(
    console: FakeConsole, open_page: Open
) -> None:
    """The address field says what to do; nothing can be sent; the export has no such turn."""
    at = open_page("playground")
    at.button(key="target_other").click().run()
    at.text_input(key="other_url").set_value("http://ada:hunter2@models.example").run()
    assert not at.exception
    assert "no user name or password" in all_text(at)
    assert "hunter2" not in all_text(at)
    assert at.chat_input[0].disabled
    at.text_input(key="other_url").set_value("http://169.254.169.254/v1").run()
    assert "never called" in all_text(at)
    assert at.chat_input[0].disabled


@pytest.mark.parametrize(
    ("listed", "bound", "allowed"),
    [
        ((), "127.0.0.1", None),
        ((), "::1", None),
        ((), "localhost", None),
        ((), "0.0.0.0", ()),
        ((), "10.0.0.7", ()),
        ((), None, ()),
        (("a:1",), "127.0.0.1", ("a:1",)),
        (("a:1",), None, ("a:1",)),
    ],
)
def test_who_listens_beyond_this_machine_calls_listed_servers_only(
    listed: tuple[str, ...], bound: str | None, allowed: tuple[str, ...] | None
) -> None:
    """Streamlit's own default, no address at all, is all of them."""
    assert playground_view.allowed_servers(listed, bound) == allowed


def test_a_refusal_is_explained_and_the_prompt_is_kept(
    console: FakeConsole, open_page: Open, server: ThreadingHTTPServer
) -> None:
    """An error has its reason, the conversation stays, and the next prompt works."""
    at_server(console, server)
    at = open_page("playground")
    at.chat_input[0].set_value("fail").run()
    assert not at.exception
    assert at.error
    assert "compiling" in all_text(at)
    at.chat_input[0].set_value("again").run()
    assert "Paris is the capital." in all_text(at)
    sent = server.seen[-1]["messages"]  # type: ignore[attr-defined]
    assert [m["content"] for m in sent] == ["again"], "a failed turn is no context"


def test_tiers_without_an_address_are_disabled_with_the_reason(open_page: Open) -> None:
    """They stay to be seen, and say what is missing."""
    at = open_page("playground")
    button = at.button(key="target_dev")
    assert button.disabled
    assert "no address" in (button.help or "")
    assert not at.button(key="target_small").disabled


def test_the_route_tester_explains(open_page: Open) -> None:
    """A path is traced through the URL map's rules."""
    at = open_page("traffic")
    at.text_input(key="route_path").set_value("/medium/v1/x").run()
    text = all_text(at)
    assert "hw-medium" in text
    assert "longest prefix" in text


def test_an_intent_has_a_deep_link(console: FakeConsole, open_page: Open) -> None:
    """?intent=ID opens who, why, verdicts, steps and events."""
    judged = console.plan(Request("scale_tier", "small", {"delta": -1}))
    console.submit(judged, judged.consents_needed, reason="less load", intent="abc")
    console.audit.finish("abc", "succeeded", 1, "1 of 1 steps done and verified")
    text = all_text(open_page("audit", intent="abc"))
    for wanted in ("ada", "less load", "succeeded", "Capacity left", "gcloud"):
        assert wanted in text
    listing = all_text(open_page("audit"))
    assert "Remove 1 host-slice" in listing


def test_an_unknown_intent_is_said(open_page: Open) -> None:
    """A wrong link is no exception."""
    assert "There is no such intent" in all_text(open_page("audit", intent="nope"))
    planted = all_text(open_page("audit", intent="[sign in](https://evil.example)"))
    assert "[sign in](" not in planted  # an address is no place for somebody's link


def test_read_all_now_asks_the_refresher(console: FakeConsole, open_page: Open) -> None:
    """The button asks for a read; it does not read by itself."""
    at = open_page("connections")
    at.button(key="read_now").click().run()
    assert console.asked == 1


def test_connections_tell_error_and_next_step(console: FakeConsole, open_page: Open) -> None:
    """A failing source stands with its message and its hint."""
    from core.records import Source

    console.planted = make.make_failure(console.planted, Source.VERTEX)
    text = all_text(open_page("connections"))
    assert "no connection to" in text
    assert "make run" in text


def test_audit_finds_people_by_a_part_of_their_name(console: FakeConsole, open_page: Open) -> None:
    """In any case; the link to the details takes range and tier along."""
    judged = console.plan(Request("scale_tier", "small", {"delta": -1}))
    console.submit(judged, judged.consents_needed, intent="abc")
    query = {"range": "24h", "tier": "small"}
    (shown,) = open_page("audit", **query, audit_actor="AD").dataframe
    address, _, told = str(shown.value["Open"][0]).partition("?")
    assert address == "/audit"
    assert parse_qs(told) == {"intent": ["abc"], "range": ["24h"], "tier": ["small"]}
    for nobody in ("%", "a_a", "bob"):
        assert not open_page("audit", **query, audit_actor=nobody).dataframe


def test_a_part_stands_where_it_runs(open_page: Open) -> None:
    """Vertex is regional: its part shows the region, and not the zone of the tier's nodes."""
    at = open_page("fleet")
    parts = at.dataframe[0].value.set_index(["Tier", "Part"])["Where"]
    small = dict(parts["Small"])
    assert set(small.values()) == {"us-central1-c", "us-central1"}
    assert parts["Local"].tolist() == ["this machine"]


def test_a_machine_without_a_tpu_is_not_unknown(open_page: Open) -> None:
    """Its chips' figures are not missing, there are none; beside TPUs the reason says so."""
    alone = open_page("fleet", tier="local").dataframe[-1].value
    assert set(alone["TensorCore"]) == {"no TPU"}
    every = open_page("fleet").dataframe[-1].value.set_index("Tier")
    assert "no TPU" in every.loc["Local", "Why"]


def test_the_audit_page_says_since_when_copying_fails(
    console: FakeConsole, open_page: Open
) -> None:
    """And why, where all that waits is told of a copy that works."""

    class Broken:
        def write(self, records: Sequence[AuditRecord]) -> None:
            raise KeyError(len(records))

    console.copies = AuditCopies(console.audit.engine, "here", {"webhook": Broken()}, look_s=60)
    console.copies.start()
    record(console.audit, "i1")
    assert "2 still to come" in all_text(open_page("audit"))
    console.copies.stop()  # tries once more before it ends
    (state,) = console.copies.states()
    text = all_text(open_page("audit"))
    assert "still to come" not in text
    assert f"failed since {state.failing_since:%Y-%m-%d %H:%M:%S} UTC, 2 records to come" in text
    assert "A fault of ours, KeyError at" in text
