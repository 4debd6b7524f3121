"""Identity-Aware Proxy: verifies the token that it adds to each request that it lets through.

Who the person is, and what they may, is `control/people.py`'s.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import httpx

from core.errors import Denied, Unavailable

ISSUER: Final = "https://cloud.google.com/iap"
_KEPT_S: Final = 3600.0  # Google changes the keys every few days and keeps old ones for a while
_AGAIN_S: Final = 60.0  # an unknown key makes us look again, but not for every request
_SKEW_S: Final = 30
_TIMEOUT_S: Final = 5.0


class Iap:
    """Verifies tokens for one audience. Safe for threads."""

    def __init__(
        self, audience: str, keys_url: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._audience, self._url, self._clock = audience, keys_url, clock
        self._lock = threading.Lock()
        self._keys: Mapping[str, str] = {}
        self._read_at: float | None = None

    def verify(self, token: str) -> Mapping[str, Any]:
        """The token's claims.

        Raises:
            Denied: it is malformed, expired, signed by somebody else, or for another audience.
            Unavailable: IAP's public keys cannot be read.
        """
        from google.auth import jwt
        from google.auth.exceptions import GoogleAuthError

        decode = cast(Callable[..., Mapping[str, Any]], jwt.decode)  # google.auth has no types
        header = cast(Callable[[str], Mapping[str, Any]], jwt.decode_header)
        try:
            head = header(token)
            if head.get("alg") != "ES256":
                raise ValueError(f"it is signed by {head.get('alg')}, not by ES256")
            keys = self._current(str(head.get("kid")))
            claims = decode(
                token, certs=keys, audience=self._audience, clock_skew_in_seconds=_SKEW_S
            )
            if claims.get("iss") != ISSUER:
                raise ValueError(f"it is of {claims.get('iss')}, not of IAP")
        except (GoogleAuthError, ValueError) as error:
            why = f"Identity-Aware Proxy's token is not valid: {error}"
            raise Denied(why, resource="IAP", hint="Reload the page") from error
        return claims

    def _current(self, key: str) -> Mapping[str, str]:
        with self._lock:
            age_s = None if self._read_at is None else self._clock() - self._read_at
            old = age_s is None or age_s > _KEPT_S
            if old or (key not in self._keys and age_s is not None and age_s > _AGAIN_S):
                self._keys = self._read()
                self._read_at = self._clock()
            return self._keys

    def _read(self) -> Mapping[str, str]:
        try:
            found = httpx.get(self._url, timeout=_TIMEOUT_S).raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            why = f"Identity-Aware Proxy's public keys cannot be read: {error}"
            raise Unavailable(why, resource=self._url) from error
        return cast(Mapping[str, str], found)
