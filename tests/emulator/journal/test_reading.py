"""What passes for a read changes nothing, whatever its parameters and headers say."""

from __future__ import annotations

import httpx
import pytest

from emulator.context import make_cloud
from emulator.journal.reading import TRIALS, http_reads
from emulator.server import load_apis
from emulator.settings import Settings
from emulator.wire.mount import Mount
from tests.emulator.clients import PROJECT
from tests.processes import EmulatorProcess


@pytest.mark.parametrize(
    ("verb", "path", "query", "reads"),
    [
        ("GET", "/storage/v1/b", b"", True),
        ("POST", "/storage/v1/b", b"project=p&dryRun=All", False),
        ("POST", "/bigquery/v2/projects/p/datasets", b"validateOnly=true", False),
        ("POST", "/k8s/p/l/c/api/v1/namespaces", b"dryRun=All", True),
        ("POST", "/k8s/p/l/c/api/v1/namespaces", b"dryRun=All&dryRun=", False),
        ("POST", "/k8s/p/l/c/api/v1/namespaces", b"dryRun=all", False),
        ("DELETE", "/storage/v1/b/x", b"", False),
        ("POST", "/cloudresourcemanager/v1/projects/p:testIamPermissions", b"", True),
        ("POST", "/cloudresourcemanager/v1/projects/p:setIamPolicy", b"", False),
        ("POST", "/k8s/p/l/c/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", b"", True),
        ("POST", "/k8s/p/l/c/api/v1/namespaces/n/configmaps", b"", False),
        ("PATCH", "/k8s/p/l/c/api/v1/namespaces/n", b"fieldManager=k&dryRun=All", True),
        ("PATCH", "/k8s/p/l/c/api/v1/namespaces/n", b"fieldManager=dryRun=All", False),
    ],
)
def test_which_requests_read(verb: str, path: str, query: bytes, reads: bool) -> None:
    """By verb, by the few paths that are listed, and when only a trial is asked for; a parameter
    that the API behind does not know makes none, and only Kubernetes knows dry runs.
    """
    assert http_reads(verb, path, query) is reads


def test_trials_are_methods_that_are_served() -> None:
    """Each has the field that is said to make it a trial."""
    cloud = make_cloud(Settings())
    methods = {m.name: m for mount in load_apis(cloud) if isinstance(mount, Mount)
               for m in mount.methods()}  # fmt: skip
    for name, field in TRIALS.items():
        assert field in methods[name].request.pb(methods[name].request()).DESCRIPTOR.fields_by_name


def test_a_write_is_one_whatever_its_header_says(emulator: EmulatorProcess) -> None:
    """The verb that a header names is the verb for all: none makes a dataset by a GET."""
    place = f"{emulator.rest_url}/bigquery/bigquery/v2/projects/{PROJECT}/datasets"
    body = {"datasetReference": {"datasetId": "by_header"}}
    answer = httpx.post(place, json=body, headers={"X-HTTP-Method-Override": "GET"})
    assert answer.json()["kind"] == "bigquery#datasetList"
    assert httpx.get(f"{place}/by_header").status_code == 404
