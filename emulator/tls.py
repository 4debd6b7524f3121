"""A TLS port in front of the REST port (`--tls`), for what insists on https.

`gcloud container clusters get-credentials` writes https://ENDPOINT with the cluster's certificate
authority and, if told so, a client certificate. They are made once and kept in the data directory,
so that a kubeconfig outlives a restart. What answers is the REST port.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import os
import ssl
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_YEARS: Final = timedelta(days=3650)
_PEM: Final = serialization.Encoding.PEM
_CHUNK: Final = 65536


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """What a cluster tells of its API server while there is a TLS port; PEM in base64."""

    address: str
    authority: str
    client_certificate: str
    client_key: str


class TlsPort:
    """The port; it listens from `start` to `stop` in a thread of its own."""

    def __init__(self, folder: Path, host: str, port: int) -> None:
        self._folder, self._host, self._port = folder, host, port
        self._loop = asyncio.new_event_loop()
        self._target = ("", 0)
        self._thread = threading.Thread(target=self._loop.run_forever, name="tls", daemon=True)

    def start(self, rest_url: str) -> ClusterAccess:
        """Listen, and pass on to the REST port.

        Raises:
            OSError: the port is taken.
        """
        _make_files(self._folder, self._host)
        host, _, port = rest_url.removeprefix("http://").rpartition(":")
        self._target = (host.strip("[]"), int(port))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._folder / "server.pem", self._folder / "server.key")
        context.load_verify_locations(self._folder / "authority.pem")
        context.verify_mode = ssl.CERT_OPTIONAL
        self._thread.start()
        opening = asyncio.start_server(self._serve, self._host, self._port, ssl=context)
        server = asyncio.run_coroutine_threadsafe(opening, self._loop).result()
        bound = server.sockets[0].getsockname()[1]
        texts = [
            base64.b64encode((self._folder / name).read_bytes()).decode()
            for name in ("authority.pem", "client.pem", "client.key")
        ]
        return ClusterAccess(f"{host}:{bound}", *texts)

    def stop(self) -> None:
        """Stop listening; open connections end with the process."""
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pass(reader, inner_writer), _pass(inner_reader, writer))


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on until either side is gone."""
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    except (ConnectionError, ssl.SSLError):
        pass
    finally:
        writer.close()


def _make_files(folder: Path, host: str) -> None:
    """Authority, server's and client's certificate, unless they are there already."""
    names = ("authority.pem", "server.pem", "server.key", "client.pem", "client.key")
    if all((folder / name).exists() for name in names):
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("heartwood-emulator", "", key, None, key, [])
    _write(folder / "authority.pem", authority.public_bytes(_PEM))
    alternatives = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    if host not in ("127.0.0.1", "localhost"):
        alternatives.append(_alternative(host))
    for name, common, group in (
        ("server", "kubernetes", ""),
        ("client", "client", "system:masters"),
    ):
        own = ec.generate_private_key(ec.SECP256R1())
        found = _certificate(
            common, group, own, authority, key, alternatives if name == "server" else []
        )
        _write(folder / f"{name}.pem", found.public_bytes(_PEM))
        private = own.private_bytes(
            _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        _write(folder / f"{name}.key", private)


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _certificate(
    common: str,
    group: str,
    own: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate | None,
    signer: ec.EllipticCurvePrivateKey,
    alternatives: list[x509.GeneralName],
) -> x509.Certificate:
    """A certificate; without an authority it is one, signed by itself."""
    told = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if group:
        told.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(told))
        .issuer_name(authority.subject if authority else x509.Name(told))
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _YEARS)
        .add_extension(x509.BasicConstraints(ca=authority is None, path_length=None), critical=True)
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return builder.sign(signer, hashes.SHA256())


def _write(path: Path, content: bytes) -> None:
    """For the owner's eyes alone, from the first byte on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
