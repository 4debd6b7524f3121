"""Cloud Billing v1: accounts, the project's billing, and the catalogue of SKUs with list prices."""

from __future__ import annotations

from emulator.apis.billing.api import CloudBilling, CloudCatalog
from emulator.context import Cloud
from emulator.wire.mount import Mount


def build(cloud: Cloud) -> list[Mount]:
    """Mount both services."""
    package = "google.cloud.billing_v1.services"
    return [
        Mount("/billing", f"{package}.cloud_billing.transports", CloudBilling(cloud)),
        Mount("/billing", f"{package}.cloud_catalog.transports", CloudCatalog(cloud)),
    ]
