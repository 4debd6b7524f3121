"""Cloud Monitoring: what each server in Kubernetes did of late, by vLLM's own counters.

What a tier's servers do together is `monitoring.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Final

from core.records import ServerReading
from core.specs import TierSpec
from services import calls, time_series
from services.clients import Clients
from services.monitoring_queries import Owner, Source, server_query
from services.tier_rows import Inventory, Tiers

_STEP_S: Final = 300
_STEPS: Final = 2  # points are seen minutes later: the newest may lie in the step before the last
_REQUESTS: Final = server_query("request_success_total")
_PROMPTS: Final = server_query("prefix_cache_queries_total")  # tokens, of all prompts
_CACHED: Final = server_query("prefix_cache_hits_total")  # tokens, of those found

_Server = tuple[str, str, str]  # tier, pod, cluster
Steps = Mapping[float, float]  # end of a step as Unix seconds → how far a counter grew in it


class ServerSeries:
    """Reads the series of single servers."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def read(
        self, specs: Sequence[TierSpec], now: datetime, known: Inventory
    ) -> tuple[ServerReading, ...]:
        """What each server of the tiers that have a load balancer did over the newest minutes.

        Raises:
            OpsError: a query failed.
        """
        tiers = Tiers(specs, known)
        balanced = {s.name for s in specs if s.backend_service and s.namespace}
        if not balanced:
            return ()
        start = now - timedelta(seconds=_STEP_S * _STEPS)

        def read(query: time_series.Query) -> dict[_Server, Steps]:
            found: dict[_Server, Steps] = {}
            source = Source(query, Owner.NAMESPACE)
            for row in time_series.fetch(self._clients, query, start, now, _STEP_S):
                tier = tiers.owner(source, row)
                if tier in balanced and row.numbers:
                    key = tier, row.labels.get("pod", ""), row.labels.get("cluster", "")
                    found[key] = dict(row.numbers)
            return found

        wanted = (_REQUESTS, _PROMPTS, _CACHED)
        requests, prompts, cached = calls.in_parallel(read, wanted, len(wanted))
        return tuple(
            ServerReading(
                tier=tier,
                pod=pod,
                cluster=cluster,
                requests_per_s=counts[max(counts)] / _STEP_S,
                cached_prompt_ratio=newest_share(
                    cached.get((tier, pod, cluster), {}), prompts.get((tier, pod, cluster), {})
                ),
            )
            for (tier, pod, cluster), counts in sorted(requests.items(), key=itemgetter(0))
        )


def newest_share(part: Steps, whole: Steps) -> float | None:
    """What `part` is of `whole` in the newest step that both have; None: none, or of nothing."""
    both = part.keys() & whole.keys()
    if not both or not whole[max(both)]:
        return None
    return part[max(both)] / whole[max(both)]
