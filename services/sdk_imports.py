"""Imports the SDKs that a source needs, one thread at a time, and no more of them than that.

Some SDK packages import each other in circles (google.cloud.billing and billing_v1); two threads
that enter such a circle from different sides at the start fail with a deadlock or half a module.
Adapters import lazily (`clients.py`); whoever reads sources in parallel calls `import_sdk` first.

The packages compute_v1 and aiplatform_v1 import the clients and types of every service they have,
of which we use few. `defer_packages` lets their submodules be imported by themselves: 115 MB of
memory and ten seconds of a busy processor less.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Iterable
from types import ModuleType
from typing import Any, Final, cast

from core.records import Source

_COMPUTE: Final = tuple(
    f"google.cloud.compute_v1.services.{name}"
    for name in (
        "backend_services",
        "global_forwarding_rules",
        "instance_group_managers",
        "url_maps",
    )
)
_VERTEX: Final = "google.cloud.aiplatform_v1.services.endpoint_service"
_MODULES: Final = {
    Source.GKE: ("google.cloud.container_v1", *_COMPUTE),
    Source.KUBE: ("google.cloud.container_v1", *_COMPUTE, "kubernetes.client"),
    Source.TPU: ("google.cloud.tpu_v2",),
    Source.VERTEX: (_VERTEX,),
    Source.LOAD_BALANCER: _COMPUTE,
    Source.LOAD: ("google.cloud.monitoring_v3", _VERTEX),
    Source.CHIPS: ("google.cloud.monitoring_v3",),
    Source.PRICES: ("google.cloud.billing_v1",),
    Source.COSTS: ("google.cloud.bigquery",),
    Source.BUDGETS: ("google.cloud.billing.budgets_v1",),
    Source.QUOTAS: ("google.cloud.cloudquotas_v1",),
    Source.MACHINE_TYPES: ("google.cloud.compute_v1.services.machine_types",),
    Source.RESERVATIONS: ("google.cloud.compute_v1.services.reservations",),
    Source.RECOMMENDER: ("google.cloud.recommender_v1",),
}
_DEFERRED: Final = (  # a package stands before its subpackages
    "google.cloud.aiplatform_v1",
    "google.cloud.aiplatform_v1.types",
    "google.cloud.compute_v1",
    "google.cloud.compute_v1.types",
)
_lock: Final = threading.Lock()
_done: Final[set[Source]] = set()


class DeferredPackage(ModuleType):
    """A package whose own module has not run yet; its submodules can be imported meanwhile.

    It runs, once and for all, when somebody asks for a name that is no submodule.
    """

    def __getattr__(self, name: str) -> object:
        """That submodule, else that name of the whole package.

        Raises:
            AttributeError: the package has no such name.
        """
        # The import system probes modules for names like __file__; that asks for no content.
        if name.startswith("__") and name != "__all__":
            raise AttributeError(name)
        submodule = f"{self.__name__}.{name}"
        if importlib.util.find_spec(submodule) is not None:
            return importlib.import_module(submodule)
        spec = self.__spec__
        assert spec is not None
        assert spec.loader is not None  # `_defer` takes no other
        spec.loader.exec_module(self)
        cast(Any, self).__class__ = ModuleType  # the type checker lets no object change its class
        return getattr(self, name)


def defer_packages() -> None:
    """Defer the large packages that are not imported yet; twice does nothing."""
    with _lock:
        for name in _DEFERRED:
            if name not in sys.modules:
                _defer(name)


def _defer(name: str) -> None:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"no package {name}", name=name)
    package = importlib.util.module_from_spec(spec)
    package.__class__ = DeferredPackage
    sys.modules[name] = package
    parent, _, child = name.rpartition(".")
    setattr(sys.modules[parent], child, package)


def import_sdk(source: Source) -> None:
    """Import what that source needs; nothing when it was done before."""
    if source in _done:
        return
    import_modules(_MODULES.get(source, ()))
    _done.add(source)


def import_modules(names: Iterable[str]) -> None:
    """Import these modules of SDKs, while no other thread does."""
    defer_packages()
    with _lock:
        for name in names:
            importlib.import_module(name)
