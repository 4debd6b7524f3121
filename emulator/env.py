"""`python -m emulator env`: shell lines that point gcloud, kubectl and bq at the running emulator.

Use: eval "$(python -m emulator env)". The files that the lines name are client_files.py's.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from emulator.client_files import TOKEN, client_files
from emulator.scenario import SCENARIOS, Project
from emulator.settings import HOST_VARIABLE, SettingsError, parse

# gcloud's name of each service → where its paths start on the REST port. gcloud's paths hold the
# version except compute's and storage's, whose overrides must end in it.
OVERRIDES: Final = {
    "aiplatform": "/aiplatform/",
    "artifactregistry": "/artifactregistry/",
    "cloudbilling": "/billing/",
    "cloudquotas": "/cloudquotas/",
    "cloudresourcemanager": "/cloudresourcemanager/",
    "compute": "/compute/v1/",
    "container": "/container/",
    "iam": "/iam/",
    "iamcredentials": "/iamcredentials/",
    "logging": "/logging/",
    "lustre": "/lustre/",
    "monitoring": "/monitoring/",
    "pubsub": "/pubsub/",
    "parallelstore": "/parallelstore/",
    "recommender": "/recommender/",
    "redis": "/redis/",
    "serviceusage": "/serviceusage/",
    "storage": "/storage/v1/",
    "tpu": "/tpu/",
}
_EPILOG: Final = """\
use:  eval "$(python -m emulator env)"

It honours the emulator's own variables (HEARTWOOD_EMULATOR_PORT, HEARTWOOD_EMULATOR_HOST,
HEARTWOOD_DATA_DIR). `gcloud billing budgets` and `gcloud services vpc-peerings` ignore overrides
and ask the real cloud, and `gsutil` insists on HTTPS: none can be pointed at it. The contexts of
`gcloud container clusters get-credentials` are there already, as gke_PROJECT_LOCATION_CLUSTER; the
command itself works with `--tls` (docs/rehearsal.md).
"""


def variables(
    rest_url: str, project: Project, environment: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The variables to export."""
    files = client_files(environment)
    # Clusters and endpoints are regional: a zone matters to `gcloud compute tpus` alone.
    zone = next(seed.zone for seed in SCENARIOS["normal"].tiers if seed.tpu_vms)
    return {
        **{
            f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name.upper()}": rest_url + path
            for name, path in OVERRIDES.items()
        },
        # Of the project's own: gcloud's commands for budgets ignore overrides.
        "BILLINGBUDGETS_ENDPOINT": f"{rest_url}/billingbudgets",
        "CLOUDSDK_CORE_PROJECT": project.id,
        "CLOUDSDK_COMPUTE_REGION": project.region,
        "CLOUDSDK_COMPUTE_ZONE": zone,
        "CLOUDSDK_AI_REGION": project.region,
        "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
        "CLOUDSDK_AUTH_ACCESS_TOKEN": TOKEN,  # for bq's wrapper; gcloud's commands send none
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_CHECK_GCE_METADATA": "false",
        "GOOGLE_CLOUD_PROJECT": project.id,
        "KUBECONFIG": str(files.kubeconfig),
        "BIGQUERYRC": str(files.bigqueryrc),
    }


def main(argv: Sequence[str]) -> int:
    """Print the lines; 0 also when no emulator answers yet, which stderr then says."""
    parser = argparse.ArgumentParser(
        prog="python -m emulator env",
        description="Print the shell lines that point gcloud, kubectl and bq at the emulator.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    arguments = parser.parse_args(argv)
    try:
        settings = parse([])
    except SettingsError as error:
        sys.stderr.write(f"emulator: {error}\n")
        return 2
    host = os.environ.get(HOST_VARIABLE, "")
    reach = "127.0.0.1" if host in ("", "0.0.0.0", "::") else host
    address = f"{reach}:{settings.rest_port}"
    told = _ask(address)
    if told is None:
        sys.stderr.write(f"emulator: nothing answers at http://{address} (yet)\n")
    project = SCENARIOS[str((told or {}).get("scenario", "normal"))].project
    found = variables(f"http://{address}", project)
    if (told or {}).get("tls_address"):
        # Then get-credentials works: clusters tell a certificate instead of a sign-in.
        found["CLOUDSDK_CONTAINER_USE_CLIENT_CERTIFICATE"] = "true"
    if arguments.json:
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
        return 0
    for name, value in found.items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
    return 0


def _ask(address: str) -> dict[str, Any] | None:
    """What the emulator says of itself; None when nothing answers."""
    connection = http.client.HTTPConnection(address, timeout=2)
    try:
        connection.request("GET", "/healthz")
        body = connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return cast("dict[str, Any]", json.loads(body))
