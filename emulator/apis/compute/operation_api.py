"""Compute's operations, global and of a region or zone: get, list, wait, delete; how they look."""

from __future__ import annotations

from typing import Any, Final

from emulator.apis.compute.api import Resources, reply
from emulator.apis.compute.model import HOST, Body, numeric_id, timestamp
from emulator.apis.compute.refusals import missing, not_ready
from emulator.context import Cloud
from emulator.operations import Job
from emulator.wire.call import Call
from emulator.wire.waiting import Waiting

_MAX_WAIT_S: Final = 60.0
_CODES: Final = {"CANCELLED": 499, "INTERNAL": 500, "RESOURCE_EXHAUSTED": 503}


class Operations(Resources):
    """Compute's operations of one kind of scope: "global", "region" or "zone"."""

    def __init__(self, cloud: Cloud, level: str) -> None:
        super().__init__(cloud)
        self._level = level

    def list(self, request: Any, call: Call) -> Any:
        scope = self.scope(request)
        jobs = [j for j in self._cloud.operations.of("compute") if j.data["scope"] == scope]
        path = f"projects/{self._cloud.project.id}/{scope}/operations"
        shown, token = self.select(request, [operation_body(self._cloud, j) for j in jobs], path)
        body: Body = {"kind": "compute#operationList", "id": path, "items": shown}
        body["selfLink"] = f"{HOST}/{path}"
        if token:
            body["nextPageToken"] = token
        return reply(call, body)

    def aggregated_list(self, request: Any, call: Call) -> Any:
        """All operations by scope (a method of globalOperations)."""
        project = self.check(request)
        found = [
            {**operation_body(self._cloud, j), "@scope": j.data["scope"]}
            for j in self._cloud.operations.of("compute")
        ]
        path = f"projects/{project}/aggregated/operations"
        shown, token = self.select(request, found, path)
        items: dict[str, Body] = {}
        for body in shown:
            items.setdefault(body.pop("@scope"), {"operations": []})["operations"].append(body)
        answer: Body = {"kind": "compute#operationAggregatedList", "id": path, "items": items}
        answer["selfLink"] = f"{HOST}/{path}"
        return reply(call, {**answer, "nextPageToken": token} if token else answer)

    def get(self, request: Any, call: Call) -> Any:
        return reply(call, operation_body(self._cloud, self._job(request)))

    def wait(self, request: Any, call: Call) -> Any:
        """The operation once done, or as it is after a minute."""
        job = self._job(request)
        return Waiting(
            job, _MAX_WAIT_S, lambda: reply(call, operation_body(self._cloud, job))
        )  # fmt: skip

    def delete(self, request: Any, call: Call) -> Any:
        """Forget an operation that is done."""
        job = self._job(request)
        if not job.done:
            raise not_ready(job.target)
        self._cloud.operations.forget(job.name)
        return call.method.response()

    def _job(self, request: Any) -> Job:
        scope = self.scope(request)
        job = self._cloud.operations.get(f"compute/{scope}/{request.operation}")
        if job is None:
            path = f"projects/{self._cloud.project.id}/{scope}/operations/{request.operation}"
            raise missing(path)
        return job


def operation_name(cloud: Cloud, scope: str) -> str:
    """A new operation's name in the store; ids as Google's, from the seed."""
    text = cloud.new_id("compute.operation", 14)
    millis = int(cloud.clock.now() * 1000)
    return f"compute/{scope}/operation-{millis}-{text[:12]}-{text[12:20]}-{text[20:]}"


def operation_body(cloud: Cloud, job: Job) -> Body:
    """A job as compute#operation."""
    now = cloud.clock.now()
    name = job.name.rsplit("/", 1)[-1]
    scope = job.data["scope"]
    path = f"projects/{cloud.project.id}/{scope}/operations/{name}"
    body: Body = {
        "kind": "compute#operation",
        "id": numeric_id(name.split("-", 2)[-1]),  # without the time that the name holds
        "name": name,
        "operationType": job.data["type"],
        "status": job.phase(now),
        "progress": round(100 * job.progress(now)),
        "targetLink": f"{HOST}/{job.target}",
        "selfLink": f"{HOST}/{path}",
        "user": f"operator@{cloud.project.id}.example",
        "insertTime": timestamp(job.started_at),
    }
    if job.data.get("id"):
        body["targetId"] = job.data["id"]
    if job.data.get("request"):
        body["clientOperationId"] = job.data["request"]
    kind, _, place = scope.partition("/")
    if place:
        body[kind.removesuffix("s")] = f"{HOST}/projects/{cloud.project.id}/{scope}"
    if body["status"] != "PENDING":
        body["startTime"] = timestamp(job.started_at + job.pending_s)
    if job.ended_at is not None:
        body["endTime"] = timestamp(job.ended_at)
    if job.error:
        code, text = job.error
        body["error"] = {"errors": [{"code": code, "message": text}]}
        body["httpErrorStatusCode"] = _CODES.get(code, 400)
        body["httpErrorMessage"] = code
    return body
