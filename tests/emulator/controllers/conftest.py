"""No controller may fail unseen: a failure is only logged, so that others go on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def no_failures(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fails the test in which a controller raised."""
    yield
    raised = [r for phase in ("setup", "call") for r in caplog.get_records(phase) if r.exc_info]
    assert not raised, raised[0].exc_text
