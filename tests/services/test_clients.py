"""The builder of clients: transports, hosts, sizes, lazy imports, recovery."""

from __future__ import annotations

import base64
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.container_v1 import types as gke_types
from google.rpc import code_pb2

from core.errors import Invalid, NotFound, Unavailable
from core.records import Cluster, Source
from services.billing import Billing
from services.built_once import BuiltOnce
from services.clients import Clients, CloudTarget
from services.gke import Gke
from services.identity import probe_identity
from services.inference import Inference
from services.kube import Kube
from services.load_balancer import LoadBalancers
from tests.services.planted import Answer, PlantedGrpc, PlantedHttp

ROOT = Path(__file__).resolve().parents[2]


def _serve(port: int, answer: bytes) -> tuple[grpc.Server, int]:
    """A gRPC server that answers every call with those bytes."""

    class Everything(grpc.GenericRpcHandler):
        def service(self, handler_call_details: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(lambda _request, _context: answer)

    server = grpc.server(ThreadPoolExecutor(2), handlers=[Everything()])
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return server, bound


def _clients(port: int) -> Clients:
    return Clients(
        CloudTarget("emulator", "p", rest_url="http://127.0.0.1:1", grpc_target=f"127.0.0.1:{port}")
    )


def test_answers_beyond_grpcs_four_megabytes_are_read() -> None:
    """Google's own channels have no limit, so ours to the emulator has none."""
    cluster = gke_types.Cluster(name="c", location="l", description="x" * 6_000_000)
    answer = gke_types.ListClustersResponse(clusters=[cluster])
    server, port = _serve(0, gke_types.ListClustersResponse.serialize(answer))
    try:
        assert [c.name for c in Gke(_clients(port)).list_clusters()] == ["c"]
    finally:
        server.stop(None).wait(2)


def test_a_restarted_server_is_found_again_within_seconds() -> None:
    """The same clients recover by themselves."""
    answer = gke_types.ListClustersResponse.serialize(gke_types.ListClustersResponse())
    server, port = _serve(0, answer)
    clients = _clients(port)
    assert Gke(clients).list_clusters() == ()
    server.stop(None).wait(2)
    for _ in range(3):
        with pytest.raises(Unavailable):
            Gke(clients).list_clusters()
    server, _ = _serve(port, answer)
    try:
        end = time.monotonic() + 60
        while True:
            try:
                assert Gke(clients).list_clusters() == ()
                break
            except Unavailable:
                assert time.monotonic() < end, "not found again"
    finally:
        server.stop(None).wait(2)


def test_no_sdk_is_imported_before_it_is_used() -> None:
    """Importing all adapters stays cheap: SDKs take seconds."""
    modules = sorted(p.stem for p in (ROOT / "services").glob("*.py") if p.stem != "__init__")
    code = "import sys\n" + "".join(f"import services.{m}\n" for m in modules)
    code += "sdks = ('google.cloud.', 'google.api_core', 'google.auth', 'kubernetes', 'grpc')\n"
    code += "heavy = [m for m in sys.modules if m.startswith(sdks)]\n"
    code += "assert not heavy, heavy[:5]"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_each_client_is_built_once() -> None:
    """Also under threads; regions of Vertex are different clients."""
    clients = _clients(1)
    with ThreadPoolExecutor(8) as pool:
        built = list(pool.map(lambda _: clients.metrics(), range(16)))
    assert len({id(b) for b in built}) == 1
    assert clients.vertex_endpoints("a") is not clients.vertex_endpoints("b")
    assert clients.kube("c", "l") is clients.kube("c", "l")
    assert clients.kube("c", "l", "10.0.0.2") is not clients.kube("c", "l", "10.0.0.3")


def test_what_is_slow_to_build_holds_up_nothing_else() -> None:
    """A cluster whose address GKE does not tell must not keep Monitoring from its client."""
    built, go = BuiltOnce(), threading.Event()
    with ThreadPoolExecutor(3) as pool:
        slow = [pool.submit(built.get, "kube", lambda: go.wait(20) and object()) for _ in range(2)]
        assert pool.submit(built.get, "metrics", lambda: "client").result(5) == "client"
        assert not any(f.done() for f in slow)
        go.set()
        assert slow[0].result(5) is slow[1].result(5)


def test_transports_are_the_libraries_defaults() -> None:
    """gRPC where that is the default, REST elsewhere, on both targets."""
    clients = _clients(1)
    for made in (
        clients.gke(),
        clients.tpu(),
        clients.vertex_endpoints("us-central1"),
        clients.metrics(),
        clients.catalogue(),
        clients.budgets(),
    ):
        assert made.transport.kind == "grpc"
    assert clients.backend_services().transport.kind == "rest"
    assert clients.endpoint(Source.LOAD) == "127.0.0.1:1"
    assert clients.endpoint(Source.KUBE) == "http://127.0.0.1:1/k8s"
    assert clients.endpoint(Source.INFERENCE) == ""


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Clients:
    """Clients of Google with credentials that need no network."""

    def find(**_: object) -> tuple[AnonymousCredentials, str]:
        return AnonymousCredentials(), "p"

    monkeypatch.setattr("google.auth.default", find)
    return Clients(CloudTarget("google", "p"))


def test_google_hosts_are_googles_and_vertex_is_regional(google: Clients) -> None:
    """Vertex AI has one host per region; the rest keep the libraries' own."""
    assert google.gke().transport.host == "container.googleapis.com:443"
    assert google.metrics().transport.host == "monitoring.googleapis.com:443"
    vertex = google.vertex_endpoints("europe-west4")
    assert vertex.transport.host == "europe-west4-aiplatform.googleapis.com:443"
    assert google.backend_services().transport._host == "https://compute.googleapis.com"
    assert google.endpoint(Source.GKE) == "container.googleapis.com"


def test_kubernetes_on_google_trusts_the_clusters_own_authority(
    google: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Endpoint and certificate come from GKE, the token is ours and fresh at each call."""
    authority = base64.b64encode(b"PEM").decode()
    cluster = gke_types.Cluster(
        endpoint="203.0.113.9", master_auth={"cluster_ca_certificate": authority}
    )

    class FakeGke:
        def get_cluster(self, **_: object) -> gke_types.Cluster:
            return cluster

    tokens = iter(("one", "two"))
    monkeypatch.setattr(google, "gke", FakeGke)
    monkeypatch.setattr(google, "fresh_token", lambda: next(tokens))
    settings = google.kube("c", "us-central1").configuration
    assert settings.host == "https://203.0.113.9"
    assert settings.ca_cert_data == b"PEM"
    seen = [settings.auth_settings()["BearerToken"]["value"] for _ in range(2)]
    assert seen == ["Bearer one", "Bearer two"]


def test_a_cluster_without_an_endpoint_is_said_so(
    google: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is being created."""

    class FakeGke:
        def get_cluster(self, **_: object) -> gke_types.Cluster:
            return gke_types.Cluster()

    monkeypatch.setattr(google, "gke", FakeGke)
    with pytest.raises(Invalid, match="no endpoint"):
        google.kube("c", "us-central1")


def test_the_emulators_identity_is_anonymous() -> None:
    """No credential is looked for."""
    found = probe_identity(_clients(1))
    assert (found.name, found.kind, found.project) == ("anonymous", "anonymous", "p")


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    http: PlantedHttp, rpc: PlantedGrpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a company's proxy the emulator is still reached directly, on every wire."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "grpc_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    http.answers = [Answer(404)]
    rpc.code = code_pb2.NOT_FOUND
    target = CloudTarget(
        "emulator", "p", billing_export="p.d.t", rest_url=http.url, grpc_target=rpc.target
    )
    clients = Clients(target)
    reads: list[Callable[[], object]] = [
        lambda: Gke(clients).list_clusters(),
        lambda: LoadBalancers(clients).read_load_balancer(),
        lambda: Billing(clients).list_costs(date(2026, 11, 20)),
        lambda: Kube(clients).list_hosts(Cluster("c", "l", "", "", "")),
    ]
    for read in reads:
        with pytest.raises(NotFound):
            read()
    with Inference(http.url) as inference, pytest.raises(NotFound):
        inference.list_models()
