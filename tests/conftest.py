"""What all tests share: how they are spread, a profile for property tests, what emulators said."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from services.sdk_imports import defer_packages
from tests.processes import RECORDINGS_VARIABLE

HERE = Path(__file__).parent

# Where this is set, every worker and every process that a test starts compiles our modules anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# Of Google's largest packages every worker would import each service at collection.
defer_packages()

# Property tests judge results, not how busy the machine is.
settings.register_profile("shared-machine", deadline=None)
settings.load_profile("shared-machine")


class _ByFile(LoadScopeScheduling):
    """A file's tests on one worker; all that needs the browser too, with one stack of servers."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "tests/browser" if file.startswith("tests/browser/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> _ByFile:
    """How `pytest -n` spreads tests over its workers."""
    # In the order of the folders, the browser's first, and not the files with most tests first: the
    # slowest have few, and a folder's emulators serve its files one after another.
    config.option.loadscopereorder = False
    return _ByFile(config, log)


class Recordings:
    """Every answer of every emulator, and the request for it, is as Google documents it.

    Our adapters' calls are among them. It is checked when the session ends; after a run of all
    tests, where none of the commands and browsers was missing, the methods seen must be those that
    tests/emulator/checked.txt lists, from which the coverage is told.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="heartwood-recordings-"))
        self.ran: set[Path] = set()
        self.skipped = False
        self.wrong: list[str] = []
        os.environ[RECORDINGS_VARIABLE] = str(self.folder)  # workers inherit it

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note which files ran, and whether anything that talks to an emulator was left out."""
        file = report.nodeid.partition("::")[0]
        self.ran.add(HERE.parent / file)
        self.skipped |= report.skipped and file.startswith(("tests/emulator", "tests/browser"))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Check what was recorded, once all emulators have stopped; what is wrong fails the run."""
        files = sorted(self.folder.glob("*.jsonl"))
        try:
            if files:
                self._check(files, whole=not session.testsfailed and self._ran_all())
        finally:
            del os.environ[RECORDINGS_VARIABLE]
            shutil.rmtree(self.folder)
        if self.wrong:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what is wrong."""
        if self.wrong:
            terminalreporter.section("not as Google documents it", red=True)
            terminalreporter.write("".join(f"{line}\n" for line in self.wrong))

    def _ran_all(self) -> bool:
        return not self.skipped and self.ran >= set(HERE.rglob("test_*.py"))

    def _check(self, files: list[Path], *, whole: bool) -> None:
        from tests.emulator.checked import CHECKED, UPDATE_VARIABLE, hold
        from tests.emulator.exchanges import read_all

        findings = read_all(files)
        self.wrong = sorted(findings.wrong)
        if whole or os.environ.get(UPDATE_VARIABLE):
            gone = hold(findings.checked, CHECKED)
            self.wrong += [f"listed as checked, and not checked: {name}" for name in sorted(gone)]


def pytest_configure(config: pytest.Config) -> None:
    """Record in the process that sees all reports, not in each worker."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recordings(), "recordings")
