"""What the services beside a tier share: instances by name in a location, changed by operations.

Memorystore for Redis, Managed Lustre and Parallelstore are of one mould. What an instance is, and
which ones are refused, stands in each service's own folder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Final

from google.cloud.location import locations_pb2
from google.longrunning import operations_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from emulator.apis.compute.model import Body, state_of
from emulator.context import Cloud
from emulator.operations import Job
from emulator.wire.call import Call
from emulator.wire.errors import ApiError, invalid, not_found
from emulator.wire.longrunning import LongRunning, operation_message
from emulator.wire.names import check_project, is_request_id, location_denied, parse_name
from emulator.wire.paging import page

PARENT: Final = "projects/{project}/locations/{location}"
INSTANCE: Final = f"{PARENT}/instances/{{instance}}"


@dataclass
class Kept:
    """A service's instances as messages, by full name with the project's id.

    Attributes:
        asked: requestId → the operation that it began.
    """

    instances: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, Job] = field(default_factory=dict)


class Instances(LongRunning):
    """Names, lists, locations and operations; each service's handlers inherit it.

    Attributes:
        service: short name, e.g. "redis".
        scope: compute's collection whose names are its locations, "regions" or "zones".
        longest: characters that an instance's id may have.
        metadata: class of its operations' metadata.
    """

    service: str
    scope: str
    longest: int = 63
    metadata: type[Any]

    def __init__(self, cloud: Cloud, kept: Kept) -> None:
        super().__init__(cloud)
        self.kept = kept

    def location(self, parent: str, *, wild: bool = False) -> str:
        """The location of a parent; "-" passes where it is `wild`."""
        parts = self._parts(PARENT, parent, "parent")
        place = parts["location"]
        if place not in self._places() and not (wild and place == "-"):
            raise location_denied(place, f"{self.service}.googleapis.com")
        return place

    def find(self, asked: str, field: str = "name") -> Any:
        """The instance of that name; NOT_FOUND without."""
        parts = self._parts(INSTANCE, asked, field)
        found = self.kept.instances.get(self.named(parts["location"], parts["instance"]))
        if found is None:
            raise not_found(asked)
        return found

    def named(self, location: str, instance: str) -> str:
        """An instance's full name."""
        return INSTANCE.format(project=self._cloud.project.id, location=location, instance=instance)

    def unused(self, location: str, instance: str) -> str:
        """The full name of a new instance.

        Raises:
            ApiError: INVALID_ARGUMENT: no such id may be given; ALREADY_EXISTS: it is taken.
        """
        pattern = f"[a-z](?:[-a-z0-9]{{0,{self.longest - 2}}}[a-z0-9])?"
        if re.fullmatch(pattern, instance) is None:
            raise invalid(
                f"Invalid instance ID '{instance}': 1 to {self.longest} lower-case letters, digits "
                "and hyphens, a letter first and no hyphen last.",
                field="instance_id",
            )
        name = self.named(location, instance)
        if name in self.kept.instances:
            raise ApiError("ALREADY_EXISTS", f"Resource '{name}' already exists")
        return name

    def listed(
        self,
        request: Any,
        accept: Callable[[Any], bool] = lambda _found: True,
        order: str = "name",
    ) -> tuple[list[Any], str]:
        """One page of the instances of the request's location, by name."""
        place = self.location(request.parent, wild=True)
        with self._cloud.lock:
            found = [i for n, i in sorted(self.kept.instances.items())
                     if place in ("-", n.split("/")[3]) and accept(i)]  # fmt: skip
        if order.endswith(" desc"):
            found.reverse()
        return page(
            found, request.page_size, request.page_token, default=100, most=1000,
            scope=f"{request.parent} {getattr(request, 'filter', '')} {order}",
        )  # fmt: skip

    def again(self, request: Any) -> operations_pb2.Operation | None:
        """The operation that the same request began before, by its requestId."""
        given = request.request_id
        if not given:
            return None
        if not is_request_id(given):
            raise invalid(f"Invalid request ID '{given}': a non-zero UUID.", field="request_id")
        job = self.kept.asked.get(given)
        return operation_message(job) if job else None

    def begin(
        self,
        name: str,
        verb: str,
        seconds: float,
        effect: Callable[[], None],
        *,
        undo: Callable[[], None],
        told: Any = None,
        response: Any = None,
        request_id: str = "",
    ) -> operations_pb2.Operation:
        """Begin work on an instance; the operation's response is the instance as it then is.

        Args:
            told: the operation's metadata, where it is not the service's usual one.
            response: the response, where it is not the instance.
        """
        cloud, kept = self._cloud, self.kept
        text = cloud.new_id(f"{self.service}.operation/{name}/{verb}", 10)
        parent = name.rsplit("/instances/", 1)[0]
        at = int(cloud.clock.now() * 1000)
        operation = f"{parent}/operations/operation-{at}-{text[:12]}-{text[12:]}"
        metadata = told or self.metadata(target=name, verb=verb, api_version="v1")
        metadata.create_time = self.now()
        data: dict[str, Any] = {"metadata": metadata}

        def done() -> None:
            effect()
            metadata.end_time = self.now()
            after = kept.instances.get(name)
            if response is not None:
                data["response"] = response
            elif after is not None:
                data["response"] = type(after)(after)

        def fail() -> None:
            undo()
            metadata.end_time = self.now()

        job = cloud.operations.start(operation, self.service, name, seconds, done, data, undo=fail)
        if request_id:
            kept.asked[request_id] = job
        return operation_message(job)

    def put(self, instance: Any) -> None:
        """Have an instance be so from now on."""
        self.kept.instances[instance.name] = instance

    def with_state(self, instance: Any, state: Any) -> Any:
        """A copy of an instance in another state."""
        copy = type(instance)(instance)
        copy.state = state
        return copy

    def changed(self, verb: str, name: str) -> None:
        """Log that an instance was made, changed or deleted."""
        self._cloud.changed(f"{self.service}.instance.{verb}", name, "")

    def now(self) -> Timestamp:
        """The present."""
        stamp = Timestamp()
        stamp.FromNanoseconds(int(self._cloud.clock.now() * 1e9))
        return stamp

    def list_locations(
        self, request: locations_pb2.ListLocationsRequest, call: Call
    ) -> locations_pb2.ListLocationsResponse:
        project = parse_name("projects/{project}", request.name)["project"]
        check_project(self._cloud.project, project, service=f"{self.service}.googleapis.com")
        shown, token = page(
            self._places(), request.page_size, request.page_token,
            scope=request.name, default=100, most=1000,
        )  # fmt: skip
        return locations_pb2.ListLocationsResponse(
            locations=[self._location(p) for p in shown], next_page_token=token
        )

    def get_location(
        self, request: locations_pb2.GetLocationRequest, call: Call
    ) -> locations_pb2.Location:
        return self._location(self.location(request.name))

    def _parts(self, template: str, name: str, field: str) -> dict[str, str]:
        parts = parse_name(template, name, field=field)
        service = f"{self.service}.googleapis.com"
        check_project(self._cloud.project, parts["project"], service=service)
        return parts

    def _places(self) -> list[str]:
        return sorted(state_of(self._cloud).of(self.scope, "global"))

    def _location(self, place: str) -> locations_pb2.Location:
        name = PARENT.format(project=self._cloud.project.id, location=place)
        return locations_pb2.Location(name=name, location_id=place)


