"""gcloud, as installed, sets a project up against the emulator: accounts, policy, bucket, sink."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.emulator.clients import PROJECT
from tests.processes import ROOT, EmulatorProcess

pytestmark = pytest.mark.cli

_ACCOUNT = f"hw-cli@{PROJECT}.iam.gserviceaccount.com"


def _shell(running: EmulatorProcess, folder: Path, script: str) -> str:
    """What a script prints, in a shell that has evaluated `python -m emulator env`."""
    if shutil.which("gcloud") is None:
        pytest.skip("gcloud is not installed")
    environment = {
        **os.environ,
        "HEARTWOOD_EMULATOR_PORT": running.rest_url.rsplit(":", 1)[1],
        "HEARTWOOD_DATA_DIR": str(running.data_dir),
        "CLOUDSDK_CONFIG": str(folder),
        "HOME": str(folder),
    }
    done = subprocess.run(
        ["bash", "-c", f'set -e; eval "$({sys.executable} -m emulator env)"; {script}'],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_gcloud_grants_a_role_to_a_new_account(platform: EmulatorProcess, tmp_path: Path) -> None:
    """Reading, changing and writing the project's policy takes the older Resource Manager."""
    script = (
        "gcloud iam service-accounts create hw-cli >/dev/null 2>&1; "
        f"gcloud projects add-iam-policy-binding {PROJECT} --condition=None "
        f"--member=serviceAccount:{_ACCOUNT} --role=roles/logging.viewer --format=json"
    )
    bindings = json.loads(_shell(platform, tmp_path, script))["bindings"]
    (granted,) = [b["members"] for b in bindings if b["role"] == "roles/logging.viewer"]
    assert f"serviceAccount:{_ACCOUNT}" in granted


def test_gcloud_storage_copies_both_ways(platform: EmulatorProcess, tmp_path: Path) -> None:
    """Small files go in one request and large ones in chunks; rm -r takes the bucket along."""
    data = os.urandom(9 * 1024 * 1024)
    (tmp_path / "large").write_bytes(data)
    (tmp_path / "small").write_text("hello")
    script = (
        "gcloud storage buckets create gs://hw-cli --location=us-central1; "
        f"gcloud storage cp {tmp_path}/small {tmp_path}/large gs://hw-cli/dir/; "
        f"gcloud storage cp gs://hw-cli/dir/large {tmp_path}/back; "
        "gcloud storage cat gs://hw-cli/dir/small; gcloud storage rm -r gs://hw-cli"
    )
    assert _shell(platform, tmp_path, script).strip().endswith("hello")
    assert (tmp_path / "back").read_bytes() == data
