"""Every SDK's failure over a real wire becomes one of ours; no SDK exception escapes an adapter."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest
from google.rpc import code_pb2

from core import errors
from core.records import Cluster
from core.specs import PartKind, PartSpec, TierSpec
from services import calls
from services.billing import Billing
from services.budgets import Budgets
from services.clients import Clients, CloudTarget
from services.gke import Gke
from services.kube import Kube
from services.load_balancer import LoadBalancers
from services.monitoring import Monitoring
from services.sdk_errors import CallContext, translate
from services.tier_rows import Inventory
from services.tpu import Tpu
from services.vertex import Vertex
from tests.services.planted import Answer, PlantedGrpc, PlantedHttp

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SPECS = (
    TierSpec(
        "t",
        "T",
        (
            PartSpec(PartKind.VERTEX, 1, name_prefix="t-", location="us-central1"),
            PartSpec(PartKind.TPU_VM, 1, name_prefix="t-", location="us-central1-b"),
        ),
        generation="v6e",
        topology="2x4",
        zone="us-central1-b",
        namespace="t",
        backend_service="t",
    ),
)
CLUSTER = Cluster("c", "us-central1", "1", "RUNNING", "")

GRPC_READS: dict[str, Callable[[Clients], object]] = {
    "gke": lambda c: Gke(c).list_clusters(),
    "tpu": lambda c: Tpu(c).list_tpu_vms(SPECS),
    "vertex": lambda c: Vertex(c).list_endpoints(SPECS),
    "monitoring loads": lambda c: Monitoring(c).read_loads(SPECS, NOW, Inventory(())),
    "monitoring chips": lambda c: Monitoring(c).read_chips(SPECS, NOW),
    "billing prices": lambda c: Billing(c).list_prices(SPECS),
    "budgets": lambda c: Budgets(c).list_budgets(),
}
REST_READS: dict[str, Callable[[Clients], object]] = {
    "kube hosts": lambda c: Kube(c).list_hosts(CLUSTER),
    "kube workloads": lambda c: Kube(c).list_workloads(CLUSTER),
    "kube pods": lambda c: Kube(c).list_pods(CLUSTER),
    "kube events": lambda c: Kube(c).list_events(CLUSTER),
    "load balancer": lambda c: LoadBalancers(c).read_load_balancer(),
    "billing costs": lambda c: Billing(c).list_costs(date(2026, 11, 20)),
}


@pytest.mark.parametrize("read", GRPC_READS.values(), ids=GRPC_READS)
def test_a_denied_grpc_call_names_the_permission_and_the_grant(
    read: Callable[[Clients], object], clients: Clients, rpc: PlantedGrpc
) -> None:
    """PERMISSION_DENIED with ErrorInfo: Denied, with the permission and gcloud's line."""
    rpc.code = code_pb2.PERMISSION_DENIED
    rpc.reason = "IAM_PERMISSION_DENIED"
    rpc.metadata = {"permission": "container.clusters.list"}
    with pytest.raises(errors.Denied) as caught:
        read(clients)
    assert "container.clusters.list" in caught.value.hint
    assert "planted-project --member=MEMBER --role=roles/container.viewer" in (caught.value.hint)
    assert caught.value.resource
    assert not caught.value.retryable


@pytest.mark.parametrize("read", REST_READS.values(), ids=REST_READS)
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(403, b'{"error": {"code": 403, "message": "no"}}'), errors.Denied),
        (Answer(429, b'{"error": {"code": 429, "message": "slow down"}}'), errors.RateLimited),
        (Answer(500, b"oh no", "text/plain"), errors.Unavailable),
        (Answer(200, b"<html><title>Log in</title></html>", "text/html"), errors.Invalid),
    ],
    ids=["403", "429", "500", "html"],
)
def test_no_sdk_exception_escapes_a_rest_adapter(
    read: Callable[[Clients], object],
    answer: Answer,
    expected: type[errors.OpsError],
    clients: Clients,
    http: PlantedHttp,
) -> None:
    """Refusals, failures and garbage come out as our errors with the resource that was asked."""
    http.answers = [answer]
    with pytest.raises(expected) as caught:
        read(clients)
    assert caught.value.resource
    assert "<html" not in caught.value.message


@pytest.mark.parametrize("name", [name for name in REST_READS if name != "load balancer"])
def test_json_of_another_kind_is_invalid(name: str, clients: Clients, http: PlantedHttp) -> None:
    """JSON that is no object; Compute's own library takes such an answer for an empty list."""
    http.answers = [Answer(200, b'"a string"')]
    with pytest.raises(errors.Invalid) as caught:
        REST_READS[name](clients)
    assert caught.value.resource


