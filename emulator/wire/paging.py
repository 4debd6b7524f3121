"""Pages: opaque tokens that hold an offset and belong to one listing."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import TypeVar

from emulator.wire.errors import invalid

T = TypeVar("T")


def page(
    items: Sequence[T], size: int, token: str, *, scope: str, default: int, most: int
) -> tuple[list[T], str]:
    """One page of the items and the token of the next ("" at the end).

    Args:
        size: as asked; 0 means `default`; more than `most` is cut to it.
        scope: what is listed (parent, filter, order): a token of another listing is refused.

    Raises:
        ApiError: INVALID_ARGUMENT for a negative size or a token that is not of this listing.
    """
    if size < 0:
        raise invalid("page_size must not be negative", field="page_size")
    start = _offset(token, scope) if token else 0
    end = start + min(size or default, most)
    return list(items[start:end]), _token(end, scope) if end < len(items) else ""


def _mark(scope: str) -> str:
    return hashlib.blake2s(scope.encode(), digest_size=6).hexdigest()


def _token(offset: int, scope: str) -> str:
    return base64.urlsafe_b64encode(f"{offset}:{_mark(scope)}".encode()).decode().rstrip("=")


def _offset(token: str, scope: str) -> int:
    try:
        padded = token + "=" * (-len(token) % 4)
        offset, mark = base64.urlsafe_b64decode(padded.encode()).decode().split(":")
        if mark == _mark(scope) and offset.isdigit():
            return int(offset)
    except (binascii.Error, ValueError, UnicodeError):
        pass
    raise invalid("The provided page token is invalid.", field="page_token")
