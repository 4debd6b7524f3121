"""What every product's module offers: making, reading and deleting by full name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from core.cloud_resources import CloudResource
from core.errors import NotFound
from services.gke import OperationState

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """What exists under a name.

    Attributes:
        body: as the API tells it, in the API's JSON form.
        owner: whose it is; None: not ours.
        ready: whether it can be used.
        status: the API's word for its state; "" where it has none.
        failed: why it will never be ready; "" when it may be.
        half: making it again completes it.
    """

    body: Json
    owner: str | None
    ready: bool = True
    status: str = ""
    failed: str = ""
    half: bool = False


class ProductResources(Protocol):
    """One product. All raise OpsError."""

    def get(self, name: str) -> Found | None:
        """What exists under that full name; None: nothing does."""
        ...

    def create(self, name: str, body: Json) -> str:
        """Begin to make it; the operation's full name, "" when it is made already."""
        ...

    def delete(self, name: str) -> str:
        """Begin to delete it; the operation's full name, "" when there is none to wait for."""
        ...

    def get_operation(self, name: str) -> OperationState:
        """An operation by its full name."""
        ...

    def list_ours(self) -> tuple[CloudResource, ...]:
        """What of this product is ours."""
        ...


def delete_if_there(delete: Callable[[], object]) -> str:
    """Delete at once what may be gone; the operation's name, which is ""."""
    with suppress(NotFound):
        delete()
    return ""


def done(name: str) -> OperationState:
    """The state of what needs no operation."""
    return OperationState(name, True, "DONE", "", None, None)