@pytest.mark.parametrize(
    ("code", "expected", "retryable"),
    [
        (code_pb2.NOT_FOUND, errors.NotFound, False),
        (code_pb2.UNAUTHENTICATED, errors.Denied, False),
        (code_pb2.ALREADY_EXISTS, errors.Conflict, False),
        (code_pb2.FAILED_PRECONDITION, errors.Conflict, False),
        (code_pb2.INVALID_ARGUMENT, errors.Invalid, False),
        (code_pb2.UNIMPLEMENTED, errors.Invalid, False),
        (code_pb2.RESOURCE_EXHAUSTED, errors.RateLimited, True),
        (code_pb2.UNAVAILABLE, errors.Unavailable, True),
        (code_pb2.INTERNAL, errors.Unavailable, True),
    ],
)
def test_grpc_codes(
    code: int,
    expected: type[errors.OpsError],
    retryable: bool,
    clients: Clients,
    rpc: PlantedGrpc,
) -> None:
    """Each status has its place in our tree; only what may pass by itself is tried again."""
    rpc.code = code
    with pytest.raises(expected) as caught:
        Gke(clients).list_clusters()
    assert caught.value.retryable is retryable
    assert rpc.calls == (3 if retryable else 1)


def test_an_unknown_metric_is_no_data_but_an_unknown_project_is_an_error(
    clients: Clients, rpc: PlantedGrpc
) -> None:
    """Both are NOT_FOUND on the wire; only the first means that nothing was written yet."""
    rpc.code, rpc.message = code_pb2.NOT_FOUND, 'Cannot find metric(s) that match type = "x/y".'
    loads = Monitoring(clients).read_loads(SPECS, NOW, Inventory(()))
    assert loads.problem is None
    assert loads.by_tier["t"].requests_per_s is None
    assert Monitoring(clients).read_chips(SPECS, NOW) == ()
    rpc.message = "Requested project was not found"
    with pytest.raises(errors.NotFound):
        Monitoring(clients).read_loads(SPECS, NOW, Inventory(()))


def test_one_failed_query_of_the_loads_is_named_and_the_others_are_kept(
    clients: Clients, rpc: PlantedGrpc
) -> None:
    """The figures that rest on it are unknown; only when all fail there is nothing to keep."""
    rpc.code, rpc.message, rpc.only = code_pb2.INVALID_ARGUMENT, "too fine", b"backend_latencies"
    loads = Monitoring(clients).read_loads(SPECS, NOW, Inventory(()))
    assert isinstance(loads.problem, errors.Invalid)
    assert loads.problem.message.startswith("1 of ")
    assert "loadbalancing.googleapis.com/https/backend_latencies" in loads.problem.message
    assert set(loads.by_tier) == {"t"}
    rpc.only = b""
    with pytest.raises(errors.Invalid):
        Monitoring(clients).read_loads(SPECS, NOW, Inventory(()))


def test_loads_do_without_the_list_of_endpoints(clients: Clients, rpc: PlantedGrpc) -> None:
    """Vertex that cannot be listed is named, and leaves Monitoring's other figures alone."""
    rpc.code, rpc.message, rpc.only = code_pb2.PERMISSION_DENIED, "no", b"/locations/us-central1"
    loads = Monitoring(clients).read_loads(SPECS, NOW)
    assert isinstance(loads.problem, errors.Denied)
    assert "endpoints" in loads.problem.message


def test_a_disabled_api_says_which_to_enable(clients: Clients, rpc: PlantedGrpc) -> None:
    """SERVICE_DISABLED names the API in its metadata."""
    rpc.code = code_pb2.PERMISSION_DENIED
    rpc.reason, rpc.metadata = "SERVICE_DISABLED", {"service": "tpu.googleapis.com"}
    with pytest.raises(errors.Denied) as caught:
        Tpu(clients).list_tpu_vms(SPECS)
    assert caught.value.hint == (
        "Enable the API: gcloud services enable tpu.googleapis.com --project=planted-project"
    )


