"""What all tests share: a profile for property tests, and a check of all that emulators said."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.processes import RECORDINGS_VARIABLE

# Property tests judge results, not how busy the machine is.
settings.register_profile("shared-machine", deadline=None)
settings.load_profile("shared-machine")


@pytest.fixture(scope="session", autouse=True)
def recordings(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Every answer of every emulator, and the request for it, is as Google documents it.

    Our adapters' calls are among them. It is checked when the session ends; after a run of the
    whole of tests/emulator, the methods seen must be those that tests/emulator/checked.txt lists,
    from which the coverage is told.
    """
    folder = tmp_path_factory.mktemp("recordings")
    os.environ[RECORDINGS_VARIABLE] = str(folder)
    yield
    del os.environ[RECORDINGS_VARIABLE]
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        return
    from tests.emulator.checked import CHECKED, UPDATE_VARIABLE, hold
    from tests.emulator.exchanges import Findings

    findings = Findings()
    for file in files:
        findings.read(file)
    whole = _ran_all(request.session, Path(__file__).with_name("emulator"))
    if whole or os.environ.get(UPDATE_VARIABLE):
        hold(findings.checked, CHECKED)
    assert sorted(findings.wrong) == []


def _ran_all(session: pytest.Session, folder: Path) -> bool:
    ran = {item.path for item in session.items}
    return not session.testsfailed and ran >= set(folder.rglob("test_*.py"))
