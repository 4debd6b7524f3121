"""The journal's format: what is written is read, and any beginning of it is a journal."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from emulator.journal.file import Appender, Damaged, Reader, decode, encode
from emulator.journal.folder import Head, StateError, StateFolder

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
_RECORDS = st.dictionaries(st.text(max_size=8), _VALUES, max_size=4)


class JournalMachine(RuleBasedStateMachine):
    """A journal that is written, cut anywhere, spoilt at its end and opened again."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "journal"
        self.path.write_bytes(b"")
        self.written: list[dict[str, Any]] = []
        self.appender = Appender(self.path, 0)

    def _read(self) -> tuple[list[dict[str, Any]], Reader]:
        reader = Reader(self.path)
        return list(reader.records()), reader

    @rule(record=_RECORDS)
    def append(self, record: dict[str, Any]) -> None:
        """One more."""
        self.appender.sync(self.appender.append(record))
        self.written.append(record)

    @rule(share=st.floats(0, 1), tail=st.binary(max_size=20))
    def crash(self, share: float, tail: bytes) -> None:
        """Cut at any byte, with what a half-written line may leave there; then go on."""
        self.appender.close()
        whole = self.path.read_bytes()
        cut = whole[: int(share * len(whole))]
        self.path.write_bytes(cut + tail.replace(b"\n", b""))
        found, reader = self._read()
        assert found == self.written[: len(found)]
        lines = cut.count(b"\n")
        assert len(found) == lines
        assert reader.good + reader.torn == self.path.stat().st_size
        self.written = found
        self.appender = Appender(self.path, reader.good)

    @invariant()
    def reads_back(self) -> None:
        """All that was written, in order, and nothing torn."""
        found, reader = self._read()
        assert found == self.written
        assert reader.torn == 0

    def teardown(self) -> None:
        self.appender.close()
        self.folder.cleanup()


TestJournal = JournalMachine.TestCase
TestJournal.settings = TestJournal.settings.__class__(max_examples=25, stateful_step_count=12)


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    """At the end it is cut off with the record; before others it is damage, and is told where."""
    path = tmp_path / "journal"
    lines = [encode({"n": n, "text": "x" * 20}) for n in range(3)]
    for at in range(len(lines[0]) - 1):  # but the line's end, without which two lines are one
        spoilt = bytearray(lines[0])
        spoilt[at] ^= 1
        assert decode(bytes(spoilt)) is None
        path.write_bytes(lines[1] + bytes(spoilt))
        assert [r["n"] for r in Reader(path).records()] == [1]
        path.write_bytes(lines[1] + bytes(spoilt) + lines[2])
        with pytest.raises(Damaged, match=f"byte {len(lines[1])}"):
            list(Reader(path).records())


def test_a_journal_that_cannot_be_written_takes_nothing_more(tmp_path: Path) -> None:
    """After a failed write no later one succeeds: the order would be lost."""
    appender = Appender(tmp_path / "journal", 0)
    appender.append({"n": 1})
    appender.close()
    with pytest.raises(OSError, match="closed"):
        appender.append({"n": 2})
    assert [r["n"] for r in Reader(tmp_path / "journal").records()] == [1]


def _open(path: Path, scenario: str = "normal", seed: int = 7, **more: Any) -> StateFolder:
    return StateFolder(path, Head(scenario, seed, 1.0e9), **more)


def _go_on(folder: StateFolder) -> tuple[list[dict[str, Any]], Appender]:
    records = list(folder.records())
    assert folder.journal is not None
    return records, folder.journal


def test_a_directory_is_of_one_project_and_one_process(tmp_path: Path) -> None:
    """Another scenario, seed or process is refused; a fresh start drops what there was."""
    path = tmp_path / "state"
    first = _open(path)
    records, journal = _go_on(first)
    assert records == []
    journal.append({"kind": "start", "at": 1.0})
    (first.bodies / "00000001").write_bytes(b"x")
    with pytest.raises(StateError, match="in use by another"):
        _open(path)
    first.close()
    for given, told in (({"scenario": "full-fleet"}, "of scenario normal, not full-fleet"),
                        ({"seed": 8}, "of seed 7, not 8")):  # fmt: skip
        with pytest.raises(StateError, match=told):
            _open(path, **given)
    again = _open(path)
    assert [r["kind"] for r in _go_on(again)[0]] == ["start"]
    assert again.head == Head("normal", 7, 1.0e9)
    again.close()
    anew = _open(path, "full-fleet", fresh=True)
    assert _go_on(anew)[0] == []
    assert not list(anew.bodies.iterdir())
    anew.close()


def test_a_damaged_or_foreign_journal_is_refused(tmp_path: Path) -> None:
    """A record broken in the middle, another format, and a file that is no journal."""
    path = tmp_path / "state"
    folder = _open(path)
    appender = _go_on(folder)[1]
    for n in range(3):
        appender.append({"kind": "start", "at": float(n)})
    folder.close()
    journal = path / "journal"
    whole = journal.read_bytes()
    journal.write_bytes(whole.replace(b'"at":1.0', b'"at":9.0'))
    spoilt = _open(path)
    with pytest.raises(StateError, match="is damaged, and others follow it"):
        _go_on(spoilt)
    spoilt.close()
    journal.write_bytes(encode({"kind": "head", "format": 99}))
    with pytest.raises(StateError, match="format 99"):
        _open(path)
    journal.write_bytes(b"something else\n")
    with pytest.raises(StateError, match="is no journal"):
        _open(path)
