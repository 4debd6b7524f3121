"""Importing this imports the whole emulator: what `tests/forked.py` forks has it done."""

from __future__ import annotations

import importlib
import pkgutil

import emulator

for _found in pkgutil.walk_packages(emulator.__path__, "emulator."):
    if not _found.name.endswith("__main__"):
        importlib.import_module(_found.name)
importlib.import_module("google.cloud.compute_v1.types")  # the emulator's own: after its start
