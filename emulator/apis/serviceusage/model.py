"""Which services the project has enabled, and what each needs; the wire refuses the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from emulator.context import Cloud
from emulator.operations import Job

# Simulated seconds that a change takes.
ENABLE_S: Final = 20.0
DISABLE_S: Final = 10.0
# The service that turns the others on: refusing its calls would lock the project for good.
OWN: Final = "serviceusage.googleapis.com"


@dataclass(frozen=True, slots=True)
class Offer:
    """A service that a project can enable; `needs` are enabled with it."""

    title: str
    needs: tuple[str, ...] = ()


_OFFERS: Final = {
    "aiplatform": Offer("Vertex AI API"),
    "artifactregistry": Offer("Artifact Registry API"),
    "bigquery": Offer("BigQuery API"),
    "billingbudgets": Offer("Cloud Billing Budget API"),
    "certificatemanager": Offer("Certificate Manager API"),
    "cloudbilling": Offer("Cloud Billing API"),
    "cloudquotas": Offer("Cloud Quotas API"),
    "cloudresourcemanager": Offer("Cloud Resource Manager API"),
    "compute": Offer("Compute Engine API"),
    "container": Offer("Kubernetes Engine API", ("compute",)),
    "iam": Offer("Identity and Access Management (IAM) API"),
    "iamcredentials": Offer("IAM Service Account Credentials API"),
    "iap": Offer("Cloud Identity-Aware Proxy API"),
    "logging": Offer("Cloud Logging API"),
    "lustre": Offer("Google Cloud Managed Lustre API", ("compute", "servicenetworking")),
    "monitoring": Offer("Cloud Monitoring API"),
    "networkservices": Offer("Network Services API"),
    "parallelstore": Offer("Parallelstore API", ("compute", "servicenetworking")),
    "pubsub": Offer("Cloud Pub/Sub API"),
    "recommender": Offer("Recommender API"),
    "redis": Offer("Google Cloud Memorystore for Redis API", ("compute",)),
    "secretmanager": Offer("Secret Manager API"),
    "servicenetworking": Offer("Service Networking API"),
    "serviceusage": Offer("Service Usage API"),
    "storage": Offer("Cloud Storage API"),
    "tpu": Offer("Cloud TPU API", ("compute",)),
}
# What a project of any scenario starts with: everything the emulator serves.
_AT_FIRST: Final = frozenset(_OFFERS) - {"certificatemanager", "iap", "networkservices",
                                         "parallelstore", "secretmanager"}  # fmt: skip


def _full(name: str) -> str:
    return f"{name}.googleapis.com"


OFFERS: Final = {
    _full(name): Offer(o.title, tuple(map(_full, o.needs))) for name, o in _OFFERS.items()
}


class Services:
    """The enabled services; `Cloud.disabled_services` follows."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.enabled = {_full(name) for name in _AT_FIRST}
        self._publish()

    def with_needs(self, names: Iterable[str]) -> list[str]:
        """The services and all that they need, needs first."""
        found: list[str] = []
        for name in names:
            for needed in (*self.with_needs(OFFERS[name].needs), name):
                if needed not in found:
                    found.append(needed)
        return found

    def dependents(self, name: str) -> list[str]:
        """Enabled services that need this one, directly or not."""
        return [s for s in sorted(self.enabled) if s != name and name in self.with_needs([s])]

    def in_use(self, name: str) -> bool:
        """Whether the project holds resources of the service, as far as can be told."""
        if name in (_full("container"), _full("compute")):
            return bool(self._cloud.fleet.clusters)
        return False

    def change(self, names: list[str], data: dict[str, object], *, enable: bool) -> Job:
        """Begin to enable or disable; the caller has checked that it may.

        When done the log gets "service.enabled" or "service.disabled" for each that changed.
        """
        cloud = self._cloud

        def effect() -> None:
            for name in names:
                if (name in self.enabled) == enable:
                    continue
                (self.enabled.add if enable else self.enabled.remove)(name)
                kind = "service.enabled" if enable else "service.disabled"
                cloud.changed(kind, f"projects/{cloud.project.number}/services/{name}", "")
            self._publish()

        name, duration_s = self._operation_name(names), ENABLE_S if enable else DISABLE_S
        return cloud.operations.start(name, "serviceusage", names[0], duration_s, effect, data)

    def done(self, data: dict[str, object]) -> Job:
        """The operation of a call that has nothing to do; it is not kept, as Google's is not."""
        now = self._cloud.clock.now()
        name = "operations/noop.DONE_OPERATION"
        job = Job(name, "serviceusage", "", now, now, 0.0, _nothing, data)
        job.ended_at = now
        return job

    def _operation_name(self, names: list[str]) -> str:
        cloud = self._cloud
        text = cloud.new_id(f"serviceusage.operation/{','.join(names)}")
        groups = (text[:8], text[8:12], text[12:16], text[16:20], text[20:])
        return f"operations/acat.p2-{cloud.project.number}-{'-'.join(groups)}"

    def _publish(self) -> None:
        self._cloud.disabled_services.clear()
        self._cloud.disabled_services.update(
            {s: o.title for s, o in OFFERS.items() if s not in self.enabled and s != OWN}
        )


def _nothing() -> None:
    """The effect of nothing to do."""
