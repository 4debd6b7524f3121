"""Runs app.py in Streamlit's AppTest over a planted Console."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest, app_test

from tests import make
from tests.pages.fake_console import FakeConsole
from ui import access

ROOT = Path(__file__).resolve().parents[2]
Open = Callable[..., AppTest]


class _NavigatedPages(PagesManager):
    """As in a process in which `st.navigation` was called before.

    AppTest forgets that before every run, takes pages/ for the old kind of app, and a page that
    then starts anew through app.py loses the click that the run was for.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        PagesManager.uses_pages_directory = False


@pytest.fixture
def console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeConsole:
    """The default world, read six seconds ago."""
    planted = FakeConsole(make.make_snapshot("normal", datetime.now(UTC)), tmp_path)
    monkeypatch.setattr(access, "get_console", lambda: planted)
    monkeypatch.setattr(app_test, "PagesManager", _NavigatedPages)
    return planted


@pytest.fixture
def open_page(console: FakeConsole) -> Open:
    """Opens a page by name with query parameters; fails when a page raises."""

    def opened(name: str, **query: str) -> AppTest:
        at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        if name != "overview":
            at.switch_page(f"pages/{name}.py")
        for key, value in query.items():
            at.query_params[key] = value
        at.run()
        assert not at.exception, [e.value for e in at.exception]
        return at

    return opened


def all_text(at: AppTest) -> str:
    """Every word that a page shows, for asking whether something is said at all."""
    parts = [
        e.value for kind in ("markdown", "caption", "html", "code", "text") for e in at.get(kind)
    ]
    parts += [f"{m.label} {m.value}" for m in at.metric]
    parts += [f"{e.value}" for kind in ("error", "warning", "info") for e in at.get(kind)]
    parts += [f"{d.value.to_csv()}" for d in (*at.dataframe, *at.table)]
    return "\n".join(str(p) for p in parts)
