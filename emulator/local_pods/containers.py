"""One pod of the node "this-machine": its container is a process, its status what became of it."""

from __future__ import annotations

import logging
import time
from datetime import datetime
from typing import Any, Final

from emulator.apis.kubernetes.controllers.courses import BACKOFF_S, Course, Moment
from emulator.apis.kubernetes.controllers.objects import milli, name_of, namespace_of, uid_of
from emulator.apis.kubernetes.controllers.pod_status import Stage, shown, status_of, waiting
from emulator.apis.kubernetes.controllers.view import Life
from emulator.apis.kubernetes.naming import SERVER_PORT
from emulator.clock import rfc3339
from emulator.local_pods.processes import Server, free_memory_bytes, log_path, refused_argument
from emulator.local_pods.setup import NODE, image_of
from emulator.local_pods.wire import Body, Wire
from emulator.scenario import Project

_LOG = logging.getLogger("emulator")
_HOST: Final = "127.0.0.1"
_STEADY_S: Final = 600.0  # what ran so long waits as after its first crash
_KILLED: Final = 137


class Container:
    """Brings one pod's process to where its pod is meant to be, a step at each look.

    Attributes:
        address, port: where its server listens. ready: whether it answered so at the last look.
    """

    def __init__(self, pod: Body, address: str, project: Project) -> None:
        self.address, self.ready = address, False
        self._spec: Body = pod["spec"]["containers"][0]
        self._project = project
        ports = self._spec.get("ports") or [{}]
        self.port = int(ports[0].get("containerPort", SERVER_PORT))
        self._server: Server | None = None
        self._crashes = 0
        self._next_at = 0.0  # monotonic; not started before
        self._kill_at: float | None = None
        self._refused = ("", "")
        self._restarts, self._last = 0, (0.0, 0.0, 0)  # the run before: began, ended, exit code
        self._take_over(pod)

    def tend(self, pod: Body, wire: Wire) -> None:
        """One look: go on, and report what differs.

        Raises:
            Refused, httpx.TransportError: the report did not arrive; the next look sends it.
        """
        if "deletionTimestamp" in pod["metadata"]:
            self._end(pod, wire)
            return
        self._note_end(pod, wire)
        if self._server is None and time.monotonic() >= self._next_at:
            self._start(pod, wire)
        self.ready = self._server is not None and self._server.is_ready(wire.http)
        status = self._status(pod)
        if status != {key: pod.get("status", {}).get(key) for key in status}:
            wire.patch(f"{_path(pod)}/status", {"status": status})

    def stop(self) -> bool:
        """Have the process end by itself; False when there is none."""
        if self._server is None or self._server.ended() is not None:
            return False
        self._server.stop()
        return True

    def is_over(self) -> bool:
        """Whether no process is left."""
        return self._server is None or self._server.ended() is not None

    def kill(self) -> None:
        """End the process at once, if there is one."""
        if self._server is not None:
            self._server.kill()

    def _take_over(self, pod: Body) -> None:
        """Go on from what an earlier emulator told of the pod: its process ended with that."""
        for told in (pod.get("status") or {}).get("containerStatuses") or ():
            self._restarts = int(told.get("restartCount", 0))
            if running := (told.get("state") or {}).get("running"):
                began = datetime.fromisoformat(running["startedAt"].replace("Z", "+00:00"))
                self._restarts += 1
                self._last = (began.timestamp(), time.time(), _KILLED)

    def _note_end(self, pod: Body, wire: Wire) -> None:
        code = self._server.ended() if self._server is not None else None
        if self._server is None or code is None:
            return
        now = time.time()
        self._last = (self._server.began, now, code)
        self._crashes = 0 if now - self._server.began > _STEADY_S else self._crashes
        pause_s = BACKOFF_S[min(self._crashes, len(BACKOFF_S) - 1)]
        self._next_at = time.monotonic() + pause_s
        self._server, self._crashes = None, self._crashes + 1
        text = f"Back-off restarting failed container {self._spec['name']}"
        self._tell(pod, wire, "BackOff", text, warning=True)
        self._restarts += 1

    def _start(self, pod: Body, wire: Wire) -> None:
        self._refused = self._refusal()
        if self._refused[0]:
            return
        arguments, log = self._spec.get("args") or (), log_path(uid_of(pod), self._restarts)
        try:
            self._server = Server(self.address, self.port, arguments, log)
        except OSError as error:
            self._refused = ("CreateContainerError", str(error))
            return
        # Of the runs before, the last one's log can be asked for.
        log_path(uid_of(pod), self._restarts - 2).unlink(missing_ok=True)
        self._tell(pod, wire, "Started", f"Started container {self._spec['name']}")

    def _refusal(self) -> tuple[str, str]:
        """Why no process is started for it now: a reason and its words; both "" without."""
        image = image_of(self._project)
        if self._spec["image"] != image or self._spec.get("command"):
            return "ErrImagePull", f"this machine runs {image} alone, by its own command"
        if argument := refused_argument(self._spec.get("args") or ()):
            return "CreateContainerConfigError", f"argument {argument!r:.60} is not taken"
        requests = (self._spec.get("resources") or {}).get("requests") or {}
        wanted, free = milli(requests.get("memory", 0)) // 1000, free_memory_bytes()
        if wanted > free:
            text = f"it asks for {wanted >> 20} MiB of memory, {free >> 20} MiB are free"
            return "CreateContainerError", text
        return "", ""

    def _end(self, pod: Body, wire: Wire) -> None:
        """SIGTERM, the pod's grace, SIGKILL; then the pod is gone."""
        self.ready = False
        if self._kill_at is None:
            grace = float(pod["metadata"].get("deletionGracePeriodSeconds", 0))
            self._kill_at = time.monotonic() + grace
            if self.stop():
                self._tell(pod, wire, "Killing", f"Stopping container {self._spec['name']}")
        if not self.is_over() and time.monotonic() >= self._kill_at:
            self.kill()
        if self.is_over():
            wire.remove(_path(pod), uid_of(pod))

    def _status(self, pod: Body) -> Body:
        began = self._server.began if self._server else time.time()
        life, stage = Life(began, mounted_at=began), Stage(initialised=True)
        stage.ready = self.ready
        if self._server is None and self._refused[0]:
            stage.containers = [waiting(self._spec, *self._refused)]
        else:
            stage.phase = "Running"
            stage.containers = [self._container(pod)]
        at = rfc3339(time.time())
        return status_of(pod, stage, life, (_HOST, self.address), True, at)

    def _container(self, pod: Body) -> Body:
        began, ended, code = self._last
        again = self._restarts > 0
        if self._server is not None:
            now = self._server.began
            at = Moment("running", now, now, self._restarts, ended if again else None)
        else:
            at = Moment("waiting", ended, began, max(self._restarts - 1, 0), ended)
        told: dict[str, Any] = shown(pod, self._spec, at, Course(None, code), self.ready)
        if again and "terminated" in told["lastState"]:
            told["lastState"]["terminated"]["startedAt"] = rfc3339(began)
        return told

    def _tell(
        self, pod: Body, wire: Wire, reason: str, text: str, *, warning: bool = False
    ) -> None:
        at, name = rfc3339(time.time()), name_of(pod)
        about = {"kind": "Pod", "apiVersion": "v1", "name": name, "namespace": namespace_of(pod),
                 "uid": uid_of(pod)}  # fmt: skip
        event = {
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": f"{name}.{reason.lower()}-{self._restarts}"},
            "involvedObject": about, "reason": reason, "message": text, "count": 1,
            "type": "Warning" if warning else "Normal",
            "source": {"component": "kubelet", "host": NODE},
            "firstTimestamp": at, "lastTimestamp": at,
        }  # fmt: skip
        wire.make(f"/api/v1/namespaces/{namespace_of(pod)}/events", event)


def _path(pod: Body) -> str:
    return f"/api/v1/namespaces/{namespace_of(pod)}/pods/{name_of(pod)}"
