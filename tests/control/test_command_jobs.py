"""Actions under way on the command line: told, held and let go from beside a running console."""

from __future__ import annotations

from pathlib import Path

import pytest

from control.__main__ import main
from core.plans import Request
from tests.control.console_parts import Parts


def test_jobs_are_told_and_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An id's beginning is enough, an unknown one is refused; every word is in the record."""
    monkeypatch.setenv("HEARTWOOD_DATA_DIR", str(tmp_path))
    parts = Parts(tmp_path)
    judged = parts.planning.plan(Request("scale_tier", "small", {"delta": -1}))
    parts.audit.record_intent(
        "c0ffee", judged.plan, judged.verdicts, (), actor="ada", origin="test", reason=""
    )
    assert main(["jobs", "pause", "c0f"]) == 0
    assert main(["jobs", "list"]) == 0
    told = capsys.readouterr().out
    assert "c0ffee  paused     step 0 of 1" in told
    assert "no further step begins" in told
    assert main(["jobs", "resume", "c0ffee"]) == 0
    assert main(["jobs", "stop", "c0ffee"]) == 0
    assert "cancelled by" in capsys.readouterr().out
    assert main(["jobs", "stop", "c0ffee"]) == 1
    assert "No actions under way" in capsys.readouterr().err
    states = [p.state for p in parts.audit.log("c0ffee")]
    assert states == ["confirmed", "paused", "confirmed", "cancelled"]
