"""Names and lists of Vertex's requests, what they mean, and its operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from google.cloud.aiplatform_v1.types import operation as operation_types
from google.longrunning import operations_pb2
from google.protobuf import json_format

from emulator.apis.vertex.model import (
    UploadedModel,
    VertexEndpoint,
    VertexState,
    initial_state,
    numeric_id,
)
from emulator.context import Cloud
from emulator.wire.codec import plain
from emulator.wire.errors import ApiError
from emulator.wire.filters import compile_filter
from emulator.wire.longrunning import LongRunning, operation_message
from emulator.wire.masks import show
from emulator.wire.names import check_project, parse_name
from emulator.wire.paging import page

PARENT: Final = "projects/{project}/locations/{location}"
SERVICE: Final = "aiplatform.googleapis.com"

M = TypeVar("M")


class Registry(LongRunning):
    """What both services share: names, listing."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self._state = cloud.store(VertexState, lambda: initial_state(cloud))

    def parts(self, template: str, name: str, field: str = "name") -> dict[str, str]:
        """The parts of a name in this project."""
        parts = parse_name(template, name, field=field)
        check_project(self._cloud.project, parts["project"], service=SERVICE)
        return parts

    def select(self, request: Any, items: Sequence[M]) -> tuple[list[M], str]:
        """One page of the items that pass the request's filter, in its order, masked."""
        parts = self.parts(PARENT, request.parent, "parent")
        if parts["location"] not in (self._cloud.project.region, "-"):
            return [], ""
        accept = compile_filter(request.filter)
        kept = [i for i in items if accept(_as_dict(i))]
        key, _, direction = request.order_by.partition(" ")
        if key:
            name = key.strip(",")
            kept.sort(key=lambda i: str(_as_dict(i).get(name, "")), reverse=direction == "desc")
        shown, token = page(
            kept, request.page_size, request.page_token,
            scope=f"{request.parent}|{request.filter}|{request.order_by}", default=100, most=1000,
        )  # fmt: skip
        mask = type(request).pb(request).read_mask
        return [show(i, mask) for i in shown], token

    def endpoint(self, name: str) -> VertexEndpoint:
        """The endpoint of that name; NOT_FOUND without."""
        parts = self.parts(f"{PARENT}/endpoints/{{endpoint}}", name)
        found = self._state.endpoints.get(parts["endpoint"])
        if found is None or found.region != parts["location"]:
            raise missing("Endpoint", name)
        return found

    def model(self, name: str) -> UploadedModel:
        """The model of that name, with or without a version; NOT_FOUND without."""
        parts = self.parts(f"{PARENT}/models/{{model}}", name)
        found = self._state.models.get(parts["model"].partition("@")[0])
        if found is None or parts["location"] != self._cloud.project.region:
            raise missing("Model", name)
        return found

    def begin(
        self, target: str, seconds: float, effect: Callable[[], None], metadata: Any, response: Any
    ) -> operations_pb2.Operation:
        """Begin an operation on a resource, named as Vertex names them."""
        count = len(self._cloud.operations.of("aiplatform"))
        number = numeric_id("operation", str(self._cloud.seed), target, str(count))
        project = self._cloud.project
        name = f"projects/{project.number}/locations/{project.region}/operations/{number}"
        data: dict[str, Any] = {"metadata": metadata}
        if response is not None:
            data["response"] = response
        return operation_message(
            self._cloud.operations.start(name, "aiplatform", target, seconds, effect, data)
        )

    def told(self) -> operation_types.GenericOperationMetadata:
        """What every operation's metadata holds."""
        now = datetime.fromtimestamp(self._cloud.clock.now(), UTC)
        return operation_types.GenericOperationMetadata(create_time=now, update_time=now)

    def region(self, parent: str) -> str:
        """The region of a parent in which something is to be made."""
        region = self.parts(PARENT, parent, "parent")["location"]
        if region != self._cloud.project.region:
            raise ApiError(
                "UNIMPLEMENTED",
                f"The emulator's Vertex AI serves {self._cloud.project.region}, not {region}.",
            )
        return region

    def new_id(self, kind: str) -> str:
        """An id that nothing had before."""
        self._state.serial += 1
        return numeric_id(kind, str(self._cloud.seed), str(self._state.serial))


def _as_dict(item: Any) -> dict[str, Any]:
    return json_format.MessageToDict(plain(item), preserving_proto_field_name=True)


def missing(kind: str, name: str) -> ApiError:
    """NOT_FOUND in Vertex's words."""
    return ApiError("NOT_FOUND", f"The {kind} '{name}' does not exist.")
