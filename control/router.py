"""The console's router: decides from the newest Snapshot and keeps what it decided lately.

The decision itself is `core/router.py`'s; the endpoint that asks for it over HTTP is
`control/router_endpoint.py`'s, and the Playground asks here directly. No text of a request is kept.
"""

from __future__ import annotations

import itertools
import secrets
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from control.settings import Settings
from core.fleet import assemble_fleet
from core.records import Snapshot
from core.router import Decision, decide
from core.router_request import read_request
from core.router_tiers import TierFacts, survey

SENT: Final = "sent"  # an outcome: no answer has ended yet
REFUSED: Final = "refused"


@dataclass(frozen=True, slots=True)
class Routed:
    """One decision that was acted on.

    Attributes:
        id: of a deep link.
        origin: who asked: "api", "playground" or "check".
        outcome: SENT, REFUSED (nobody could take it), or how the answer ended.
        landed: the tier that the answer says it comes from; "" while it says none.
        status: HTTP status of the answer; None: none came (yet).
    """

    id: str
    at: datetime
    origin: str
    decision: Decision
    outcome: str = SENT
    landed: str = ""
    status: int | None = None


class Router:
    """Decides and remembers. Safe for threads."""

    def __init__(self, settings: Settings, snapshot: Callable[[], Snapshot]) -> None:
        self.settings = settings
        self.limits = settings.router.limits
        self._snapshot = snapshot
        self._lock = threading.Lock()
        self._known: tuple[Snapshot, tuple[TierFacts, ...]] | None = None
        self._recent: OrderedDict[str, Routed] = OrderedDict()
        self._in_flight: Counter[str] = Counter()
        self._counts: Counter[tuple[str, str]] = Counter()
        # Ids of an earlier process must lead to nothing, not to somebody else's decision.
        self._prefix, self._numbers = secrets.token_hex(3), itertools.count(1)

    def decide(self, body: Mapping[str, Any]) -> Decision:
        """Where an OpenAI chat request would go now; nothing is sent or kept.

        Raises:
            ValueError: it is no such request; see `core.router_request.read_request`.
        """
        features = read_request(body, self.limits.request)
        snapshot, tiers = self._tiers()
        with self._lock:
            in_flight = dict(self._in_flight)
        return decide(features, tiers, self.limits, snapshot.taken_at, in_flight)

    def route(self, body: Mapping[str, Any], origin: str) -> Routed:
        """Decide and keep it; whoever sends the request tells its end by `ended`.

        Raises:
            ValueError: as `decide`.
        """
        decision = self.decide(body)
        refused = not decision.tier
        with self._lock:
            routed = Routed(
                f"{self._prefix}-{next(self._numbers)}", datetime.now(UTC), origin, decision,
                REFUSED if refused else SENT,
            )  # fmt: skip
            self._recent[routed.id] = routed
            while len(self._recent) > self.settings.router.kept_decisions:
                self._recent.popitem(last=False)
            self._counts[decision.tier, decision.rule.value] += 1
            if not refused:
                self._in_flight[decision.tier] += 1
        return routed

    def ended(
        self, routed: Routed, outcome: str, status: int | None = None, landed: str = ""
    ) -> None:
        """Note how a request that was routed ended; told once for each that was sent."""
        with self._lock:
            tier = routed.decision.tier
            self._in_flight[tier] -= 1
            if self._in_flight[tier] <= 0:
                del self._in_flight[tier]
            if routed.id in self._recent:
                self._recent[routed.id] = replace(
                    routed, outcome=outcome, status=status, landed=landed
                )

    def recent(self) -> tuple[Routed, ...]:
        """What is kept, newest first."""
        with self._lock:
            return tuple(reversed(self._recent.values()))

    def find(self, id_: str) -> Routed | None:
        """The decision of that id; None: none is kept."""
        with self._lock:
            return self._recent.get(id_)

    def counts(self) -> Mapping[tuple[str, str], int]:
        """Decisions since the start by tier ("": none could take it) and rule."""
        with self._lock:
            return dict(self._counts)

    def in_flight(self) -> Mapping[str, int]:
        """Requests by tier whose answers have not ended."""
        with self._lock:
            return dict(self._in_flight)

    def key_for(self, tier: str, url: str) -> str:
        """The key that a tier's server asks for; "": none of ours.

        The server of this machine stands behind the emulated load balancer as well.
        """
        settings = self.settings
        local = any(spec.name == tier and spec.is_local for spec in settings.tiers)
        behind = _is_at(url, settings.url(settings.ports.lb))
        return settings.playground.api_key.get_secret_value() if local or behind else ""

    def _tiers(self) -> tuple[Snapshot, tuple[TierFacts, ...]]:
        """What is known of the tiers, surveyed once for each Snapshot."""
        snapshot = self._snapshot()
        known = self._known
        if known is None or known[0] is not snapshot:
            known = (snapshot, survey(snapshot, assemble_fleet(snapshot), self.limits))
            self._known = known
        return known


def _is_at(url: str, base: str) -> bool:
    """Whether an address lies at a base address, and does not merely begin with its letters."""
    return url == base or url.startswith(f"{base}/")
