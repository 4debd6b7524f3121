"""Who may do what: local users, OIDC's claims, IAP's signed header, and nobody."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.auth import crypt, jwt

from control.access import Actor, Role, require
from control.people import IAP_HEADER, USER_COOKIE, People, Session
from control.settings import load_settings
from control.settings_access import machine_user
from control.sign_outs import SignOuts
from control.store import open_store
from core.errors import ConfigError, Denied, Unavailable
from services.iap import ISSUER, Iap

AUDIENCE = "/projects/123/global/backendServices/456"
REAL = {"HEARTWOOD_CLOUD__TARGET": "google"}
LOOK = {"HEARTWOOD_READ_ONLY": "true"}
ROLES = """
admins = ["Head@example.com"]
approvers = ["group:leads"]
operators = ["*@ops.example.com"]
"""


def people(
    folder: Path,
    text: str = "",
    iap: Iap | None = None,
    environ: Mapping[str, str] = MappingProxyType({}),
) -> People:
    """The people of those settings."""
    file = folder / "people.toml"
    file.write_text(text, encoding="utf-8")
    store = open_store(f"sqlite:///{folder}/people.db")
    return People(load_settings(file, environ), iap, SignOuts(store))


def signed_in(login: People, email: str, **claims: Any) -> Actor:
    """Who comes with that e-mail address and these claims, valid for an hour."""
    given = {"email": email, "exp": time.time() + 3600, **claims}
    return login.identify(Session(claims=given))


def test_roles_contain_each_other() -> None:
    """Each role may do what those before it may, and no more."""
    order = (Role.VIEWER, Role.OPERATOR, Role.APPROVER, Role.ADMIN)
    for i, mine in enumerate(order):
        for j, needed in enumerate(order):
            actor = Actor("x", "test", mine is not Role.VIEWER, "", mine)
            assert (actor.lacks(needed) == "") == (i >= j and (mine, needed) != (order[0],) * 2)
    with pytest.raises(Denied, match="Needs the role admin; ben is approver"):
        require(Actor("ben", "test", role=Role.APPROVER), Role.ADMIN)


def test_local_users_are_chosen_by_session_then_by_cookie(tmp_path: Path) -> None:
    """The session's choice first, then the browser's; a name that is not listed counts as none."""
    found = people(tmp_path)
    first = next(iter(found.names()))
    assert found.identify(Session()).name == first
    assert found.identify(Session(cookies={USER_COOKIE: "ben"})).role is Role.APPROVER
    chosen = Session(cookies={USER_COOKIE: "ben"}, chosen="vic")
    assert found.identify(chosen).name == "vic"
    assert found.identify(Session(cookies={USER_COOKIE: "mallory"})).name == first
    assert "Needs the role operator; vic is viewer" in found.identify(chosen).why_not


@pytest.mark.parametrize(
    ("environ", "role", "may_act"),
    [
        ({}, Role.OPERATOR, True),
        (LOOK, Role.OPERATOR, False),
        ({"HEARTWOOD_HOSTS__BIND": "0.0.0.0"}, Role.VIEWER, False),
        (REAL, Role.VIEWER, False),
    ],
)
def test_without_a_sign_in_only_this_machines_emulator_may_be_changed(
    tmp_path: Path, environ: dict[str, str], role: Role, may_act: bool
) -> None:
    """A real project, or a console that others reach, is read only until a login is configured."""
    chosen = Session(chosen="" if may_act or role is Role.OPERATOR else "cleo")
    actor = people(tmp_path, environ=environ).identify(chosen)
    assert actor.may_act == may_act
    if role is Role.VIEWER:
        assert actor.role is Role.VIEWER
        assert "[access] login" in actor.why_not


def test_users_without_a_password_are_refused_for_a_real_project(tmp_path: Path) -> None:
    """Asked for by name, they are a wrong setting; iap without an audience likewise."""
    with pytest.raises(ConfigError, match="emulator only"):
        people(tmp_path, '[access]\nlogin = "local"', environ=REAL)
    with pytest.raises(ConfigError, match="audience"):
        people(tmp_path, '[access]\nlogin = "iap"')


def test_claims_are_mapped_to_the_highest_role(tmp_path: Path) -> None:
    """By address, by domain, by group; who has none may not even look."""
    login = people(tmp_path, f'[access]\nlogin = "oidc"\nroles_claim = "groups"\n{ROLES}')
    assert signed_in(login, "head@EXAMPLE.com").role is Role.ADMIN
    assert signed_in(login, "amy@ops.example.com").role is Role.OPERATOR
    assert signed_in(login, "amy@ops.example.com", groups=["leads"]).role is Role.APPROVER
    stranger = signed_in(login, "amy@evil-ops.example.com.net")
    assert stranger.role is None
    assert not stranger.may_act
    assert login.identify(Session()).role is None
    assert signed_in(login, "head@example.com", email_verified=False).role is None


def test_an_expired_sign_in_can_do_nothing(tmp_path: Path) -> None:
    """At its end, and when the token names none."""
    login = people(tmp_path, f'[access]\nlogin = "oidc"\n{ROLES}')
    actor = signed_in(login, "head@example.com", exp=time.time() + 60)
    require(actor, Role.ADMIN)
    assert "expired" in actor.lacks(now=datetime.now(UTC) + timedelta(seconds=61))
    with pytest.raises(Denied, match="expired"):
        require(signed_in(login, "head@example.com", exp=None))


def test_an_expired_sign_in_may_not_even_look(tmp_path: Path) -> None:
    """Who asks after its end is let in no more; the settings may set the end."""
    began = time.time() - 7200
    ended = signed_in(people(tmp_path, f'[access]\nlogin = "oidc"\n{ROLES}'), "head@example.com",
                      iat=began, exp=time.time() - 1)  # fmt: skip
    assert ended.role is None
    assert "expired" in ended.why_not
    for hours, role in ((1, None), (3, Role.ADMIN)):
        text = f'[access]\nlogin = "oidc"\nsession_h = {hours}\n{ROLES}'
        actor = signed_in(people(tmp_path, text), "head@example.com", iat=began)
        assert actor.role is role
        assert actor.expires_at == datetime.fromtimestamp(began + hours * 3600, UTC)


def test_a_sign_out_ends_that_sign_in_and_no_other(tmp_path: Path) -> None:
    """Every open tab of it; not what the same person did in another browser, or after it."""
    login = people(tmp_path, f'[access]\nlogin = "oidc"\n{ROLES}')
    login.ask_by(Session)
    login.sign_out()  # nobody is there: nothing
    here = {"sub": "1", "iat": 1.0, "nonce": "a", "email": "head@example.com"}
    here["exp"] = time.time() + 3600
    login.ask_by(lambda: Session(claims=here))
    require(login.present(), Role.ADMIN)
    login.sign_out()
    with pytest.raises(Denied, match="signed out in another tab"):
        require(login.present())
    login.sign_out()  # twice is once
    elsewhere = people(tmp_path, f'[access]\nlogin = "oidc"\n{ROLES}')  # another console
    assert elsewhere.identify(Session(claims=here)).role is None
    assert login.identify(Session(claims={**here, "nonce": "b"})).role is Role.ADMIN


def test_the_machines_user_acts_on_the_command_line_where_listed(tmp_path: Path) -> None:
    """Only there, and by no sign-in of that name; unlisted they look. So it is without a login."""
    me = machine_user()
    for login in ("oidc", ""):
        text = f'[cloud]\ntarget = "google"\n[access]\nlogin = "{login}"\n'
        listed = people(tmp_path, f'{text}approvers = ["os:{me}"]\noperators = ["*"]')
        actor = listed.identify(Session(shell=True))
        assert (actor.name, actor.role) == (me, Role.APPROVER)
        require(actor, Role.APPROVER)
        assert listed.identify(Session()).role is not Role.APPROVER
        unlisted = people(tmp_path, f'{text}admins = ["*"]').identify(Session(shell=True))
        assert unlisted.role is Role.VIEWER
        with pytest.raises(Denied, match=f'list "os:{me}" under'):
            require(unlisted)
    login = people(tmp_path, '[access]\nlogin = "oidc"\nadmins = ["os:root@b.c"]')
    assert signed_in(login, "os:root@b.c").role is None


def test_a_claim_within_another_tells_roles(tmp_path: Path) -> None:
    """By its path; a claim whose own name has dots comes first."""
    text = '[access]\nlogin = "oidc"\nroles_claim = "realm.roles"\nadmins = ["group:boss"]'
    login = people(tmp_path, text)
    assert signed_in(login, "a@b.c", realm={"roles": ["boss"]}).role is Role.ADMIN
    assert signed_in(login, "a@b.c", **{"realm.roles": "boss"}).role is Role.ADMIN
    for claims in ({"realm": {"roles": ["staff"]}}, {"realm": "roles"}, {"realm.roles": 7}, {}):
        assert signed_in(login, "a@b.c", **claims).role is None


# --- Identity-Aware Proxy ------------------------------------------------------------------------


class Keys:
    """A key set as IAP publishes it, on a local server."""

    def __init__(self) -> None:
        self.private: dict[str, ec.EllipticCurvePrivateKey] = {}
        self.reads = 0
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.reads += 1
                body = json.dumps(owner.public()).encode()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/keys"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def add(self, name: str) -> None:
        """A new key."""
        self.private[name] = ec.generate_private_key(ec.SECP256R1())

    def public(self) -> dict[str, str]:
        """Key id → PEM."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return {
            name: key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()
            for name, key in self.private.items()
        }

    def sign(
        self, key: str = "k1", by: ec.EllipticCurvePrivateKey | None = None, **other: Any
    ) -> str:
        """A token as IAP makes it, but for what is said otherwise."""
        now = time.time()
        claims = {
            "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 600,
            "email": "head@example.com", "sub": "accounts.google.com:1", **other,
        }  # fmt: skip
        pem = (by or self.private[key]).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        signer = crypt.EsSigner.from_string(pem, key)  # type: ignore[no-untyped-call]
        return jwt.encode(signer, claims).decode()  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def keys() -> Iterator[Keys]:
    """One key, k1."""
    made = Keys()
    made.add("k1")
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_a_token_of_iap_gives_the_persons_role(tmp_path: Path, keys: Keys) -> None:
    """The verified header's address decides, and the sign-in ends when the token does."""
    text = f'[access]\nlogin = "iap"\niap_audience = "{AUDIENCE}"\n{ROLES}'
    found = people(tmp_path, text, Iap(AUDIENCE, keys.url))
    actor = found.identify(Session(headers={IAP_HEADER: keys.sign()}))
    assert (actor.name, actor.role) == ("head@example.com", Role.ADMIN)
    require(actor, Role.ADMIN)
    assert actor.lacks(now=datetime.now(UTC) + timedelta(seconds=700))
    plain = {"x-goog-authenticated-user-email": "accounts.google.com:head@example.com"}
    assert found.identify(Session(headers=plain)).role is None  # a header that anybody can send


