"""gcloud, kubectl and bq, as installed, against the emulator."""

from __future__ import annotations

import csv
import io
import json

import httpx
import pytest

from tests.emulator.cli.conftest import Run
from tests.processes import EmulatorProcess

pytestmark = pytest.mark.cli


def test_gcloud_lists_clusters(shell: Run) -> None:
    """Name, place, size and state, in gcloud's own table."""
    rows = shell("gcloud container clusters list").splitlines()
    assert rows[0].split()[:2] == ["NAME", "LOCATION"]
    assert rows[1].split()[:2] == ["hw-serving", "us-central1"]
    assert rows[1].split()[-2:] == ["307", "RUNNING"]


def test_gcloud_lists_node_pools(shell: Run) -> None:
    """Every pool, with its machine type."""
    rows = shell(
        "gcloud container node-pools list --cluster hw-serving --region us-central1 "
        "--format='csv(name,config.machineType)'"
    )
    found = dict(csv.reader(io.StringIO(rows)))
    assert found["hw-small-00"] == found["hw-medium-63"] == "tpu7x-standard-4t"
    assert len(found) == 1 + 1 + 3 + 64


def test_gcloud_lists_tpu_vms(shell: Run) -> None:
    """The dev tier, in the zone that the lines set."""
    rows = shell("gcloud compute tpus tpu-vm list").splitlines()
    assert rows[1].split()[:2] == ["hw-dev-00", "us-central1-b"]
    assert rows[1].split()[-1] == "READY"


def test_gcloud_lists_vertex_endpoints(shell: Run) -> None:
    """In the region that the lines set."""
    assert "hw-small" in shell("gcloud ai endpoints list")


def test_gcloud_lists_backend_services_and_their_health(shell: Run) -> None:
    """One per tier behind the load balancer; small's endpoints are its GKE hosts."""
    rows = shell("gcloud compute backend-services list").splitlines()
    assert {"hw-small", "hw-medium"} <= {row.split()[0] for row in rows[1:]}
    health = json.loads(
        shell("gcloud compute backend-services get-health hw-small --global --format=json")
    )
    states = [e["healthState"] for group in health for e in group["status"]["healthStatus"]]
    assert len(states) == 48
    assert set(states) <= {"HEALTHY", "UNHEALTHY"}


def test_gcloud_lists_billing_accounts(shell: Run) -> None:
    """The account that pays for the project."""
    rows = shell("gcloud billing accounts list").splitlines()
    assert rows[1].split()[0] == "01A2B3-C4D5E6-F7A8B9"


def test_gcloud_lists_dashboards(shell: Run) -> None:
    """At least one, each with a name and a layout."""
    found = json.loads(shell("gcloud monitoring dashboards list --format=json"))
    assert found
    assert all(d["displayName"] and any("Layout" in key for key in d) for d in found)


def test_gcloud_lists_what_stands_beside_a_tier(shell: Run) -> None:
    """Caches and recommendations are asked for here, not at Google: the project has none."""
    recommender = "google.compute.address.IdleResourceRecommender"
    line = (
        "gcloud redis instances list --region us-central1 --format=json; "
        "gcloud recommender recommendations list --project heartwood-demo "
        f"--location global --recommender {recommender} --format=json"
    )
    assert shell(line).split() == ["[]", "[]"]


def test_kubectl_prints_the_usual_columns(shell: Run) -> None:
    """Through the kubeconfig that the emulator keeps, whose context bears get-credentials' name."""
    line = (
        "kubectl config current-context; kubectl get nodes; kubectl get pods -n small; "
        "kubectl get deployments -A; kubectl get lws -A"
    )
    out = shell(line)
    assert out.startswith("gke_heartwood-demo_us-central1_hw-serving\n")
    lines = [row.split() for row in out.splitlines()]
    assert ["NAME", "STATUS", "ROLES", "AGE", "VERSION"] in lines
    assert sum(row[1:3] == ["Ready", "<none>"] for row in lines) == 307
    assert ["NAME", "READY", "STATUS", "RESTARTS", "AGE"] in lines
    assert sum(row[1:3] == ["1/1", "Running"] for row in lines) == 48
    assert ["small", "hw-small-server", "48/48", "48", "48"] in [row[:5] for row in lines]
    assert ["medium", "hw-medium-server"] in [row[:2] for row in lines]


def test_kubectl_describes_a_node(shell: Run) -> None:
    """Which reads the node, its pods and its events."""
    first = "kubectl get nodes -l heartwood-tier=small -o name | head -1"
    out = shell(f"kubectl describe $({first})")
    assert "google.com/tpu:     4" in out
    assert "hw-small-server-" in out


def test_bq_keeps_tables(shell: Run, emulator: EmulatorProcess) -> None:
    """A dataset is made with its labels, and removed with the tables that are in it."""
    assert "successfully created" in shell("bq mk --dataset --label team:ops kept")
    path = f"{emulator.rest_url}/bigquery/bigquery/v2/projects/heartwood-demo/datasets/kept"
    assert httpx.get(path).json()["labels"] == {"team": "ops"}
    table = {"tableReference": {"tableId": "t"}, "schema": {"fields": []}}
    assert httpx.post(f"{path}/tables", json=table).status_code == 200
    shell("bq rm -r -f kept")
    assert httpx.get(path).status_code == 404


def test_bq_sums_the_bill(shell: Run) -> None:
    """The month's cost by service, in standard SQL on the export."""
    table = "`heartwood-demo.billing_export.gcp_billing_export_resource_v1_01A2B3_C4D5E6_F7A8B9`"
    query = (
        f"SELECT service.description AS service, SUM(cost) AS usd FROM {table} "
        "WHERE usage_start_time >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 2 DAY) "
        "GROUP BY service ORDER BY usd DESC"
    )
    rows = json.loads(shell(f"bq --format=json query --use_legacy_sql=false '{query}'"))
    assert float(rows[0]["usd"]) > 0
    assert len({row["service"] for row in rows}) == len(rows)


def test_gcloud_pulls_messages_and_lists_images(shell: Run, emulator: EmulatorProcess) -> None:
    """A message of a topic that gcloud made; the image of the tiers' pods, with its tags."""
    place = f"{emulator.rest_url}/pubsub/v1/projects/heartwood-demo"
    topic = f"{place}/topics/cli-topic"
    shell("gcloud pubsub topics create cli-topic")
    body = {"topic": "projects/heartwood-demo/topics/cli-topic"}
    assert httpx.put(f"{place}/subscriptions/cli-sub", json=body).status_code == 200
    messages = {"messages": [{"data": "aGVsbG8="}]}
    assert httpx.post(f"{topic}:publish", json=messages).status_code == 200
    out = shell(
        "gcloud pubsub subscriptions pull cli-sub --auto-ack --format='value(message.data)'; "
        "gcloud artifacts repositories list --format='value(name)'; "
        'gcloud artifacts docker images list "us-central1-docker.pkg.dev/$GOOGLE_CLOUD_PROJECT/'
        'serving" --include-tags --format=json'
    )
    httpx.delete(f"{place}/subscriptions/cli-sub").raise_for_status()
    httpx.delete(topic).raise_for_status()
    assert out.splitlines()[0] in ("hello", "aGVsbG8=")  # gcloud's versions differ
    assert "serving" in out
    images = json.loads(out[out.index("[") :])
    assert images
    assert all(found["tags"] and found["version"].startswith("sha256:") for found in images)
