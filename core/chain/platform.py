"""What all tiers share: APIs, network, accounts of nodes, cluster, and the balancer's front."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from core.chain.pieces import PREFIX, SERVER_PORT, Piece, Site
from core.cloud_resources import PLATFORM, SERVICES, mark
from core.specs import TIER_LABEL, PartKind

APIS: Final = (
    "compute", "container", "iam", "cloudresourcemanager", "monitoring", "logging", "bigquery",
    "billingbudgets",
)  # fmt: skip
_MORE_APIS: Final = {PartKind.TPU_VM: "tpu", PartKind.VERTEX: "aiplatform"}
_GKE: Final = frozenset({PartKind.GKE_SINGLE_HOST, PartKind.GKE_MULTI_HOST})
PROBES: Final = ("130.211.0.0/22", "35.191.0.0/16")  # where Google's health checks come from
NODE_ROLE: Final = "roles/container.defaultNodeServiceAccount"
_TAG: Final = {TIER_LABEL: PLATFORM}
_SPEC: Final = "assumed: five to ten minutes is usual for a GKE cluster"
_GLOBAL: Final = ("compute.globalOperations.get",)


def platform_pieces(site: Site, kinds: Collection[PartKind]) -> Iterator[Piece]:
    """The pieces that parts of these kinds need, in order."""
    yield from _apis(site, kinds)
    if PartKind.TPU_VM in kinds or not _GKE.isdisjoint(kinds):
        yield from _network(site)
    if _GKE.isdisjoint(kinds):
        return
    yield from _probes(site)
    yield from _accounts(site)
    yield from _cluster(site)
    yield from _front(site)


def _apis(site: Site, kinds: Collection[PartKind]) -> Iterator[Piece]:
    for api in (*APIS, *(api for kind, api in _MORE_APIS.items() if kind in kinds)):
        host = f"{api}.googleapis.com"
        yield Piece(
            key=f"api-{api}",
            name=f"//{SERVICES}/projects/{site.project}/services/{host}",
            noun=f"API {host}",
            owner=PLATFORM,
            body={},
            make=f"gcloud services enable {host} --project={site.project}",
            remove="",
            permissions=("serviceusage.services.enable",),
            kept=True,
        )


def _network(site: Site) -> Iterator[Piece]:
    net, subnet = f"{PREFIX}-net", f"{PREFIX}-subnet"
    project = f"--project={site.project}"
    link = site.link(f"global/networks/{net}")
    yield Piece(
        "network", site.compute(f"global/networks/{net}"), f"network {net}", PLATFORM,
        {"autoCreateSubnetworks": False, "description": mark(PLATFORM)},
        f"gcloud compute networks create {net} --subnet-mode=custom"
        f" --description='{mark(PLATFORM)}' {project}",
        f"gcloud compute networks delete {net} {project} --quiet",
        ("api-compute",), ("compute.networks.create", "compute.networks.delete", *_GLOBAL),
    )  # fmt: skip
    ranges = [
        {"rangeName": "pods", "ipCidrRange": "10.64.0.0/10"},
        {"rangeName": "services", "ipCidrRange": "10.32.0.0/20"},
    ]
    yield Piece(
        "subnet", site.compute(f"regions/{site.region}/subnetworks/{subnet}"), f"subnet {subnet}",
        PLATFORM,
        {"network": link, "ipCidrRange": "10.0.0.0/18", "privateIpGoogleAccess": True,
         "secondaryIpRanges": ranges, "description": mark(PLATFORM)},
        f"gcloud compute networks subnets create {subnet} --network={net} --region={site.region}"
        " --range=10.0.0.0/18 --secondary-range=pods=10.64.0.0/10,services=10.32.0.0/20"
        f" --enable-private-ip-google-access --description='{mark(PLATFORM)}' {project}",
        f"gcloud compute networks subnets delete {subnet} --region={site.region} {project} --quiet",
        ("network",), ("compute.subnetworks.create", "compute.subnetworks.delete"),
    )  # fmt: skip


def _probes(site: Site) -> Iterator[Piece]:
    net, rule = f"{PREFIX}-net", f"{PREFIX}-allow-probes"
    project, link = f"--project={site.project}", site.link(f"global/networks/{net}")
    yield Piece(
        "probes", site.compute(f"global/firewalls/{rule}"), f"firewall rule {rule}", PLATFORM,
        {"network": link, "direction": "INGRESS", "sourceRanges": list(PROBES),
         "allowed": [{"IPProtocol": "tcp", "ports": [str(SERVER_PORT)]}],
         "description": mark(PLATFORM)},
        f"gcloud compute firewall-rules create {rule} --network={net} --direction=INGRESS"
        f" --allow=tcp:{SERVER_PORT} --source-ranges={','.join(PROBES)}"
        f" --description='{mark(PLATFORM)}' {project}",
        f"gcloud compute firewall-rules delete {rule} {project} --quiet",
        ("network",), ("compute.firewalls.create", "compute.firewalls.delete"),
    )  # fmt: skip


def _accounts(site: Site) -> Iterator[Piece]:
    name = f"{PREFIX}-nodes"
    project = f"--project={site.project}"
    member = f"serviceAccount:{site.email(name)}"
    yield Piece(
        "nodes-account", site.account(name), f"service account {name}", PLATFORM,
        {"displayName": "Nodes of Heartwood's cluster", "description": mark(PLATFORM)},
        f"gcloud iam service-accounts create {name} --display-name=\"Nodes of Heartwood's cluster\""
        f" --description='{mark(PLATFORM)}' {project}",
        f"gcloud iam service-accounts delete {site.email(name)} {project} --quiet",
        ("api-iam",), ("iam.serviceAccounts.create", "iam.serviceAccounts.delete"),
    )  # fmt: skip
    yield Piece(
        "nodes-role", site.grant(NODE_ROLE, member), f"role of {name}", PLATFORM, {},
        f"gcloud projects add-iam-policy-binding {site.project} --member={member}"
        f" --role={NODE_ROLE} --condition=None",
        f"gcloud projects remove-iam-policy-binding {site.project} --member={member}"
        f" --role={NODE_ROLE} --condition=None",
        ("nodes-account", "api-cloudresourcemanager"), ("resourcemanager.projects.setIamPolicy",),
    )  # fmt: skip


def _cluster(site: Site) -> Iterator[Piece]:
    """The cluster and its first pool, which comes with it and carries the system's own pods."""
    account = site.email(f"{PREFIX}-nodes")
    pool = {
        "initialNodeCount": 1,
        "config": {
            "machineType": "e2-standard-4",
            "serviceAccount": account,
            "labels": _TAG,
            "resourceLabels": _TAG,
        },
    }
    place = f"--location={site.cluster_location} --project={site.project}"
    body = {
        "resourceLabels": _TAG,
        "locations": [site.zone],
        "network": f"{PREFIX}-net",
        "subnetwork": f"{PREFIX}-subnet",
        "releaseChannel": {"channel": "REGULAR"},
        "initialClusterVersion": "1.34",
        "ipAllocationPolicy": {
            "useIpAliases": True,
            "clusterSecondaryRangeName": "pods",
            "servicesSecondaryRangeName": "services",
        },
        "workloadIdentityConfig": {"workloadPool": f"{site.project}.svc.id.goog"},
        "nodePools": [{"name": "system", **pool}],
    }
    yield Piece(
        "cluster", site.cluster_name, f"cluster {site.cluster}", PLATFORM, body,
        f"gcloud container clusters create {site.cluster} {place}"
        f" --node-locations={site.zone} --cluster-version=1.34 --release-channel=regular"
        f" --network={PREFIX}-net --subnetwork={PREFIX}-subnet --enable-ip-alias"
        " --cluster-secondary-range-name=pods --services-secondary-range-name=services"
        f" --workload-pool={site.project}.svc.id.goog --service-account={account}"
        f" --num-nodes=1 --labels={TIER_LABEL}={PLATFORM}\n"
        # gcloud's first pool is always called default-pool.
        f"gcloud container node-pools create system --cluster={site.cluster} {place}"
        f" --machine-type=e2-standard-4 --num-nodes=1 --service-account={account}"
        f" --scopes=cloud-platform --labels={TIER_LABEL}={PLATFORM}"
        f" --node-labels={TIER_LABEL}={PLATFORM}\n"
        f"gcloud container node-pools delete default-pool --cluster={site.cluster} {place} --quiet",
        f"gcloud container clusters delete {site.cluster} --location={site.cluster_location}"
        f" --project={site.project} --quiet",
        ("api-container", "subnet", "nodes-role"),
        ("container.clusters.create", "container.clusters.delete", "iam.serviceAccounts.actAs"),
        expected_s=450.0, expected_source=_SPEC,
    )  # fmt: skip
    yield Piece(
        "system-pool", f"{site.cluster_name}/nodePools/system", "node pool system", PLATFORM, pool,
        "", f"gcloud container node-pools delete system --cluster={site.cluster}"
        f" --location={site.cluster_location} --project={site.project} --quiet",
        ("cluster",), ("container.clusters.update",),
    )  # fmt: skip


