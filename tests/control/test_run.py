"""The supervisor, with small children of its own; and the table of the real ones."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from control.run import children, chosen_state_dir, main
from control.settings import ROOT, load_settings
from control.supervisor import ChildSpec, Port, check_ports
from core.errors import ConfigError

# A child that answers on a port, with what it says and does given on its command line.
SERVER = """
import http.server, signal, sys, time
port, after_s, stubborn = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "stubborn"
began = time.monotonic()
if stubborn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        healthy = time.monotonic() - began >= after_s
        self.send_response(200 if healthy else 503)
        self.end_headers()
        self.wfile.write(b'{"message": "warming up", "done": 1, "total": 2}')
    def log_message(self, *a): pass
print("listening", flush=True)
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""
DIES = "import sys, time; time.sleep(0.5); print('out of cheese'); sys.exit(7)"

# Runs a table of such children, as `control.run` does the real ones.
PARENT = """
import json, sys
from pathlib import Path
from control.supervisor import ChildSpec, Port, supervise
specs = []
for name, code, args, port, limit in json.loads(sys.argv[1]):
    specs.append(ChildSpec(
        name=name, argv=(sys.executable, "-u", "-c", code, *args), cwd=Path("."),
        health_url=f"http://127.0.0.1:{port}/", url=f"http://127.0.0.1:{port}",
        log_path=Path(sys.argv[2]) / f"{name}.log", stop_limit_s=limit,
        ports=(Port("127.0.0.1", port, f"THE_{name.upper()}_PORT"),)))
def say(line): print(line, flush=True)
try:
    sys.exit(supervise(specs, say=say, show=say, start_limit_s=float(sys.argv[3])))
except Exception as error:
    print(f"{type(error).__name__}: {error}")
    sys.exit(2)
"""


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Parent:
    """A supervisor under test, in a process of its own."""

    process: subprocess.Popen[str]
    output: Path

    def said(self) -> str:
        return self.output.read_text()

    def wait_for(self, text: str, limit_s: float = 120) -> None:
        """Until it has said that."""
        wait(lambda: text in self.said(), limit_s, lambda: self.said())

    def end(self) -> tuple[int, str]:
        """Its exit status and all that it said."""
        return self.process.wait(120), self.said()


def wait(until: Callable[[], bool], limit_s: float, what: Callable[[], str] = str) -> None:
    """Until that holds, or fail."""
    end = time.monotonic() + limit_s
    while not until():
        assert time.monotonic() < end, f"waited {limit_s} s in vain; {what()}"
        time.sleep(0.05)


Row = tuple[str, str, list[str], int, float]
Start = Callable[..., Parent]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a supervisor over a table of children; whatever is left of it is killed."""
    started: list[Parent] = []

    def run(rows: list[Row], start_limit_s: float = 120) -> Parent:
        output = tmp_path / "said.txt"
        with output.open("w") as sink:
            process = subprocess.Popen(
                [sys.executable, "-c", PARENT, json.dumps(rows), str(tmp_path), str(start_limit_s)],
                cwd=ROOT,
                stdout=sink,
                stderr=subprocess.STDOUT,
                text=True,
            )
        started.append(Parent(process, output))
        return started[-1]

    yield run
    for parent in started:
        if parent.process.poll() is None:
            parent.process.kill()
            parent.process.wait()


def server(name: str, after_s: float = 0, mode: str = "plain", limit_s: float = 5) -> Row:
    """A child that answers after so many seconds."""
    port = free_port()
    return (name, SERVER, [str(port), str(after_s), mode], port, limit_s)


def family(parent: Parent) -> list[psutil.Process]:
    """The supervisor's children that live."""
    return psutil.Process(parent.process.pid).children(recursive=True)


