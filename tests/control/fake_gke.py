"""A GKE port whose state lies in a file, so that it outlives the process that is killed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.errors import Conflict, Unavailable
from core.records import NodePool
from services.gke import OperationState
from tests.make import make_pools


class FakeGke:
    """Implements `control.appliers.node_pools.GkePort`.

    Files in its folder steer it: `hold` keeps operations running, `fail` makes them fail, `hang`
    makes a resize take effect but never answer, `outage` makes reads fail, `lost` loses the answer
    of a resize, `moving` shows a resize running on every pool.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "gke.json"
        if not self._file.exists():
            self._write({"sizes": {p.name: p.node_count for p in make_pools()}, "resizes": []})

    def set(self, *flags: str) -> None:
        """Set flags."""
        for flag in flags:
            (self._folder / flag).touch()

    def clear(self, *flags: str) -> None:
        """Take flags back."""
        for flag in flags:
            (self._folder / flag).unlink(missing_ok=True)

    @property
    def resizes(self) -> list[list[object]]:
        """Every resize that was asked for: pool, nodes."""
        return self._read()["resizes"]

    def set_size(self, pool: str, nodes: int) -> None:
        """Somebody else resizes a pool."""
        state = self._read()
        state["sizes"][pool] = nodes
        self._write(state)

    def list_node_pools(self) -> tuple[NodePool, ...]:
        """All pools with their sizes."""
        self._maybe_outage()
        return tuple(self._pools())

    def get_node_pool(self, pool: NodePool) -> NodePool:
        """One of them."""
        return next(p for p in self.list_node_pools() if p.name == pool.name)

    def apply_node_pool_size(self, pool: NodePool, nodes: int) -> str:
        """Set the size at once and name an operation."""
        state = self._read()
        state["sizes"][pool.name] = nodes
        state["resizes"].append([pool.name, nodes])
        self._write(state)
        while self._is("hang"):
            time.sleep(0.05)
        if self._is("lost"):
            raise Unavailable("deadline exceeded")
        return f"projects/p/locations/l/operations/{len(state['resizes'])}"

    def find_resize(self, pool: NodePool) -> str:
        """While moving there is one."""
        return "projects/p/locations/l/operations/found" if self._is("moving") else ""

    def get_operation(self, name: str) -> OperationState:
        """Running while held."""
        self._maybe_outage()
        if self._is("fail"):
            return OperationState(name, True, "DONE", "", "no capacity left in the zone", None)
        done = not self._is("hold")
        return OperationState(name, done, "DONE" if done else "RUNNING", "", None, None)

    def _pools(self) -> Iterable[NodePool]:
        sizes = self._read()["sizes"]
        for pool in make_pools():
            status = "RECONCILING" if self._is("moving") else "RUNNING"
            yield replace(pool, node_count=sizes[pool.name], status=status)

    def _maybe_outage(self) -> None:
        if self._is("outage"):
            raise Unavailable("no answer")
        if self._is("denied"):
            raise Conflict("refused")

    def _is(self, flag: str) -> bool:
        return (self._folder / flag).exists()

    def _read(self) -> dict[str, Any]:
        return json.loads(self._file.read_text())

    def _write(self, state: object) -> None:
        spare = self._file.with_suffix(".new")
        spare.write_text(json.dumps(state))
        spare.replace(self._file)
