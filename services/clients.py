"""The only builder of SDK clients: endpoint, credentials and transport of each product.

The target decides between the emulator on loopback and Google itself, here and nowhere else: all
other code sees the same client classes on the same transports (gRPC where that is the library's
default, REST for Compute, BigQuery and Kubernetes). Clients are built at first use and kept; their
SDKs are imported then, each from its own module (see `services/sdk_imports.py`). How a call is
retried and how its errors read is `services/calls.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from core.errors import Invalid
from core.records import Source
from services import calls
from services.built_once import BuiltOnce
from services.sdk_imports import defer_packages
from services.target import GOOGLE_HOSTS, REST_PREFIXES, CloudTarget

if TYPE_CHECKING:
    import grpc
    from google.cloud.aiplatform_v1.services.endpoint_service import EndpointServiceClient
    from google.cloud.bigquery import Client as BigQueryClient
    from google.cloud.billing.budgets_v1 import BudgetServiceClient
    from google.cloud.billing_v1 import CloudCatalogClient
    from google.cloud.compute_v1.services.backend_services import BackendServicesClient
    from google.cloud.compute_v1.services.global_forwarding_rules import GlobalForwardingRulesClient
    from google.cloud.compute_v1.services.global_operations import GlobalOperationsClient
    from google.cloud.compute_v1.services.instance_group_managers import InstanceGroupManagersClient
    from google.cloud.compute_v1.services.url_maps import UrlMapsClient
    from google.cloud.container_v1 import ClusterManagerClient
    from google.cloud.monitoring_v3 import MetricServiceClient
    from google.cloud.tpu_v2 import TpuClient
    from kubernetes.client import ApiClient

__all__ = ["Clients", "CloudTarget"]

T = TypeVar("T")

# Google's own channels have no receive limit; a plain one keeps gRPC's 4 MB, which a fleet of
# thousands of chips exceeds. The short reconnect back-off lets a restarted emulator be found at
# once (gRPC's own grows to two minutes).
_CHANNEL_OPTIONS: Final = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.enable_http_proxy", 0),  # a proxy of the environment never leads to this machine
)
_SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)


class Clients:
    """Builds each SDK client once; safe for threads. Its properties raise `core.errors.Denied`."""

    def __init__(self, target: CloudTarget) -> None:
        defer_packages()
        self.target = target
        self._built = BuiltOnce()

    @property
    def project(self) -> str:
        """Project id of all calls."""
        return self.target.project

    def call(
        self,
        fn: Callable[[float], T],
        *,
        resource: str,
        timeout_s: float = 10.0,
        policy: calls.RetryPolicy = calls.READ,
    ) -> T:
        """`calls.call` with this target's project and hints.

        Args:
            fn: gets the seconds that this attempt may take, and makes one SDK call.
            resource: what is called, as named in the error.
            timeout_s: of one attempt.
            policy: how often it is tried; `calls.ONCE` for what changes something.

        Raises:
            OpsError: whatever went wrong.
        """
        return calls.call(
            fn, resource=resource, timeout_s=timeout_s, policy=policy, context=self.context
        )

    @property
    def context(self) -> calls.CallContext:
        """What hints name: the project, and what to do when nothing answers."""
        if self._emulated:
            hint = (
                f"The emulator does not answer at {self.target.rest_url} / "
                f"{self.target.grpc_target}. Start it with `make run` or `python -m emulator`."
            )
        else:
            hint = "Check the network and https://status.cloud.google.com."
        return calls.CallContext(project=self.target.project, unreachable_hint=hint)

    def endpoint(self, source: Source) -> str:
        """What is called for that source, for people; "" for our own inference server."""
        if source not in GOOGLE_HOSTS:
            return ""
        if not self._emulated:
            return GOOGLE_HOSTS[source]
        if source in REST_PREFIXES:
            return self.target.rest_url + REST_PREFIXES[source]
        return self.target.grpc_target

    @property
    def credentials(self) -> Any:  # google.auth has no types for its credentials' common base
        """Anonymous on the emulator, else Application Default Credentials."""
        return self._built.get("credentials", self._find_credentials)

    def _find_credentials(self) -> object:
        if self._emulated:
            from google.auth.credentials import AnonymousCredentials

            return AnonymousCredentials()
        import google.auth

        def find(_timeout_s: float) -> object:
            return google.auth.default(scopes=list(_SCOPES))[0]

        return self.call(find, resource="Application Default Credentials", policy=calls.ONCE)

    def fresh_token(self) -> str:
        """A valid access token, refreshed when needed; "" when calls are anonymous."""
        credentials = self.credentials
        if self._emulated:
            return ""
        from google.auth.transport.requests import Request

        with self._built.lock_of("token"):
            if not credentials.valid:
                self.call(
                    lambda _: credentials.refresh(Request()),
                    resource="Application Default Credentials",
                )
            return cast(str, credentials.token)

    def gke(self) -> ClusterManagerClient:
        """Kubernetes Engine."""
        from google.cloud.container_v1 import ClusterManagerClient
        from google.cloud.container_v1.services.cluster_manager.transports import (
            ClusterManagerGrpcTransport,
        )

        return self.grpc("gke", ClusterManagerClient, ClusterManagerGrpcTransport)

    def tpu(self) -> TpuClient:
        """Cloud TPU API (v5e, v5p and v6e only)."""
        from google.cloud.tpu_v2 import TpuClient
        from google.cloud.tpu_v2.services.tpu.transports import TpuGrpcTransport

        return self.grpc("tpu", TpuClient, TpuGrpcTransport)

    def vertex_endpoints(self, region: str) -> EndpointServiceClient:
        """Vertex AI endpoints of one region; each region has its own host."""
        from google.cloud.aiplatform_v1.services.endpoint_service import EndpointServiceClient
        from google.cloud.aiplatform_v1.services.endpoint_service.transports import (
            EndpointServiceGrpcTransport,
        )

        return self.grpc(
            f"vertex/{region}",
            EndpointServiceClient,
            EndpointServiceGrpcTransport,
            host=f"{region}-aiplatform.googleapis.com",
        )

    def metrics(self) -> MetricServiceClient:
        """Cloud Monitoring time series."""
        from google.cloud.monitoring_v3 import MetricServiceClient
        from google.cloud.monitoring_v3.services.metric_service.transports import (
            MetricServiceGrpcTransport,
        )

        return self.grpc("metrics", MetricServiceClient, MetricServiceGrpcTransport)

    def catalogue(self) -> CloudCatalogClient:
        """Cloud Billing Catalog."""
        from google.cloud.billing_v1 import CloudCatalogClient
        from google.cloud.billing_v1.services.cloud_catalog.transports import (
            CloudCatalogGrpcTransport,
        )

        return self.grpc("catalogue", CloudCatalogClient, CloudCatalogGrpcTransport)

    def budgets(self) -> BudgetServiceClient:
        """Cloud Billing budgets."""
        from google.cloud.billing.budgets_v1 import BudgetServiceClient
        from google.cloud.billing.budgets_v1.services.budget_service.transports import (
            BudgetServiceGrpcTransport,
        )

        return self.grpc("budgets", BudgetServiceClient, BudgetServiceGrpcTransport)

    def backend_services(self) -> BackendServicesClient:
        """Compute: global backend services and their health."""
        from google.cloud.compute_v1.services.backend_services import BackendServicesClient

        return self.compute("backend_services", BackendServicesClient)

    def url_maps(self) -> UrlMapsClient:
        """Compute: global URL maps."""
        from google.cloud.compute_v1.services.url_maps import UrlMapsClient

        return self.compute("url_maps", UrlMapsClient)

    def forwarding_rules(self) -> GlobalForwardingRulesClient:
        """Compute: global forwarding rules."""
        from google.cloud.compute_v1.services.global_forwarding_rules import (
            GlobalForwardingRulesClient,
        )

        return self.compute("forwarding_rules", GlobalForwardingRulesClient)

    def global_operations(self) -> GlobalOperationsClient:
        """Compute: operations on global resources."""
        from google.cloud.compute_v1.services.global_operations import GlobalOperationsClient

        return self.compute("global_operations", GlobalOperationsClient)

    def instance_groups(self) -> InstanceGroupManagersClient:
        """Compute: managed instance groups, which hold the size of GKE's node pools."""
        from google.cloud.compute_v1.services.instance_group_managers import (
            InstanceGroupManagersClient,
        )

        return self.compute("instance_groups", InstanceGroupManagersClient)

    def bigquery(self) -> BigQueryClient:
        """BigQuery, for the billing export."""

        def build() -> BigQueryClient:
            from google.api_core.client_options import ClientOptions
            from google.cloud.bigquery import Client

            if not self._emulated:
                return Client(project=self.target.project, credentials=self.credentials)
            return Client(
                project=self.target.project,
                credentials=self.credentials,
                client_options=ClientOptions(api_endpoint=self.endpoint(Source.COSTS)),
                _http=self._new_session(),
            )

        return self._built.get("bigquery", build)

    def kube(self, cluster: str, location: str, endpoint: str = "") -> ApiClient:
        """The Kubernetes API of one GKE cluster.

        On Google: its endpoint and certificate authority as GKE tells them, and our own token.
        `endpoint`, as last listed: a cluster made anew under its old name has another one.
        """
        key = f"kube/{location}/{cluster}/{endpoint}"
        return self._built.get(key, lambda: self._kube(cluster, location))

    def _kube(self, cluster: str, location: str) -> ApiClient:
        from kubernetes.client import ApiClient, Configuration

        settings = Configuration()
        # Retries are ours (`services/calls.py`); urllib3's own would multiply them.
        settings.retries = cast(Any, False)
        settings.connection_pool_maxsize = 16
        if self._emulated:
            path = f"{self.target.project}/{location}/{cluster}"
            settings.host = f"{self.endpoint(Source.KUBE)}/{path}"
            settings.proxy = None  # a proxy of the environment never leads to this machine
            return ApiClient(settings)
        name = f"projects/{self.target.project}/locations/{location}/clusters/{cluster}"
        found = self.call(
            lambda t: self.gke().get_cluster(name=name, timeout=t, retry=None), resource=name
        )
        if not found.endpoint:
            raise Invalid("the cluster has no endpoint (yet)", resource=name, retryable=True)
        import base64

        settings.host = f"https://{found.endpoint}"
        settings.ca_cert_data = base64.b64decode(found.master_auth.cluster_ca_certificate)

        def refresh(config: Any) -> None:
            config.api_key["BearerToken"] = self.fresh_token()

        settings.api_key = {"BearerToken": ""}  # the hook is only asked where there is a key
        settings.api_key_prefix = {"BearerToken": "Bearer"}
        settings.refresh_api_key_hook = cast(Any, refresh)
        return ApiClient(settings)

    @property
    def _emulated(self) -> bool:
        return self.target.kind == "emulator"

    def grpc(
        self, key: str, client: Callable[..., T], transport: Callable[..., object], host: str = ""
    ) -> T:
        """That client on its gRPC transport, kept under the key."""

        def build() -> T:
            if self._emulated:
                # With an endpoint and anonymous credentials alone the libraries insist on TLS.
                return client(transport=transport(channel=self._channel()))
            from google.api_core.client_options import ClientOptions

            options = ClientOptions(api_endpoint=host) if host else None
            return client(credentials=self.credentials, client_options=options)

        return self._built.get(key, build)

    def _channel(self) -> grpc.Channel:
        def build() -> grpc.Channel:
            import grpc

            return grpc.insecure_channel(self.target.grpc_target, options=list(_CHANNEL_OPTIONS))

        return self._built.get("channel", build)

    def compute(self, key: str, client: Callable[..., T]) -> T:
        """That client of Compute, kept under the key; REST is all that it knows."""

        def build() -> T:
            from google.api_core.client_options import ClientOptions

            if not self._emulated:
                return client(credentials=self.credentials)
            options = ClientOptions(api_endpoint=self.endpoint(Source.LOAD_BALANCER))
            made: Any = client(credentials=self.credentials, client_options=options)
            made.transport._session.trust_env = False  # see `_new_session`
            return made

        return self._built.get(key, build)

    def session(self) -> Any:
        """An HTTP session with our credentials, for methods that no client library knows."""
        return self._built.get("session", self._new_session)

    def _new_session(self) -> Any:
        from google.auth.transport.requests import AuthorizedSession

        session: Any = AuthorizedSession(self.credentials)
        session.trust_env = not self._emulated  # its proxy never leads to this machine
        return session

    def close(self) -> None:
        """Close the shared channel; the clients are of no use afterwards."""
        if (channel := self._built.clear().get("channel")) is not None:
            cast("grpc.Channel", channel).close()
