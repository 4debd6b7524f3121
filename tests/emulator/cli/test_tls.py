"""The TLS port, and the kubeconfig that get-credentials writes for it."""

from __future__ import annotations

import base64
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.emulator.cli.conftest import emulator_environment
from tests.emulator.clients import CLUSTER, make_client
from tests.processes import ROOT, EmulatorProcess, start_emulator


@pytest.fixture(scope="module")
def secured() -> Iterator[EmulatorProcess]:
    """An emulator with a TLS port."""
    running = start_emulator(
        speed=600, arguments=["--tls"], environment={"HEARTWOOD_EMULATOR_TLS_PORT": "0"}
    )
    yield running
    running.stop()


def test_a_cluster_tells_how_to_reach_it(secured: EmulatorProcess, tmp_path: Path) -> None:
    """Its endpoint answers over TLS by its own authority, and takes the client certificate."""
    cluster = make_client("ClusterManagerClient", "rest", secured).get_cluster(name=CLUSTER)
    given = cluster.master_auth
    for name in ("cluster_ca_certificate", "client_certificate", "client_key"):
        (tmp_path / name).write_bytes(base64.b64decode(getattr(given, name)))
    context = ssl.create_default_context(cafile=str(tmp_path / "cluster_ca_certificate"))
    context.load_cert_chain(tmp_path / "client_certificate", tmp_path / "client_key")
    answer = httpx.get(f"https://{cluster.endpoint}/version", verify=context)
    assert answer.json()["gitVersion"] == f"v{cluster.current_master_version}"
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"https://{cluster.endpoint}/version")


@pytest.mark.cli
@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
def test_get_credentials_reaches_the_cluster(secured: EmulatorProcess, tmp_path: Path) -> None:
    """As in Google's own instructions, into a kubeconfig of the caller's."""
    environment = {
        **emulator_environment(secured), "CLOUDSDK_CONFIG": str(tmp_path), "HOME": str(tmp_path),
        "PYTHON": sys.executable,
    }  # fmt: skip
    script = (
        'set -e; eval "$("$PYTHON" -m emulator env)"; export KUBECONFIG=$HOME/kubeconfig; '
        "gcloud container clusters get-credentials hw-serving --region=us-central1; "
        "kubectl get nodes -o name"
    )
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 307
    assert os.stat(secured.data_dir / "tls" / "client.key").st_mode & 0o077 == 0
