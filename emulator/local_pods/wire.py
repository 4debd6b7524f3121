"""The emulator as the kubelet calls it: over HTTP, like anybody else."""

from __future__ import annotations

from typing import Any, Final

import httpx

from emulator.client_files import KUBERNETES_PREFIX
from emulator.context import Cloud

_PATIENCE_S: Final = 30.0
_AGENT: Final = "kubelet/heartwood-local"
_MERGE: Final = "application/merge-patch+json"
Body = dict[str, Any]


class Refused(Exception):
    """The emulator answered with an error; the message has its status and text."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__(f"{answer.request.method} {answer.request.url}: {answer.text[:300]}")
        self.status = answer.status_code


class Wire:
    """Calls of one cluster's API server, and of Compute. httpx.TransportError passes through."""

    def __init__(self, cloud: Cloud) -> None:
        project = cloud.project
        self._kubernetes = (
            f"{KUBERNETES_PREFIX}/{project.id}/{project.cluster_location}/{project.cluster}"
        )
        self._compute = f"/compute/v1/projects/{project.id}"
        self.http = httpx.Client(
            base_url=cloud.endpoints.rest_url, timeout=_PATIENCE_S, trust_env=False,
            headers={"user-agent": _AGENT},
        )  # fmt: skip

    def close(self) -> None:
        """End the connections."""
        self.http.close()

    def read(self, path: str, **query: str) -> Body:
        """GET on the API server."""
        return self._answer(self.http.get(self._kubernetes + path, params=query))

    def make(self, path: str, body: Body) -> bool:
        """POST on the API server; False when it is there already."""
        return self._made(self.http.post(self._kubernetes + path, json=body))

    def patch(self, path: str, body: Body) -> Body:
        """A merge patch on the API server."""
        answer = self.http.patch(
            self._kubernetes + path, json=body, headers={"content-type": _MERGE}
        )
        return self._answer(answer)

    def remove(self, path: str, uid: str) -> None:
        """Delete an object at once if it is still that one."""
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}
        answer = self.http.request("DELETE", self._kubernetes + path, json=options)
        if answer.status_code not in (404, 409):
            self._answer(answer)

    def compute(self, path: str, verb: str = "GET", body: Body | None = None) -> Body:
        """A call of Compute."""
        return self._answer(self.http.request(verb, self._compute + path, json=body))

    def compute_make(self, collection: str, body: Body) -> bool:
        """Insert a resource and wait for it; False when it is there already."""
        answer = self.http.post(f"{self._compute}/{collection}", json=body)
        if not self._made(answer):
            return False
        self.wait(answer.json())
        return True

    def wait(self, operation: Body) -> None:
        """Until an operation of Compute's is done."""
        _, _, path = str(operation["selfLink"]).partition("/compute/v1/")
        while operation.get("status") != "DONE":
            operation = self._answer(self.http.post(f"/compute/v1/{path}/wait"))

    def _made(self, answer: httpx.Response) -> bool:
        if answer.status_code == 409:
            return False
        self._answer(answer)
        return True

    def _answer(self, answer: httpx.Response) -> Body:
        if answer.is_error:
            raise Refused(answer)
        found: Body = answer.json()
        return found