def gone(processes: list[psutil.Process]) -> bool:
    """Whether none of them runs any more."""
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def test_it_waits_for_all_and_prints_their_urls(start: Start) -> None:
    """Ready is said once every child answers 200; until then it says what it waits for."""
    rows = [server("quick"), server("slow", after_s=1.5)]
    parent = start(rows)
    parent.wait_for("Ready after")
    said = parent.said()
    assert "slow (warming up, 1 of 2)" in said.partition("Ready after")[0]
    for row in rows:
        assert f"http://127.0.0.1:{row[3]}" in said.partition("Ready after")[2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_cleanly(start: Start, number: signal.Signals) -> None:
    """Ctrl-C ends every child and exits with 0."""
    parent = start([server("one"), server("two")])
    parent.wait_for("Ready after")
    processes = family(parent)
    assert len(processes) == 2
    parent.process.send_signal(number)
    assert parent.end()[0] == 0
    assert gone(processes)


def test_a_signal_while_starting_stops_all(start: Start) -> None:
    """Nobody has to wait for the start to end before stopping it."""
    parent = start([server("never", after_s=1e9)])
    parent.wait_for("warming up")
    processes = family(parent)
    parent.process.send_signal(signal.SIGINT)
    assert parent.end()[0] == 0
    assert gone(processes)


def test_a_child_that_ignores_term_is_killed(start: Start) -> None:
    """After its limit a stubborn child is killed, and named."""
    parent = start([server("stubborn", mode="stubborn", limit_s=0.5), server("other")])
    parent.wait_for("Ready after")
    processes = family(parent)
    parent.process.send_signal(signal.SIGTERM)
    status, said = parent.end()
    assert status == 0
    assert "The stubborn does not stop; killing it." in said
    assert gone(processes)


def test_a_child_that_dies_takes_the_others_with_it(start: Start) -> None:
    """It is named with its status and last log lines; the exit status is not 0."""
    other = server("other")
    parent = start([("mouse", DIES, [], free_port(), 5.0), other])
    status, said = parent.end()
    assert status == 1
    assert "The mouse ended with status 7" in said
    assert "  | out of cheese" in said
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", other[3]), 1)


def test_a_child_killed_later_is_noticed(start: Start) -> None:
    """Also after the start: killed from outside, it is named with the signal."""
    parent = start([server("one"), server("two")])
    parent.wait_for("Ready after")
    processes = family(parent)
    processes[0].kill()
    status, said = parent.end()
    assert status == 1
    assert "ended by SIGKILL" in said
    assert gone(processes)


def test_one_that_never_gets_healthy_ends_the_start(start: Start) -> None:
    """There is a limit, after which it is named with what it said last."""
    parent = start([server("ill", after_s=1e9)], start_limit_s=1)
    status, said = parent.end()
    assert status == 1
    assert "The ill did not become healthy within 1 s (warming up, 1 of 2" in said
    assert "  | listening" in said


def test_a_port_in_use_is_one_line_with_its_variable(start: Start) -> None:
    """Nothing is started when a port is taken; the line says which variable moves it."""
    taken, free = server("taken"), server("free")
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", taken[3]))
        holder.listen()
        status, said = start([free, taken]).end()
    assert status == 2
    assert said.strip().count("\n") == 0
    assert f"port {taken[3]}" in said
    assert "is in use; set THE_TAKEN_PORT" in said


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's prctl")
def test_children_die_with_a_supervisor_that_is_killed(start: Start) -> None:
    """kill -9 of the supervisor leaves no process behind."""
    parent = start([server("one"), server("two", mode="stubborn")])
    parent.wait_for("Ready after")
    processes = family(parent)
    parent.process.kill()
    parent.process.wait()
    wait(lambda: gone(processes), 5)


def test_a_port_left_in_time_wait_is_free() -> None:
    """A second start right after the first is not refused for connections that just ended."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = int(listener.getsockname()[1])
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = listener.accept()
        accepted.close()
        client.close()
    spec = ChildSpec(
        name="one",
        argv=("true",),
        health_url="",
        log_path=Path("unused"),
        cwd=ROOT,
        ports=(Port("127.0.0.1", port, "X"),),
    )
    check_ports([spec])


def test_an_address_of_another_machine_is_refused() -> None:
    """Binding fails before anything starts, and says why."""
    port = Port("192.0.2.1", 8501, "HEARTWOOD_CONSOLE_PORT")
    spec = ChildSpec("one", ("true",), "", Path("unused"), ROOT, ports=(port,))
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1"):
        check_ports([spec])


def test_the_table_names_the_three_processes() -> None:
    """Each gets its port, the data directory, and a log of its own; streamlit opens nothing. What
    the emulator keeps, it keeps per scenario, or where the environment says.
    """
    settings = load_settings(environ={"HEARTWOOD_CONSOLE_PORT": "8600"})
    table = {child.name: child for child in children(settings, "full-fleet", 60)}
    assert list(table) == ["emulator", "inference server", "console"]
    state = str(settings.data.dir / "emulator-full-fleet")
    wanted = ("--scenario", "full-fleet", "--speed", "60", "--state-dir", state)
    assert table["emulator"].argv[-6:] == wanted
    anew = children(settings, "full-fleet", 60, fresh=True)[0]
    assert anew.argv[-7:] == (*wanted, "--fresh")
    named = chosen_state_dir({"HEARTWOOD_EMULATOR_STATE_DIR": "/tmp/kept"})
    elsewhere = children(settings, "full-fleet", 60, state_dir=named)[0]
    assert elsewhere.argv[-2:] == ("--state-dir", "/tmp/kept")
    assert chosen_state_dir({}) is None
    assert table["emulator"].health_url == "http://127.0.0.1:9080/healthz"
    assert table["inference server"].health_url == "http://127.0.0.1:8080/ready"
    console = table["console"]
    assert console.health_url == "http://127.0.0.1:8600/healthz"
    assert console.argv[-4:-2] == ("--server.headless", "true")
    assert len({child.log_path for child in table.values()}) == 3
    for child in table.values():
        assert child.env["HEARTWOOD_CONSOLE_PORT"] == "8600"
        assert child.env["HEARTWOOD_DATA_DIR"] == str(settings.data.dir)


def test_against_google_there_is_no_emulator() -> None:
    """The real cloud needs no stand-in, and the emulator's ports may be taken."""
    settings = load_settings(environ={"HEARTWOOD_CLOUD__TARGET": "google"})
    assert [child.name for child in children(settings, "normal", 60)] == [
        "inference server",
        "console",
    ]


@pytest.mark.parametrize(
    ("given", "scenario"),
    [(["--local-pods=1"], ""), (["--speed=5"], ""), (["--fresh"], ""), ([], "hot-key")],
)
def test_what_nobody_would_read_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    given: list[str], scenario: str,
) -> None:  # fmt: skip
    """The emulator's options where Google is the target: named, with what to do, before a start."""
    monkeypatch.setenv("HEARTWOOD_CLOUD__TARGET", "google")
    monkeypatch.setenv("HEARTWOOD_EMULATOR_SCENARIO", scenario)
    assert main(given) == 2
    told = capsys.readouterr().err
    assert (given[0].partition("=")[0] if given else "HEARTWOOD_EMULATOR_SCENARIO") in told
    assert "no emulator is started" in told
    assert "Leave it out" in told


@pytest.mark.parametrize("given", ["--speed=0", "--speed=nan", "--local-pods=-1"])
def test_numbers_that_can_not_be_are_refused_before_a_start(given: str) -> None:
    """As argparse does, and not in a child's log."""
    with pytest.raises(SystemExit):
        main([given])


def test_a_wrong_setting_stops_the_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status 2 and one readable block; nothing was started."""
    monkeypatch.setenv("HEARTWOOD_CLOUD__TARGET", "aws")
    assert main([]) == 2
    assert "cloud.target" in capsys.readouterr().err
