"""The system parameter `fields`, which every Google API takes."""

from __future__ import annotations

import httpx

from tests.processes import EmulatorProcess


def test_answers_in_part(emulator: EmulatorProcess) -> None:
    """`fields` leaves what it names, of every API; a wrong one is refused."""
    project = "projects/heartwood-demo"
    for path, fields, wanted in (
        (f"container/v1/{project}/locations/-/clusters", "clusters(name,status)",
         {"clusters": [{"name": "hw-serving", "status": "RUNNING"}]}),
        (f"compute/v1/{project}/global/urlMaps", "items/name,kind",
         {"items": [{"name": "hw-serving"}], "kind": "compute#urlMapList"}),
        (f"bigquery/v2/{project}/datasets", "datasets/datasetReference/datasetId",
         {"datasets": [{"datasetReference": {"datasetId": "billing_export"}}]}),
        (f"cloudresourcemanager/v1/{project}", "projectId", {"projectId": "heartwood-demo"}),
    ):  # fmt: skip
        answer = httpx.get(f"{emulator.rest_url}/{path}", params={"fields": fields})
        assert answer.json() == wanted, path
        answer = httpx.get(f"{emulator.rest_url}/{path}", params={"fields": "a(b"})
        assert answer.status_code == 400, path
