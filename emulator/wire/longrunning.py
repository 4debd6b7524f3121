"""google.longrunning.Operations for every API that uses it; the work itself is operations.py.

A job's `name` is the operation's resource name; its data may hold "metadata" and "response", both
messages (the response: what the resource is once done, or a function that makes it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import grpc
from google.longrunning import operations_pb2
from google.protobuf import any_pb2, empty_pb2
from google.rpc import status_pb2

from emulator.operations import Job
from emulator.wire.call import Call
from emulator.wire.codec import plain
from emulator.wire.errors import ApiError, not_found
from emulator.wire.paging import page
from emulator.wire.waiting import Waiting

if TYPE_CHECKING:
    from emulator.context import Cloud

_MAX_WAIT_S = 60.0
_CODES = {code.name: code.value[0] for code in grpc.StatusCode}


class LongRunning:
    """Handlers that a service's handler class inherits; all APIs share one store.

    By REST a class that says its `service` lists its own operations alone; by gRPC one path serves
    all of them.
    """

    service: ClassVar[str] = ""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def get_operation(
        self, request: operations_pb2.GetOperationRequest, call: Call
    ) -> operations_pb2.Operation:
        return operation_message(self._job(request.name))

    def list_operations(
        self, request: operations_pb2.ListOperationsRequest, call: Call
    ) -> operations_pb2.ListOperationsResponse:
        prefix = f"{request.name}/operations/"
        jobs = [j for j in self._cloud.operations.all() if j.name.startswith(prefix)]
        if call.wire == "rest" and self.service:
            jobs = [job for job in jobs if job.service == self.service]
        shown, token = page(
            jobs, request.page_size, request.page_token,
            scope=request.name, default=100, most=1000,
        )  # fmt: skip
        return operations_pb2.ListOperationsResponse(
            operations=[operation_message(j) for j in shown], next_page_token=token
        )

    def cancel_operation(
        self, request: operations_pb2.CancelOperationRequest, call: Call
    ) -> empty_pb2.Empty:
        self._cloud.operations.cancel(self._job(request.name))
        return empty_pb2.Empty()

    def delete_operation(
        self, request: operations_pb2.DeleteOperationRequest, call: Call
    ) -> empty_pb2.Empty:
        job = self._job(request.name)
        if not job.done:
            raise ApiError("FAILED_PRECONDITION", "The operation is not done.")
        self._cloud.operations.forget(job.name)
        return empty_pb2.Empty()

    def wait_operation(self, request: operations_pb2.WaitOperationRequest, call: Call) -> Waiting:
        """The operation once done, or as it is after the timeout (a minute at most)."""
        job = self._job(request.name)
        timeout_s = request.timeout.ToTimedelta().total_seconds() or _MAX_WAIT_S
        return Waiting(job, min(timeout_s, _MAX_WAIT_S), lambda: operation_message(job))

    def _job(self, name: str) -> Job:
        job = self._cloud.operations.get(name)
        if job is None:
            raise not_found(name)
        return job


def operation_message(job: Job) -> operations_pb2.Operation:
    """A job as google.longrunning shows it."""
    message = operations_pb2.Operation(name=job.name, done=job.done)
    if "metadata" in job.data:
        message.metadata.CopyFrom(_pack(job.data["metadata"]))
    if job.error:
        code, text = job.error
        message.error.CopyFrom(status_pb2.Status(code=_CODES[code], message=text))
    elif job.done:
        response = job.data.get("response", empty_pb2.Empty())
        message.response.CopyFrom(_pack(response() if callable(response) else response))
    return message


def _pack(value: Any) -> any_pb2.Any:
    box = any_pb2.Any()
    box.Pack(plain(value))
    return box
