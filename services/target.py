"""Which cloud and which project of it: data for `clients.py`, which alone acts on the kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from core.records import Source

GOOGLE_HOSTS: Final = {
    Source.GKE: "container.googleapis.com",
    Source.KUBE: "the clusters' own endpoints",
    Source.TPU: "tpu.googleapis.com",
    Source.VERTEX: "REGION-aiplatform.googleapis.com",
    Source.LOAD_BALANCER: "compute.googleapis.com",
    Source.LOAD: "monitoring.googleapis.com",
    Source.CHIPS: "monitoring.googleapis.com",
    Source.PRICES: "cloudbilling.googleapis.com",
    Source.COSTS: "bigquery.googleapis.com",
    Source.BUDGETS: "billingbudgets.googleapis.com",
    Source.ALERTS: "monitoring.googleapis.com",
    Source.QUOTAS: "cloudquotas.googleapis.com",
    Source.MACHINE_TYPES: "compute.googleapis.com",
    Source.RESERVATIONS: "compute.googleapis.com",
    Source.RECOMMENDER: "recommender.googleapis.com",
}
REST_PREFIXES: Final = {
    Source.KUBE: "/k8s",
    Source.LOAD_BALANCER: "/compute",
    Source.COSTS: "/bigquery",
    Source.ALERTS: "/monitoring",
    Source.MACHINE_TYPES: "/compute",
    Source.RESERVATIONS: "/compute",
}


@dataclass(frozen=True, slots=True)
class CloudTarget:
    """Where the cloud is and which project of it is meant.

    Attributes:
        kind: "emulator" (loopback, anonymous) or "google" (Application Default Credentials).
        project: project id.
        region: default region.
        billing_account: "billingAccounts/…"; "" when unknown.
        billing_export: detailed export as project.dataset.table; "" when there is none.
        rest_url, grpc_target: of the emulator; unused with Google.
    """

    kind: Literal["emulator", "google"]
    project: str
    region: str = "us-central1"
    billing_account: str = ""
    billing_export: str = ""
    rest_url: str = "http://127.0.0.1:9080"
    grpc_target: str = "127.0.0.1:9081"