def _front(site: Site) -> Iterator[Piece]:
    """Everything between the address and the tiers' backend services."""
    yield from _routing(site)
    yield from _entrance(site)


def _global(
    site: Site, key: str, path: str, noun: str, body: dict[str, object], make: str, remove: str,
    needs: tuple[str, ...], what: str, then: str = "",
) -> Piece:  # fmt: skip
    """A piece of Compute's global collections, which says whose it is; `then` completes it."""
    ends = f"--global --project={site.project}"
    more = f"\ngcloud compute {then} {ends}" if then else ""
    return Piece(
        key, site.compute(f"global/{path}"), noun, PLATFORM,
        {**body, "description": mark(PLATFORM)},
        f"gcloud compute {make} --description='{mark(PLATFORM)}' {ends}{more}",
        f"gcloud compute {remove} {ends} --quiet", needs,
        (f"compute.{what}.create", f"compute.{what}.delete", *_GLOBAL),
    )  # fmt: skip


def _routing(site: Site) -> Iterator[Piece]:
    """How requests find a tier: URL map, where unknown paths go, how health is asked for."""
    name, check, none = site.url_map, f"{PREFIX}-ready", f"{PREFIX}-none"
    yield _global(
        site, "health-check", f"healthChecks/{check}", f"health check {check}",
        {"type": "HTTP", "checkIntervalSec": 10, "timeoutSec": 5, "httpHealthCheck":
         {"requestPath": "/health", "portSpecification": "USE_SERVING_PORT"}},
        f"health-checks create http {check} --request-path=/health --use-serving-port"
        f" --check-interval=10s --timeout=5s",
        f"health-checks delete {check}", ("api-compute",), "healthChecks",
    )  # fmt: skip
    yield _global(
        site, "no-service", f"backendServices/{none}", f"backend service {none}, for unknown paths",
        {"loadBalancingScheme": "EXTERNAL_MANAGED", "protocol": "HTTP", "timeoutSec": 30,
         "healthChecks": [site.link(f"global/healthChecks/{check}")]},
        f"backend-services create {none} --load-balancing-scheme=EXTERNAL_MANAGED --protocol=HTTP"
        f" --health-checks={check} --timeout=30s",
        f"backend-services delete {none}", ("health-check",), "backendServices",
    )  # fmt: skip
    nothing = site.link(f"global/backendServices/{none}")
    matcher = {"name": "tiers", "defaultService": nothing}
    yield _global(
        site, "url-map", f"urlMaps/{name}", f"URL map {name}",
        {"defaultService": nothing, "hostRules": [{"hosts": ["*"], "pathMatcher": "tiers"}],
         "pathMatchers": [matcher]},
        f"url-maps create {name} --default-service={none}",
        f"url-maps delete {name}", ("no-service",), "urlMaps",
        f"url-maps add-path-matcher {name} --path-matcher-name=tiers --default-service={none}"
        " --new-hosts='*'",
    )  # fmt: skip