def network_named(cloud: Cloud, given: str, field: str) -> str:
    """The full name of a network ("projects/P/global/networks/N").

    Raises:
        ApiError: INVALID_ARGUMENT: another form, or the project has none of that name.
    """
    found = re.fullmatch(r"projects/([^/]+)/global/networks/([^/]+)", given)
    known = state_of(cloud).of("networks", "global")
    own = found is not None and found[1] in (cloud.project.id, cloud.project.number)
    if found is None or not own or found[2] not in known:
        raise invalid(f"Invalid value: {given}", field=field)
    return f"projects/{cloud.project.id}/global/networks/{found[2]}"


def peering_ranges(cloud: Cloud, network: str) -> list[Body]:
    """The addresses that a network has set aside for private services access, oldest first."""
    return [
        b
        for b in state_of(cloud).of("addresses", "global").values()
        if b.get("purpose") == "VPC_PEERING" and str(b.get("network", "")).endswith(f"/{network}")
    ]


def free_block(within: Sequence[IPv4Network], length: int, taken: set[IPv4Network]) -> IPv4Network:
    """The first block of that prefix length that overlaps none that is taken.

    Raises:
        ApiError: RESOURCE_EXHAUSTED: there is none left.
    """
    for whole in within:
        if whole.prefixlen > length:
            continue
        for block in whole.subnets(new_prefix=length):
            if not any(block.overlaps(t) for t in taken):
                return block
    raise ApiError(
        "RESOURCE_EXHAUSTED",
        f"Couldn't find free blocks of prefix length {length} in the allocated IP address ranges.",
    )


def host_in(block: IPv4Network, number: int) -> str:
    """One address of a block, as text."""
    return str(IPv4Address(int(block.network_address) + number))
