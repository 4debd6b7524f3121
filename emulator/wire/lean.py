"""Spares the emulator's process the parts of Google's libraries that it never uses.

The package modules of compute_v1 and aiplatform_v1 import every client of every service; the
emulator needs a few transports and the types. With an empty module in a package's place its
submodules load by themselves: 80 MB and a second of start less (measured). Libraries that others
load when they find them, and that nothing here uses, are kept out: another 45 MB. Only the
emulator's own process does this: code that wants the packages' own names must not share it.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Final

PACKAGES: Final = (
    "google.cloud.aiplatform_v1",
    "google.cloud.artifactregistry_v1",
    "google.cloud.cloudquotas_v1",
    "google.cloud.compute_v1",
    "google.cloud.iam_admin_v1",
    "google.cloud.logging_v2",
    "google.cloud.resourcemanager_v3",
    "google.cloud.service_usage_v1",
    "google.pubsub_v1",
)
# pyarrow and DuckDB look for the first, google-auth for the second.
UNUSED: Final = frozenset({"pandas", "aiohttp"})


class _Absent(importlib.abc.MetaPathFinder):
    """Finds nothing, and lets nobody else find it either, where a library is unused."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        if fullname in UNUSED:
            raise ModuleNotFoundError(f"{fullname} is not used here", name=fullname)


def skip_package_imports() -> None:
    """Put empty modules in place of the packages that are not imported yet, and bar the unused."""
    sys.meta_path.insert(0, _Absent())
    for name in PACKAGES:
        if name in sys.modules:
            continue
        spec = importlib.util.find_spec(name)
        if spec is None or spec.submodule_search_locations is None:
            raise ModuleNotFoundError(f"no package {name}", name=name)
        package = ModuleType(name)
        package.__path__ = list(spec.submodule_search_locations)
        package.__spec__ = spec
        sys.modules[name] = package
