"""Billing Budgets v1; the project starts with one monthly budget per tier."""

from __future__ import annotations

from emulator.apis.budgets.api import BudgetService
from emulator.context import Cloud
from emulator.wire.mount import Mount


def build(cloud: Cloud) -> list[Mount]:
    """Mount the service."""
    transports = "google.cloud.billing.budgets_v1.services.budget_service.transports"
    return [Mount("/billingbudgets", transports, BudgetService(cloud))]