def test_quota_is_not_rate(clients: Clients, rpc: PlantedGrpc) -> None:
    """An exhausted quota is not retried; too many calls per minute are."""
    rpc.code, rpc.message = code_pb2.RESOURCE_EXHAUSTED, "Quota 'TPUS' exceeded. Limit: 8"
    with pytest.raises(errors.QuotaExceeded):
        Gke(clients).list_clusters()
    assert rpc.calls == 1
    rpc.message = "Quota exceeded for quota metric 'Read requests per minute'"
    with pytest.raises(errors.RateLimited):
        Gke(clients).list_clusters()


def test_a_changing_permission_proposes_a_custom_role(clients: Clients, rpc: PlantedGrpc) -> None:
    """No broad predefined role is proposed for one changing permission."""
    rpc.code = code_pb2.PERMISSION_DENIED
    rpc.message = 'Required "container.clusters.update" permission(s) for "projects/p"'
    with pytest.raises(errors.Denied) as caught:
        Gke(clients).list_clusters()
    assert "gcloud iam roles create" in caught.value.hint
    assert "--permissions=container.clusters.update" in caught.value.hint


def test_a_time_out_is_unavailable_within_its_deadline(clients: Clients, rpc: PlantedGrpc) -> None:
    """The attempt's time-out reaches the wire."""
    rpc.delay_s = 5.0
    policy = calls.RetryPolicy(attempts=1)
    begun = datetime.now(UTC)
    with pytest.raises(errors.Unavailable):
        clients.call(
            lambda t: clients.gke().list_clusters(parent="projects/p", timeout=t, retry=None),
            resource="clusters",
            timeout_s=0.2,
            policy=policy,
        )
    assert (datetime.now(UTC) - begun).total_seconds() < 2


def test_a_retry_that_succeeds_hides_the_failure(clients: Clients, http: PlantedHttp) -> None:
    """Two 503s, then a list: the caller sees the list."""
    http.answers = [Answer(503), Answer(503), Answer(200, b'{"items": []}')]
    assert Kube(clients).list_hosts(CLUSTER) == ()
    assert len(http.seen) == 3


def test_an_unreachable_emulator_says_how_to_start_it() -> None:
    """Nobody listens: Unavailable, retryable, with the command."""
    clients = Clients(
        CloudTarget("emulator", "p", rest_url="http://127.0.0.1:1", grpc_target="127.0.0.1:1")
    )
    for read in (GRPC_READS["gke"], REST_READS["kube hosts"], REST_READS["load balancer"]):
        with pytest.raises(errors.Unavailable) as caught:
            read(clients)
        assert "python -m emulator" in caught.value.hint
        assert caught.value.retryable


def test_a_cut_off_body_is_unavailable(clients: Clients, http: PlantedHttp) -> None:
    """A connection that ends in the middle of an answer."""
    http.answers = [Answer(200, b'{"items": [', cut=True)]
    with pytest.raises(errors.Unavailable):
        Kube(clients).list_hosts(CLUSTER)


def test_kubernetes_refusal_says_what_may_not_be_done(clients: Clients, http: PlantedHttp) -> None:
    """RBAC's message becomes the binding that lifts it."""
    message = 'nodes is forbidden: User "me@x" cannot list resource "nodes" in API group ""'
    status = {"kind": "Status", "message": message, "code": 403}
    http.answers = [Answer(403, json.dumps(status).encode())]
    with pytest.raises(errors.Denied) as caught:
        Kube(clients).list_hosts(CLUSTER)
    assert caught.value.message == message
    assert "me@x may not list nodes" in caught.value.hint


def test_missing_credentials_are_denied_with_the_log_in_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With Google and no Application Default Credentials."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nonexistent/key.json")
    with pytest.raises(errors.Denied) as caught:
        Gke(Clients(CloudTarget("google", "p"))).list_clusters()
    assert "gcloud auth application-default login" in caught.value.hint


def test_a_mistake_of_our_own_is_not_dressed_up() -> None:
    """A ZeroDivisionError in our code is no OpsError."""
    assert translate(ZeroDivisionError(), "r", CallContext()) is None
    with pytest.raises(ZeroDivisionError):
        calls.call(lambda _: 1 // 0, resource="r")


def test_the_deadline_bounds_all_attempts() -> None:
    """However many attempts are allowed, the deadline ends them."""
    begun = datetime.now(UTC)

    def fail(_timeout_s: float) -> None:
        raise ConnectionError("planted")

    with pytest.raises(errors.Unavailable):
        calls.call(fail, resource="r", policy=calls.RetryPolicy(attempts=1000, deadline_s=0.6))
    assert (datetime.now(UTC) - begun).total_seconds() < 2
