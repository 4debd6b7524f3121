"""Etags: a fingerprint of a message, and the check that a write starts from the newest."""

from __future__ import annotations

import base64
import hashlib

from emulator.wire.errors import ApiError


def etag_of(*parts: object) -> str:
    """A short fingerprint of the values."""
    digest = hashlib.blake2s(repr(parts).encode(), digest_size=8).digest()
    return base64.b64encode(digest).decode()


def check_etag(given: str, current: str) -> None:
    """Pass an absent or current etag.

    Raises:
        ApiError: ABORTED, as Google answers for a stale one.
    """
    if given and given != current:
        raise ApiError(
            "ABORTED", "The etag provided does not match the current etag of the resource."
        )
