"""An OpenID Connect provider on loopback: authorization code with PKCE, signed ID tokens, sign-out.

It is strict where a real one is: an unknown client, another address to return to, a missing or
wrong proof, a code used twice are each refused. Its people need no password, only a click.
"""

from __future__ import annotations

import base64
import contextlib
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

import uvicorn
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse
from starlette.responses import Response as Answer
from starlette.routing import Route

CLIENT: Final = "heartwood-console"
SECRET: Final = "known-to-the-two-of-us"


@dataclass
class Provider:
    """What it knows and does.

    Attributes:
        people: claims of each person, by the name on their button.
        return_to: the one address that it sends people back to.
        life_s: how long an ID token holds.
        forging: sign with a key that is not published.
        signed_out: subjects whose session it has ended.
    """

    people: Mapping[str, Mapping[str, Any]]
    return_to: str = ""
    life_s: float = 3600.0
    forging: bool = False
    url: str = ""
    signed_out: list[str] = field(default_factory=list)
    _codes: dict[str, Mapping[str, str]] = field(default_factory=dict)
    _key: RSAKey = field(default_factory=lambda: _new_key("published"))
    _other: RSAKey = field(default_factory=lambda: _new_key("published"))

    def secrets_toml(self) -> str:
        """What Streamlit's secrets hold to sign in here; it puts its own port into {port}."""
        return "\n".join(
            (
                "[auth]",
                'redirect_uri = "http://127.0.0.1:{port}/oauth2callback"',
                f'cookie_secret = "{secrets.token_hex(32)}"',
                f'client_id = "{CLIENT}"',
                f'client_secret = "{SECRET}"',
                f'server_metadata_url = "{self.url}/.well-known/openid-configuration"',
            )
        )

    def app(self) -> Starlette:
        """Its HTTP surface."""
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._metadata),
                Route("/authorize", self._authorize),
                Route("/continue", self._go_on),
                Route("/token", self._token, methods=["POST"]),
                Route("/keys", self._keys),
                Route("/logout", self._logout),
            ]
        )

    def _metadata(self, _request: Request) -> Answer:
        return JSONResponse(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
                "end_session_endpoint": f"{self.url}/logout",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    def _authorize(self, request: Request) -> Answer:
        asked = dict(request.query_params)
        fits = (
            (asked.get("client_id"), asked.get("redirect_uri")) == (CLIENT, self.return_to)
            and asked.get("response_type") == "code"
            and asked.get("code_challenge_method") == "S256"
            and "openid" in asked.get("scope", "").split()
            and all(asked.get(name) for name in ("state", "nonce", "code_challenge"))
        )
        if not fits:
            return PlainTextResponse(f"refused: {sorted(asked)}", 400)
        links = "".join(
            f'<p><a href="/continue?{urlencode({**asked, "person": name})}">{name}</a></p>'
            for name in self.people
        )
        return HTMLResponse(f"<h1>Who are you?</h1>{links}")

    def _go_on(self, request: Request) -> Answer:
        asked = dict(request.query_params)
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        query = urlencode({"code": code, "state": asked["state"]})
        return RedirectResponse(f"{self.return_to}?{query}", 302)

    async def _token(self, request: Request) -> Answer:
        given = {k: v[0] for k, v in parse_qs((await request.body()).decode()).items()}
        basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {basic}":
            return JSONResponse({"error": "invalid_client"}, 401)
        asked = self._codes.pop(given.get("code", ""), None)
        proven = asked is not None and (
            create_s256_code_challenge(given.get("code_verifier", "")) == asked["code_challenge"]
        )
        if asked is None or not proven or given.get("redirect_uri") != self.return_to:
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = int(time.time())
        claims = {
            **self.people[asked["person"]],
            "iss": self.url, "aud": CLIENT, "sub": asked["person"], "nonce": asked["nonce"],
            "iat": now, "exp": now + int(self.life_s),
        }  # fmt: skip
        key = self._other if self.forging else self._key
        return JSONResponse(
            {
                "access_token": secrets.token_urlsafe(16),
                "token_type": "Bearer",
                "expires_in": int(self.life_s),
                "id_token": jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key),
            }
        )

    def _keys(self, _request: Request) -> Answer:
        return JSONResponse(KeySet([self._key]).as_dict(private=False))

    def _logout(self, request: Request) -> Answer:
        asked = request.query_params
        token = jwt.decode(asked["id_token_hint"], self._key, algorithms=["RS256"])
        if asked["post_logout_redirect_uri"] != self.return_to:
            return PlainTextResponse("refused", 400)
        self.signed_out.append(token.claims["sub"])
        return RedirectResponse(self.return_to, 302)


def _new_key(name: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": name, "use": "sig", "alg": "RS256"})


@contextlib.contextmanager
def running_provider(people: Mapping[str, Mapping[str, Any]]) -> Iterator[Provider]:
    """A provider that listens on a free port, in a thread of this process."""
    provider = Provider(people)
    server = uvicorn.Server(uvicorn.Config(provider.app(), port=0, log_level="warning"))
    socket = server.config.bind_socket()
    provider.url = f"http://127.0.0.1:{socket.getsockname()[1]}"
    thread = threading.Thread(target=server.run, args=([socket],), daemon=True)
    thread.start()  # connections wait in the socket until it serves
    try:
        yield provider
    finally:
        server.should_exit = True
        thread.join(30)
