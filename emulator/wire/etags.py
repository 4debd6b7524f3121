"""Etags: a fingerprint of a message, and the check that a write starts from the newest."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from google.protobuf.message import Message

from emulator.wire.errors import ApiError


def etag_of(*parts: object) -> str:
    """A short fingerprint of the values."""
    digest = hashlib.blake2s(canonical(parts).encode(), digest_size=8).digest()
    return base64.b64encode(digest).decode()


def canonical(value: Any) -> str:
    """A text that equal values have in common, in every process.

    The order of a protobuf map's keys, and so of dictionaries made from one, differs between
    processes.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return canonical({f.name: getattr(value, f.name) for f in fields(value)})
    if isinstance(value, Mapping):
        inner = sorted(f"{key!r}:{canonical(each)}" for key, each in value.items())
        return f"{{{','.join(inner)}}}"
    if isinstance(value, set | frozenset):
        return f"{{{','.join(sorted(canonical(each) for each in value))}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(canonical(each) for each in value)}]"
    inside = type(value).pb(value) if hasattr(type(value), "pb") else value  # proto-plus
    if isinstance(inside, Message):
        return repr(inside.SerializeToString(deterministic=True))
    return repr(value)


def check_etag(given: str, current: str) -> None:
    """Pass an absent or current etag.

    Raises:
        ApiError: ABORTED, as Google answers for a stale one.
    """
    if given and given != current:
        raise ApiError(
            "ABORTED", "The etag provided does not match the current etag of the resource."
        )