Forge = Callable[[Keys], str]
FORGED: dict[str, Forge] = {
    "another key": lambda k: k.sign(by=ec.generate_private_key(ec.SECP256R1())),
    "another audience": lambda k: k.sign(aud="/projects/1/global/backendServices/2"),
    "another issuer": lambda k: k.sign(iss="https://accounts.google.com"),
    "expired": lambda k: k.sign(iat=time.time() - 900, exp=time.time() - 300),
    "from the future": lambda k: k.sign(iat=time.time() + 300),
    "no signature": lambda k: k.sign().rpartition(".")[0] + ".",
    "not a token": lambda _: "abc",
    "empty claims": lambda k: ".".join((k.sign().split(".")[0], "e30", k.sign().split(".")[2])),
}


@pytest.mark.parametrize("forged", FORGED)
def test_a_forged_token_is_nobody(tmp_path: Path, keys: Keys, forged: str) -> None:
    """Whatever is wrong with it: refused, and the page says that it is not valid."""
    token = FORGED[forged](keys)
    with pytest.raises(Denied, match="not valid"):
        Iap(AUDIENCE, keys.url).verify(token)


def test_keys_are_read_once_and_again_for_a_new_one(keys: Keys) -> None:
    """Google changes its keys: an unknown one is looked for, at most once a minute."""
    now = [1000.0]
    iap = Iap(AUDIENCE, keys.url, clock=lambda: now[0])
    before = keys.reads
    iap.verify(keys.sign())
    iap.verify(keys.sign())
    assert keys.reads == before + 1
    keys.add("k2")
    token = keys.sign("k2")
    with pytest.raises(Denied):
        iap.verify(token)
    now[0] += 61
    assert iap.verify(token)["email"] == "head@example.com"
    assert keys.reads == before + 2


def test_without_keys_nobody_is_let_in() -> None:
    """The key set cannot be read: that is said, and it is no sign-in."""
    with pytest.raises(Unavailable, match="public keys"):
        Iap(AUDIENCE, "http://127.0.0.1:9/keys").verify(
            "eyJhbGciOiJFUzI1NiIsImtpZCI6ImsxIn0.e30.AAAA"
        )


def test_read_only_holds_for_admins_too(tmp_path: Path) -> None:
    """Read only is of the console, whoever comes."""
    login = people(tmp_path, f'[access]\nlogin = "oidc"\n{ROLES}', environ=LOOK)
    actor = signed_in(login, "head@example.com")
    assert actor.role is Role.ADMIN
    with pytest.raises(Denied, match="read-only"):
        require(replace(actor), Role.ADMIN)
