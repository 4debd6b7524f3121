"""One call of a method of Google's client libraries, as the products of this folder make it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from services import calls
from services.clients import Clients


def ask(
    clients: Clients,
    resource: str,
    method: Callable[[], Any],
    request: Any,
    timeout_s: float,
    policy: calls.RetryPolicy = calls.READ,
) -> Any:
    """The answer to a request; pages are read whole, as a list.

    `method` gives the client's method: a client that cannot be built is told as any other failure.

    Raises:
        OpsError: as `Clients.call`.
    """

    def run(limit_s: float) -> Any:
        answer = method()(request=request, timeout=limit_s, retry=None)
        return list(answer) if hasattr(answer, "pages") else answer

    return clients.call(run, resource=resource, timeout_s=timeout_s, policy=policy)
