"""The rehearsal as gcloud, bq and kubectl sent it, replayed: it needs none of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from rehearsal.blocks import DOCUMENT, read_blocks
from rehearsal.replay import Replay, read_recording
from tests.processes import start_emulator


def make_certificate() -> dict[str, str]:
    """A pair for one host, as the text of a JSON string."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "inference.example.com")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=30))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("inference.example.com")]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "certificate": json.dumps(certificate.public_bytes(pem).decode())[1:-1],
        "privateKey": json.dumps(private.decode())[1:-1],
    }


def test_the_recording_is_of_this_document() -> None:
    """Every block of the document is a step of the recording, in the same order."""
    blocks = read_blocks(DOCUMENT.read_text(encoding="utf-8"))
    steps = [line["step"] for line in read_recording() if "step" in line]
    silent = {"Names"}
    assert steps == [b.title for b in blocks if b.title not in silent], (
        "run `make rehearsal-record`"
    )


@pytest.mark.timeout(120)
def test_the_recorded_rehearsal_is_answered_alike() -> None:
    """A fresh emulator of an empty project answers every request with the recorded status, and
    in the end nothing is left.
    """
    emulator = start_emulator("empty-project", speed=20000)
    replay = Replay(emulator.rest_url, make_certificate())
    try:
        left = [
            items
            for step, body in replay.run(read_recording())
            if step == "Nothing is left" and isinstance(body, dict)
            for key, items in body.items()
            if isinstance(items, list) and any("hw-rehearsal" in json.dumps(i) for i in items)
        ]
    finally:
        emulator.stop()
    assert replay.wrong == []
    assert left == []
    assert replay.sent > 200
