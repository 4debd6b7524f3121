"""Imports the SDKs that a source needs, one thread at a time.

Some SDK packages import each other in circles (google.cloud.billing and billing_v1); two threads
that enter such a circle from different sides at the start fail with a deadlock or half a module.
Adapters import lazily (`clients.py`); whoever reads sources in parallel calls this first.
"""

from __future__ import annotations

import importlib
import threading
from typing import Final

from core.records import Source

_MODULES: Final = {
    Source.GKE: ("google.cloud.container_v1", "google.cloud.compute_v1"),
    Source.KUBE: ("google.cloud.container_v1", "google.cloud.compute_v1", "kubernetes.client"),
    Source.TPU: ("google.cloud.tpu_v2",),
    Source.VERTEX: ("google.cloud.aiplatform_v1.services.endpoint_service",),
    Source.LOAD_BALANCER: ("google.cloud.compute_v1",),
    Source.LOAD: (
        "google.cloud.monitoring_v3",
        "google.cloud.aiplatform_v1.services.endpoint_service",
    ),
    Source.CHIPS: ("google.cloud.monitoring_v3",),
    Source.PRICES: ("google.cloud.billing_v1",),
    Source.COSTS: ("google.cloud.bigquery",),
    Source.BUDGETS: ("google.cloud.billing.budgets_v1",),
}
_lock: Final = threading.Lock()
_done: Final[set[Source]] = set()


def import_sdk(source: Source) -> None:
    """Import what that source needs; nothing when it was done before."""
    if source in _done:
        return
    with _lock:
        for name in _MODULES.get(source, ()):
            importlib.import_module(name)
        _done.add(source)
