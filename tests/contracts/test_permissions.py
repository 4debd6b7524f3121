"""testIamPermissions: what the identity has on project and account, and what nobody can tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import grpc
import pytest

from control.facts import Facts
from core.actions import PlanContext, make_plan
from core.errors import Denied
from core.fleet import assemble_fleet
from core.guards import GuardContext, permission_missing
from core.plans import Outcome, Request, Verdict
from services.clients import Clients
from services.permissions import Permissions
from tests.contracts.conftest import Cloud
from tests.emulator.clients import HTTP
from tests.make import NOW, make_snapshot

CHANGING = ("billing.budgets.get", "billing.budgets.update")


class CallDetails(NamedTuple):
    """Of a call by gRPC, with metadata of our own."""

    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: Any
    compression: Any


class Bearing(grpc.UnaryUnaryClientInterceptor):
    """Puts a token into every call."""

    def __init__(self, member: str) -> None:
        self._token = ("authorization", f"Bearer heartwood:{member}")

    def intercept_unary_unary(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        """As gRPC asks for it."""
        details = client_call_details
        metadata = [*(details.metadata or ()), self._token]
        return continuation(
            CallDetails(
                details.method, details.timeout, metadata, details.credentials,
                details.wait_for_ready, details.compression,
            ),
            request,
        )  # fmt: skip


class ClientsOf(Clients):
    """Those of somebody whom the emulator knows by a token."""

    def __init__(self, cloud: Cloud, member: str) -> None:
        super().__init__(cloud.clients.target)
        self.member = member

    def _channel(self) -> grpc.Channel:
        plain = super()._channel()
        return self._built.get(
            "bearing", lambda: grpc.intercept_channel(plain, Bearing(self.member))
        )


@pytest.fixture
def as_member(cloud: Cloud) -> Iterator[Callable[[str], ClientsOf]]:
    """Makes clients of a member; with the emulator alone."""
    if not cloud.emulated:
        pytest.skip("there is no second identity")
    made: list[ClientsOf] = []

    def make(member: str) -> ClientsOf:
        made.append(ClientsOf(cloud, member))
        return made[-1]

    yield make
    for clients in made:
        clients.close()


def judged(found: Mapping[str, bool] | None) -> Verdict:
    """The guard's word on a change of small's budget."""
    snapshot = make_snapshot()
    request = Request("change_budget", "small", {"amount_usd": 1e6})
    plan = make_plan(snapshot, request, NOW, PlanContext("p"))
    assert plan.permissions == CHANGING
    context = GuardContext(NOW, assemble_fleet(snapshot), 1.3, 300.0, permissions=found)
    return permission_missing.judge(plan, snapshot, context)


def asked(clients: Clients) -> Mapping[str, bool] | None:
    """What the console finds out about that plan."""
    snapshot = make_snapshot()
    request = Request("change_budget", "small", {"amount_usd": 1e6})
    plan = make_plan(snapshot, request, NOW, PlanContext("p"))
    return Facts(Permissions(clients)).find(plan, snapshot).permissions


def test_a_permission_that_nobody_can_be_asked_for_is_left_out(cloud: Cloud) -> None:
    """One such name does not hide what of the others is held."""
    if not cloud.emulated:
        pytest.skip("Google's word on it may be another one")
    permissions = Permissions(cloud.clients)
    held = permissions.list_held(("container.clusters.paint", "compute.urlMaps.get"))
    assert held == {"compute.urlMaps.get": True}
    held = permissions.list_held_on_billing(("billing.budgets.paint", "billing.budgets.get"))
    assert held == {"billing.budgets.get": True}


def test_project_and_account_each_tell_of_theirs(cloud: Cloud) -> None:
    """Each permission gets a word from where it is granted, and none from the other."""
    ours = ("container.clusters.update", "compute.urlMaps.update")
    permissions = Permissions(cloud.clients)
    held = permissions.list_held((*ours, *CHANGING))
    assert set(held) == set(ours)
    if not cloud.clients.target.billing_account:
        pytest.skip("no billing account was named")
    paid = permissions.list_held_on_billing((*ours, *CHANGING))
    assert set(paid) == set(CHANGING)
    if cloud.emulated:
        assert all((*held.values(), *paid.values()))  # the emulator's owner has all


def test_what_lacks_on_the_billing_account_blocks_by_name(
    cloud: Cloud, as_member: Callable[[str], ClientsOf]
) -> None:
    """The owner needs no tick; a viewer of costs is told what is missing, until it is granted."""
    assert judged(asked(cloud.clients)).outcome is Outcome.PASS
    member = "user:budgets@permissions.example"
    clients = as_member(member)
    account = clients.target.billing_account
    url = f"{clients.target.rest_url}/billing/v1/{account}"
    before = HTTP.get(f"{url}:getIamPolicy").raise_for_status().json().get("bindings", [])

    def bind(bindings: Sequence[Mapping[str, Any]]) -> None:
        policy = HTTP.get(f"{url}:getIamPolicy").raise_for_status().json()
        body = {"policy": {**policy, "bindings": bindings}}
        HTTP.post(f"{url}:setIamPolicy", json=body).raise_for_status()

    try:
        for role, lacking in (("viewer", CHANGING[1]), ("costsManager", "")):
            bind([{"role": f"roles/billing.{role}", "members": [member]}])
            verdict = judged(asked(clients))
            assert verdict.outcome is (Outcome.BLOCK if lacking else Outcome.PASS)
            assert verdict.reason.endswith(f"lacks {lacking}" if lacking else ", ".join(CHANGING))
        assert judged(asked(as_member("user:nobody@permissions.example"))).outcome is Outcome.BLOCK
    finally:
        bind(before)


def test_an_account_that_does_not_answer_hides_nothing_of_the_project(cloud: Cloud) -> None:
    """Refused there, the account's permissions stay unknown, and the rest is asked."""
    if not cloud.emulated:
        pytest.skip("faults are the emulator's")
    faults = f"{cloud.clients.target.rest_url}/_heartwood/faults"
    rule = {"preset": "permission-denied", "service": "cloudbilling", "id": "account"}
    HTTP.post(faults, json=rule).raise_for_status()
    try:
        with pytest.raises(Denied):
            Permissions(cloud.clients).list_held_on_billing(CHANGING)
        assert judged(asked(cloud.clients)).reason.startswith("whether we have billing.budgets.get")
    finally:
        HTTP.delete(f"{faults}/account").raise_for_status()
