"""The kubelet of the node "this-machine": its pods are processes of `python -m serving`.

Twice a second it looks at the pods that the scheduler has put there, starts and ends processes, and
reports what differs. Times are real ones, whatever --speed says, since the processes are. When the
emulator ends, its processes do too (tether.py); a pod that an earlier emulator ran is a container
that has to be started again.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from typing import Final
from urllib.parse import urlsplit

import httpx

from emulator.context import Cloud
from emulator.local_pods.addresses import free_address
from emulator.local_pods.containers import Container
from emulator.local_pods.processes import log_path
from emulator.local_pods.setup import NODE, disown, group_path, set_up
from emulator.local_pods.wire import Body, Refused, Wire

_LOG = logging.getLogger("emulator")
_LOOK_S: Final = 0.5
_STOP_S: Final = 3.0


class LocalKubelet:
    """Runs from `start` to `stop` on a thread of its own; with `most` 0 tells that none does."""

    def __init__(self, cloud: Cloud, most: int) -> None:
        self._cloud, self._most = cloud, most
        self._stopping = threading.Event()
        self._containers: dict[str, Container] = {}
        self._attached: set[str] | None = None
        self._thread = threading.Thread(target=self._run, name="local-kubelet", daemon=True)

    def start(self) -> None:
        """Begin, once the emulator answers."""
        if not self._most and self._cloud.settings.state_dir is None:
            return  # no earlier emulator can have had such a node
        if self._cloud.fleet.clusters.get(self._cloud.project.cluster) is None:
            if self._most:
                _LOG.warning("no local pods: the scenario has no cluster")
            return
        self._thread.start()

    def stop(self) -> None:
        """End the processes: what they have not finished in three seconds is cut."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_S + 1)

    def _run(self) -> None:
        wire = Wire(self._cloud)
        try:
            begun = False
            while not self._stopping.wait(_LOOK_S):
                try:
                    if not begun:
                        self._begin(wire)
                        begun = True
                    if not self._most:
                        return
                    self._look(wire)
                except httpx.TransportError:
                    continue  # not yet, or no longer, there: it is asked again
                except Refused as error:
                    _LOG.warning("local pods: %s", error)
        finally:
            self._end()
            wire.close()

    def _begin(self, wire: Wire) -> None:
        if self._most:
            set_up(self._cloud, wire, self._most)
        else:
            disown(wire, self._cloud)

    def _look(self, wire: Wire) -> None:
        """Bring every pod of the node a step further; pods that are gone end."""
        found = wire.read("/api/v1/pods", fieldSelector=f"spec.nodeName={NODE}")["items"]
        pods = {str(pod["metadata"]["uid"]): pod for pod in found}
        for uid in self._containers.keys() - pods.keys():
            self._containers.pop(uid).kill()
            shutil.rmtree(log_path(uid, 0).parent, ignore_errors=True)
        for uid, pod in pods.items():
            if uid not in self._containers:
                self._containers[uid] = Container(pod, self._address(), self._cloud.project)
            self._containers[uid].tend(pod, wire)
        self._attach(wire, pods)

    def _address(self) -> str:
        taken = {container.address for container in self._containers.values()}
        port = urlsplit(self._cloud.endpoints.rest_url).port or 0
        return free_address(port, taken)

    def _attach(self, wire: Wire, pods: dict[str, Body]) -> None:
        """Have the endpoint group hold the ready pods: a step at a time, as operations end."""
        wanted = {
            f"{c.address}:{c.port}"
            for uid, c in self._containers.items()
            if c.ready and "deletionTimestamp" not in pods[uid]["metadata"]
        }
        if self._attached is None:
            answer = wire.compute(f"{group_path(self._cloud)}/listNetworkEndpoints", "POST", {})
            ends = [item["networkEndpoint"] for item in answer.get("items", [])]
            self._attached = {f"{end['ipAddress']}:{end['port']}" for end in ends}
        have = self._attached
        for verb, ends in (("detach", have - wanted), ("attach", wanted - have)):
            if not ends:
                continue
            pairs = (end.split(":") for end in sorted(ends))
            body = {"networkEndpoints": [{"ipAddress": a, "port": int(p)} for a, p in pairs]}
            path = f"{group_path(self._cloud)}/{verb}NetworkEndpoints"
            self._attached = None  # read again, should this fail
            wire.wait(wire.compute(path, "POST", body))
            return

    def _end(self) -> None:
        running = [c for c in self._containers.values() if c.stop()]
        limit = time.monotonic() + _STOP_S
        while running and time.monotonic() < limit:
            time.sleep(0.05)
            running = [c for c in running if not c.is_over()]
        for container in self._containers.values():
            container.kill()
