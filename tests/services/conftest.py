"""Clients for planted servers, and servers that misbehave."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.clients import Clients, CloudTarget
from tests.services.planted import PlantedGrpc, PlantedHttp, planted_grpc, planted_http


@pytest.fixture
def http() -> Iterator[PlantedHttp]:
    """A planted HTTP server."""
    with planted_http() as planted:
        yield planted


@pytest.fixture
def rpc() -> Iterator[PlantedGrpc]:
    """A planted gRPC server."""
    with planted_grpc() as planted:
        yield planted


@pytest.fixture
def clients(http: PlantedHttp, rpc: PlantedGrpc) -> Iterator[Clients]:
    """Clients that call the planted servers."""
    made = Clients(
        CloudTarget(
            "emulator",
            "planted-project",
            billing_account="billingAccounts/0-1-2",
            billing_export="planted-project.bills.export",
            rest_url=http.url,
            grpc_target=rpc.target,
        )
    )
    yield made
    made.close()
