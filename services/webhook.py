"""Posts copies of the audit's records to an address that whoever runs the console has set."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

import httpx

from core.audit_record import AuditRecord
from core.errors import Denied, Unavailable

SIGNATURE: Final = "x-heartwood-signature"
_TIMEOUT_S: Final = 15.0
_REFUSED: Final = (401, 403)


class Webhook:
    """One address, which is never told in a message: it may hold a secret."""

    def __init__(self, url: str, key: str = "") -> None:
        """`key`: of the signature; "": none is sent."""
        self._url, self._key = url, key.encode()

    def write(self, records: Sequence[AuditRecord]) -> None:
        """Post them as one JSON object; redirects are not followed.

        Raises:
            Denied, Unavailable: they were not taken.
        """
        body = f'{{"records":[{",".join(record.text for record in records)}]}}'.encode()
        headers = {"content-type": "application/json"}
        if self._key:
            signed = hmac.new(self._key, body, hashlib.sha256).hexdigest()
            headers[SIGNATURE] = f"sha256={signed}"
        try:
            answer = httpx.post(self._url, content=body, headers=headers, timeout=_TIMEOUT_S)
        except httpx.HTTPError as error:
            raise Unavailable(
                f"The webhook gave no answer ({type(error).__name__}).", resource="webhook"
            ) from error
        if not answer.is_success:
            kind = Denied if answer.status_code in _REFUSED else Unavailable
            raise kind(f"The webhook answered {answer.status_code}.", resource="webhook")