def _entrance(site: Site) -> Iterator[Piece]:
    """What clients call: address, forwarding rule, proxy with its certificate."""
    name = site.url_map
    yield _global(
        site, "certificate", f"sslCertificates/{name}-cert",
        f"certificate {name}-cert for {site.host}",
        {"type": "MANAGED", "managed": {"domains": [site.host]}},
        f"ssl-certificates create {name}-cert --domains={site.host}",
        f"ssl-certificates delete {name}-cert", ("api-compute",), "sslCertificates",
    )  # fmt: skip
    yield _global(
        site, "proxy", f"targetHttpsProxies/{name}", f"HTTPS proxy {name}",
        {"urlMap": site.link(f"global/urlMaps/{name}"),
         "sslCertificates": [site.link(f"global/sslCertificates/{name}-cert")]},
        f"target-https-proxies create {name} --url-map={name} --ssl-certificates={name}-cert",
        f"target-https-proxies delete {name}", ("url-map", "certificate"), "targetHttpsProxies",
    )  # fmt: skip
    yield _global(
        site, "address", f"addresses/{name}-ip", f"address {name}-ip",
        {"ipVersion": "IPV4"},
        f"addresses create {name}-ip --ip-version=IPV4",
        f"addresses delete {name}-ip", ("api-compute",), "globalAddresses",
    )  # fmt: skip
    yield _global(
        site, "front", f"forwardingRules/{name}", f"forwarding rule {name}",
        {"IPAddress": site.link(f"global/addresses/{name}-ip"), "portRange": "443",
         "IPProtocol": "TCP", "loadBalancingScheme": "EXTERNAL_MANAGED", "networkTier": "PREMIUM",
         "target": site.link(f"global/targetHttpsProxies/{name}")},
        f"forwarding-rules create {name} --load-balancing-scheme=EXTERNAL_MANAGED"
        f" --network-tier=PREMIUM --address={name}-ip --target-https-proxy={name} --ports=443",
        f"forwarding-rules delete {name}", ("proxy", "address"), "globalForwardingRules",
    )  # fmt: skip
