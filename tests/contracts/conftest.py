"""Which cloud the contracts are held against.

Always the emulator. With HEARTWOOD_CONTRACT_PROJECT=my-project also that project, through
Application Default Credentials, reading only (HEARTWOOD_CONTRACT_BILLING_ACCOUNT and
HEARTWOOD_CONTRACT_BILLING_EXPORT name its billing account and export). Where a real project has
none of a thing, the test is skipped with a word.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from core.specs import TierSpec
from emulator.scenario import SCENARIOS
from services.clients import Clients, CloudTarget
from tests.make import make_specs
from tests.processes import EmulatorProcess, start_emulator

PROJECT_VARIABLE = "HEARTWOOD_CONTRACT_PROJECT"


@dataclass(frozen=True)
class Cloud:
    """One side of the contract."""

    clients: Clients
    specs: tuple[TierSpec, ...]
    emulated: bool

    def need(self, found: object, what: str) -> None:
        """The emulator must have it; a real project may lack it."""
        if not found and not self.emulated:
            pytest.skip(f"the project has no {what}")
        assert found, f"no {what}"


def emulated_cloud(process: EmulatorProcess) -> Cloud:
    """A running emulator as one side of the contract."""
    project = SCENARIOS["normal"].project
    target = CloudTarget(
        "emulator",
        project.id,
        billing_account=f"billingAccounts/{project.billing_account}",
        billing_export=project.export_table,
        rest_url=process.rest_url,
        grpc_target=process.grpc_target,
    )
    return Cloud(Clients(target), make_specs(), emulated=True)


SIDES = ("emulator", "google") if os.environ.get(PROJECT_VARIABLE) else ("emulator",)


@pytest.fixture(scope="package", params=SIDES)
def cloud(request: pytest.FixtureRequest) -> Iterator[Cloud]:
    """Both sides, the second where it was opted in."""
    if request.param == "emulator":
        process = start_emulator("normal", speed=60)
        side = emulated_cloud(process)
        yield side
        side.clients.close()
        process.stop()
        return
    target = CloudTarget(
        "google",
        os.environ[PROJECT_VARIABLE],
        billing_account=os.environ.get("HEARTWOOD_CONTRACT_BILLING_ACCOUNT", ""),
        billing_export=os.environ.get("HEARTWOOD_CONTRACT_BILLING_EXPORT", ""),
    )
    yield Cloud(Clients(target), make_specs(), emulated=False)
