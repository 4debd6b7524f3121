"""Pages that a browser shows cannot reach the emulator; programs of this machine can."""

from __future__ import annotations

import httpx
import pytest

from emulator.wire.errors import ApiError
from emulator.wire.visitors import check_visitor
from tests.processes import EmulatorProcess


def test_a_page_from_elsewhere_changes_nothing(emulator: EmulatorProcess) -> None:
    """A plain form's POST, which no browser asks leave for, is refused; so is a rebound name."""
    url = f"{emulator.rest_url}/_heartwood/faults"
    rule = b'{"service": "tpu", "code": "UNAVAILABLE", "id": "from-a-page"}'
    plain = {"content-type": "text/plain", "origin": "http://page.example"}
    assert httpx.post(url, content=rule, headers=plain).status_code == 403
    answer = httpx.post(url, content=rule, headers={"host": "rebound.example:9080"})
    assert answer.status_code == 403
    assert "HEARTWOOD_EMULATOR_HOST" in answer.json()["error"]["message"]
    own = httpx.get(url, headers={"origin": emulator.rest_url})
    assert "from-a-page" not in own.raise_for_status().text


@pytest.mark.parametrize(
    ("host", "origin", "bound_to", "passes"),
    [
        ("127.0.0.1:9080", "", "127.0.0.1", True),
        ("localhost:9080", "http://localhost:8501", "127.0.0.1", True),
        ("[::1]:9080", "", "::1", True),
        ("", "", "127.0.0.1", True),
        ("10.0.0.5:9080", "", "127.0.0.1", False),
        ("127.0.0.1.page.example", "", "127.0.0.1", False),
        ("127.0.0.1:9080", "null", "127.0.0.1", False),
        ("10.0.0.5:9080", "", "0.0.0.0", True),
        ("10.0.0.5:9080", "http://page.example", "0.0.0.0", False),
    ],
)
def test_who_may_call(host: str, origin: str, bound_to: str, passes: bool) -> None:
    """By a loopback name while only loopback is listened at; pages only from this machine."""
    headers = [(b"host", host.encode()), (b"origin", origin.encode())]
    scope = {"type": "http", "headers": [(k, v) for k, v in headers if v]}
    if passes:
        check_visitor(scope, bound_to)
        return
    with pytest.raises(ApiError) as refused:
        check_visitor(scope, bound_to)
    assert refused.value.http_status == 403
