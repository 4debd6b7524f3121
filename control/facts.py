"""What the cloud is asked about one plan, for the guards: permissions now.

What could not be read is left out, which guards tell as unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import structlog

from control.planning import CloudFacts
from core.errors import OpsError
from core.plans import Plan
from core.records import Snapshot

_log: Final = structlog.get_logger("facts")


class PermissionsPort(Protocol):
    """What of `services.permissions.Permissions` is needed."""

    def list_held(self, asked: Sequence[str]) -> Mapping[str, bool]:
        """Of each of these that the project tells, whether we have it; raises OpsError."""
        ...

    def list_held_on_billing(self, asked: Sequence[str]) -> Mapping[str, bool]:
        """The same of those that the billing account tells."""
        ...


class Facts:
    """Asks when a plan is judged; safe for threads."""

    def __init__(self, permissions: PermissionsPort) -> None:
        self._permissions = permissions

    def find(self, plan: Plan, _snapshot: Snapshot) -> CloudFacts:
        """What could be found out."""
        return CloudFacts(permissions=self._held(plan))

    def _held(self, plan: Plan) -> Mapping[str, bool]:
        """Whoever fails to answer leaves what the other says."""
        found: dict[str, bool] = {}
        for ask in (self._permissions.list_held, self._permissions.list_held_on_billing):
            try:
                found |= ask(plan.permissions)
            except OpsError as error:
                _log.warning("permissions could not be asked for", why=error.message)
        return found
