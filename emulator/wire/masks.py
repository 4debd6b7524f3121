"""Field masks: which fields a read shows or an update writes."""

from __future__ import annotations

from typing import Any, TypeVar

from google.protobuf import field_mask_pb2

from emulator.wire.codec import plain
from emulator.wire.errors import invalid

T = TypeVar("T")


def show(message: T, mask: field_mask_pb2.FieldMask) -> T:
    """A copy with the mask's fields alone; the message itself for an empty mask or "*".

    Raises:
        ApiError: INVALID_ARGUMENT: a path that the message has not.
    """
    if not mask.paths or list(mask.paths) == ["*"]:
        return message
    target: Any = type(message)()
    _check(mask, target)
    mask.MergeMessage(plain(message), plain(target))
    return target


def merge(changes: Any, mask: field_mask_pb2.FieldMask, current: T) -> T:
    """A copy of `current` with the mask's fields taken from `changes`, repeated ones replaced.

    Raises:
        ApiError: INVALID_ARGUMENT: an empty mask or a path that the message has not.
    """
    if not mask.paths:
        raise invalid("update_mask must not be empty.", field="update_mask")
    _check(mask, current)
    merged: Any = type(current)()
    plain(merged).CopyFrom(plain(current))
    mask.MergeMessage(plain(changes), plain(merged), True, True)
    return merged


def _check(mask: field_mask_pb2.FieldMask, message: Any) -> None:
    for path in mask.paths:
        if not field_mask_pb2.FieldMask(paths=[path]).IsValidForDescriptor(
            plain(message).DESCRIPTOR
        ):
            raise invalid(f"Field mask path '{path}' is not a field of the resource.")
