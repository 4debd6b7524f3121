"""`python -m emulator env` and the files that it points at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import yaml

from emulator.client_files import ClientFiles, KeptFiles, bigqueryrc, client_files, kubeconfig
from emulator.context import make_cloud
from emulator.env import variables
from emulator.settings import Settings
from tests.emulator.cli.conftest import emulator_environment
from tests.processes import ROOT, EmulatorProcess


def run_env(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command."""
    return subprocess.run(
        [sys.executable, "-m", "emulator", "env", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_lines_set_every_endpoint(emulator: EmulatorProcess) -> None:
    """A shell that evaluates them has the same values as the JSON form."""
    environment = emulator_environment(emulator)
    told = json.loads(run_env(environment, "--json").stdout)
    for name in ("CONTAINER", "TPU", "AIPLATFORM", "COMPUTE", "CLOUDBILLING", "MONITORING"):
        address = told[f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name}"]
        assert address.startswith(emulator.rest_url + "/")
        assert address.endswith("/")
    assert told["CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE"].endswith("/compute/v1/")
    assert told["CLOUDSDK_CORE_PROJECT"] == "heartwood-demo"
    assert told["CLOUDSDK_AUTH_DISABLE_CREDENTIALS"] == "true"
    script = f'eval "$({sys.executable} -m emulator env)"; env -0'
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, check=True
    )
    evaluated = dict(
        entry.split("=", 1) for entry in done.stdout.decode().split("\0") if "=" in entry
    )
    assert {name: evaluated[name] for name in told} == told


def test_files_that_the_lines_name_are_there(emulator: EmulatorProcess) -> None:
    """kubectl's with a context per cluster, bq's with endpoint and token; for their owner alone."""
    told = json.loads(run_env(emulator_environment(emulator), "--json").stdout)
    with open(told["KUBECONFIG"], encoding="utf-8") as file:
        config = yaml.safe_load(file)
    assert [c["name"] for c in config["contexts"]] == ["gke_heartwood-demo_us-central1_hw-serving"]
    assert config["clusters"][0]["cluster"]["server"].startswith(emulator.rest_url)
    with open(told["BIGQUERYRC"], encoding="utf-8") as file:
        text = file.read()
    assert f"api = {emulator.rest_url}/bigquery" in text
    assert "oauth_access_token = " in text
    assert os.stat(told["KUBECONFIG"]).st_mode & 0o077 == 0


def test_without_an_emulator_it_says_so() -> None:
    """The lines are printed all the same, for a shell that is prepared before the start."""
    done = run_env({**os.environ, "HEARTWOOD_EMULATOR_PORT": "1"})
    assert done.returncode == 0
    assert "nothing answers at http://127.0.0.1:1" in done.stderr
    assert "export CLOUDSDK_CORE_PROJECT=heartwood-demo" in done.stdout


def test_a_wrong_port_is_refused() -> None:
    """With the variable's name."""
    done = run_env({**os.environ, "HEARTWOOD_EMULATOR_PORT": "x"})
    assert done.returncode == 2
    assert "HEARTWOOD_EMULATOR_PORT" in done.stderr


def test_the_zone_has_the_tpu_vms() -> None:
    """`gcloud compute tpus tpu-vm list` needs a zone, and everything else here is regional."""
    found = variables("http://x", make_cloud(Settings()).project, {})
    assert found["CLOUDSDK_COMPUTE_ZONE"] == "us-central1-b"


def test_the_files_follow_the_clusters(tmp_path: object) -> None:
    """A cluster that comes or goes is in the kubeconfig soon after; a deleted file comes back."""
    cloud = make_cloud(Settings())
    cloud.endpoints.rest_url = "http://127.0.0.1:9"
    files = ClientFiles(client_files({"HEARTWOOD_DATA_DIR": str(tmp_path)}).folder)
    kept = KeptFiles(cloud, files)
    kept.start()
    try:
        assert "hw-serving" in files.kubeconfig.read_text()
        files.bigqueryrc.unlink()
        cloud.fleet.clusters.clear()
        end = time.monotonic() + 60
        while not files.bigqueryrc.exists() or "hw-serving" in files.kubeconfig.read_text():
            assert time.monotonic() < end
            time.sleep(0.05)
    finally:
        kept.stop()


def test_an_empty_project_has_a_readable_kubeconfig() -> None:
    """No cluster, no context, still a whole file."""
    config = yaml.safe_load(kubeconfig("http://x", "p", []))
    assert config["contexts"] == []
    assert config["current-context"] == ""
    assert "project_id = p" in bigqueryrc("http://x", "p")
