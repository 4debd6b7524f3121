"""Names and lists of Vertex's requests, what they mean, and its operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from google.cloud.aiplatform_v1.types import operation as operation_types
from google.longrunning import operations_pb2
from google.protobuf import json_format

from emulator.apis.compute.model import state_of
from emulator.apis.vertex import messages
from emulator.apis.vertex.model import (
    Deployment,
    ModelVersion,
    UploadedModel,
    VertexEndpoint,
    VertexState,
    initial_state,
    numeric_id,
)
from emulator.context import Cloud
from emulator.wire.codec import plain
from emulator.wire.errors import ApiError, failed_precondition, invalid
from emulator.wire.filters import compile_filter
from emulator.wire.longrunning import LongRunning, operation_message
from emulator.wire.masks import show
from emulator.wire.names import check_project, parse_name
from emulator.wire.paging import page

PARENT: Final = "projects/{project}/locations/{location}"
SERVICE: Final = "aiplatform.googleapis.com"
# What lists are filtered by and ordered by.
_FILTERED: Final = frozenset({"endpoint", "model", "display_name", "labels", "base_model_name"})
_ORDERED: Final = ("display_name", "create_time", "update_time")

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
        """One page of the items that are in the request's region and pass its filter."""
        region = self.parts(PARENT, request.parent, "parent")["location"]
        if region != "-":
            self.region(request.parent)
        here = [i for i in items if region in ("-", getattr(i, "name", "").split("/")[3])]
        return self.chosen(request, request.parent, here)

    def chosen(self, request: Any, scope: str, items: Sequence[M]) -> tuple[list[M], str]:
        """One page of the items that pass the request's filter, in its order, masked."""
        accept = compile_filter(request.filter, _FILTERED)
        read = [(i, _as_dict(i)) for i in items]
        found = [(i, fields) for i, fields in read if accept(fields)]
        for name, falling in reversed(_order(request.order_by)):
            found.sort(key=lambda pair, name=name: pair[1].get(name, ""), reverse=falling)
        kept = [i for i, _ in found]
        shown, token = page(
            kept, request.page_size, request.page_token,
            scope=f"{scope}|{request.filter}|{request.order_by}", default=100, most=1000,
        )  # fmt: skip
        mask = type(request).pb(request).read_mask
        return [show(i, mask) for i in shown], token

    def endpoint(self, name: str, field: str = "name") -> VertexEndpoint:
        """The endpoint of that name; NOT_FOUND without."""
        parts = self.parts(f"{PARENT}/endpoints/{{endpoint}}", name, field)
        found = self._state.endpoints.get((parts["location"], parts["endpoint"]))
        if found is None:
            raise missing("Endpoint", name)
        return found

    def version(self, name: str, field: str = "name") -> tuple[UploadedModel, ModelVersion]:
        """The model of that name and the version: @number, @alias, else the default.

        Raises:
            ApiError: NOT_FOUND: there is no such model or version.
        """
        parts = self.parts(f"{PARENT}/models/{{model}}", name, field)
        number, _, wanted = parts["model"].partition("@")
        found = self._state.models.get((parts["location"], number))
        if found is None:
            raise missing("Model", name)
        if not wanted:
            return found, found.default
        for version in found.versions.values():
            if wanted == version.id or wanted in version.aliases:
                return found, version
        raise missing("Model version", name)

    def check_staying(self, kept: UploadedModel, *versions: ModelVersion) -> None:
        """Pass versions of a model of which none is being deleted."""
        if any(version.leaving for version in versions):
            path = messages.model_path(self._cloud.project, kept.region, kept.id)
            raise failed_precondition(f'The Model "{path}" is being deleted.')

    def container(self, endpoint: VertexEndpoint, deployed: Deployment) -> Any:
        """The serving container of a deployed model."""
        kept = self._state.models.get((endpoint.region, deployed.model))
        version = kept.versions.get(deployed.version) if kept else None
        if version is None or version.given is None:
            return messages.model_container_spec(self._cloud.project)
        return version.given.container_spec

    def name_of(self, endpoint: VertexEndpoint, deployed: Deployment) -> str:
        """The display name of the model that is deployed."""
        kept = self._state.models.get((endpoint.region, deployed.model))
        version = kept.versions.get(deployed.version) if kept else None
        return version.display_name if version else deployed.display_name

    def begin(
        self,
        target: str,
        seconds: float,
        effect: Callable[[], None],
        metadata: Any,
        response: Any,
        undo: Callable[[], None] | None = None,
    ) -> operations_pb2.Operation:
        """Begin an operation on a resource, named as Vertex names them."""
        number = self.new_id("operation")
        region = target.split("/")[3]
        name = f"projects/{self._cloud.project.number}/locations/{region}/operations/{number}"
        data: dict[str, Any] = {"metadata": metadata}
        if response is not None:
            data["response"] = response
        return operation_message(
            self._cloud.operations.start(
                name, "aiplatform", target, seconds, effect, data, undo=undo
            )
        )

    def told(self) -> operation_types.GenericOperationMetadata:
        """What every operation's metadata holds."""
        now = datetime.fromtimestamp(self._cloud.clock.now(), UTC)
        return operation_types.GenericOperationMetadata(create_time=now, update_time=now)

    def region(self, parent: str) -> str:
        """The region of a parent; INVALID_ARGUMENT where there is none of that name."""
        region = self.parts(PARENT, parent, "parent")["location"]
        if region not in state_of(self._cloud).of("regions", "global"):
            raise invalid(f"Location {region} is not supported.", field="parent")
        return region

    def new_id(self, kind: str) -> str:
        """An id that nothing had before."""
        self._state.serial += 1
        return numeric_id(kind, str(self._cloud.seed), str(self._state.serial))


def _as_dict(item: Any) -> dict[str, Any]:
    """A model's or endpoint's fields; its id bears the collection's name, as in filters."""
    fields = json_format.MessageToDict(plain(item), preserving_proto_field_name=True)
    kind, number = fields["name"].split("/")[-2:]
    return {**fields, kind.removesuffix("s"): number}


def _order(text: str) -> list[tuple[str, bool]]:
    """(field, whether it falls) of an order_by.

    Raises:
        ApiError: INVALID_ARGUMENT: Vertex orders by no such field.
    """
    found: list[tuple[str, bool]] = []
    for part in text.split(",") if text else ():
        name, _, direction = part.strip().partition(" ")
        if name not in _ORDERED or direction.strip() not in ("", "asc", "desc"):
            raise invalid(f"Invalid order_by '{text}'.", field="order_by")
        found.append((name, direction.strip() == "desc"))
    return found


def missing(kind: str, name: str) -> ApiError:
    """NOT_FOUND in Vertex's words."""
    return ApiError("NOT_FOUND", f"The {kind} '{name}' does not exist.")
